"""Purchases that a repeated request does not make again, by its header `Idempotency-Key`."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar
from uuid import UUID

from attrs import define, field
from starlette.requests import Request

from ideogram_async._client import Ideogram
from ideogram_async._ledger.claims import MAX_KEY_BYTES
from ideogram_async._ledger.entries import Ledger
from ideogram_async._operations import Request as PaidRequest
from ideogram_async._requirements import needs_extra
from ideogram_async.integrations.fastapi.lifecycle import get_client
from ideogram_async.integrations.fastapi.problems import InvalidKeyError
from ideogram_async.models.base import Answer

__all__ = ["Buy", "idempotent"]

R = TypeVar("R")
Owner: TypeAlias = str | int | UUID
Scope: TypeAlias = Callable[[Request], Owner | Awaitable[Owner]]
HEADER = "Idempotency-Key"
DESCRIPTION = (
    "A key that you choose for this purchase, such as a UUID. Repeat it with a request whose answer did not arrive:"
    " nothing is bought twice."
)
QUOTED = re.compile(r'"((?:[ !#-\[\]-~]|\\["\\])*)"')
"""A string of RFC 9651, as the draft of the header requires it. Other values are keys as they are."""


@define(eq=False)
class Buy:
    """Sends the requests of one handler: `answer = await buy(Generate("a red fox"))`."""

    _client: Ideogram
    _purchase: tuple[str, ...] | None = field(repr=False)
    """The parts of the purchase's name; `None` without a key."""
    _wait: float | None
    _ledger: Ledger | None
    _parts: dict[str, object] = field(factory=dict, init=False, repr=False)
    _replays: list[bool] = field(factory=list, init=False, repr=False)

    @property
    def replayed(self) -> bool:
        """Return whether every answer so far is that of an earlier request, so that nothing was bought."""
        return bool(self._replays) and all(self._replays)

    async def __call__(self, request: PaidRequest[R], /, *, part: str = "") -> R:
        """Send a request unless it was sent before with this key, and return its answer.

        Without a key, which `required=False` permits, it is sent as by `Ideogram.send`.

        Args:
            request: A request that costs money.
            part: Names a further purchase of the same handler: `await buy(Upscale(image), part="large")`.

        Raises:
            ValueError: If the handler has bought something else under this name.
            IdeogramError: What `Ideogram.once` raises.
        """
        if self._parts.setdefault(part, request) != request:
            raise ValueError(f'part {part!r} is bought already: name each further purchase, such as part="large"')

        if self._purchase is None:
            return await self._client.send(request)

        key = ledger_key(*self._purchase, part)
        answer = await self._client.once(key, request, ledger=self._ledger, wait=self._wait)
        self._replays.append(isinstance(answer, Answer) and answer.meta.replayed)
        return answer


def idempotent(
    *, scope: Scope, required: bool = True, wait: float | None = 30.0, ledger: Ledger | None = None
) -> Callable[..., Awaitable[Buy]]:
    """Return a dependency of FastAPI whose purchases are made once for each `Idempotency-Key` of a user.

        app = FastAPI(lifespan=partial(lifespan, client=Ideogram(ledger=SqliteLedger("calls.sqlite3"))))
        install_error_handlers(app)
        buying = idempotent(scope=lambda request: request.state.user_id)

        @app.post("/hero")
        async def hero(prompt: str, buy: Annotated[Buy, Depends(buying)]):
            return await buy(Generate(prompt))

    The same request with the same key returns the same answer, and `buy.replayed` is set. The handler runs again; only
    its purchases are not repeated. Errors are answered by `install_error_handlers`: 400 for a missing or invalid key,
    409 with `Retry-After` for a purchase in progress, 422 for the key of another purchase, and 504 for one whose
    outcome is unknown, which is not sent again before it is resolved in the ledger. A purchase that was refused and
    not billed can be retried.

    A key belongs to its user, method and path, of which the ledger contains a hash.

    Args:
        scope: Returns whose keys these are, such as the id of the user; may be async. Two users never share a key.
        required: Whether a request without a key is refused. Otherwise its purchases are made as by `Ideogram.send`.
        wait: Seconds to wait for the answer to an earlier request in progress; 0 refuses at once, `None` waits.
        ledger: The record, in place of the client's. It is not closed with the app.

    Raises:
        ImportError: If FastAPI is not installed.
        ValueError: If `wait` is negative.
    """
    with needs_extra("idempotent", "fastapi"):
        from fastapi import Depends, Header

    if wait is not None and not wait >= 0:
        raise ValueError(f"wait must be a number of seconds from 0, or None, not {wait!r}")

    def read_key(request: Request) -> str | None:
        return key_of(request.headers.getlist(HEADER), required=required)

    app_client, header_key = Depends(get_client), Depends(read_key)

    # Dependencies come before headers, so the last parameter, which is there for OpenAPI, causes no error of its own.
    async def buying(
        request: Request,
        client: Ideogram = app_client,
        key: str | None = header_key,
        _header: str = Header(... if required else None, alias=HEADER, description=DESCRIPTION),
    ) -> Buy:
        purchase = None if key is None else (await _owner(scope, request), request.method, request.url.path, key)
        return Buy(client, purchase, wait, ledger)

    return buying


def key_of(values: list[str], *, required: bool) -> str | None:
    """Return the key in the values of the header.

    Raises:
        InvalidKeyError: If there is none but one is required, or it cannot be used.
    """
    if not values and not required:
        return None

    if len(values) != 1:
        raise _invalid("was sent more than once" if values else "is missing")

    key = values[0]
    if key.startswith('"'):
        quoted = QUOTED.fullmatch(key)
        if quoted is None:
            raise _invalid("is not a quoted string")

        key = re.sub(r"\\(.)", r"\1", quoted[1])

    # A header has one byte for each character.
    if not 0 < len(key) <= MAX_KEY_BYTES:
        raise _invalid(f"must have 1 to {MAX_KEY_BYTES} bytes")

    return key


def ledger_key(*parts: str) -> str:
    """Return the key of a purchase in a ledger, which has no user data."""
    return f"http/{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}"


def _invalid(rule: str) -> InvalidKeyError:
    return InvalidKeyError([(HEADER, rule)], subject="request")


async def _owner(scope: Scope, request: Request) -> str:
    owner = scope(request)
    owner = await owner if inspect.isawaitable(owner) else owner
    # The text of other objects may differ from request to request, and without an owner all users would share keys.
    if not isinstance(owner, str | int | UUID) or owner == "":
        raise TypeError(f"scope must return the id of a user, a string, int or UUID, not {owner!r}")

    return str(owner)
