"""What every answer and every object in it has."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any

import attrs
from attrs import field, frozen

__all__ = ["Answer", "Item", "LimiterStatistics", "Price", "Reply", "_ValueObject"]


@frozen(kw_only=True)
class Reply:
    """An answer of the service as it arrived; `answer.meta` of everything decoded from it."""

    status: int
    headers: dict[str, str] = field(factory=dict, repr=False)
    """Names in lower case."""
    raw: bytes = field(repr=False)
    """The body, whole unless `cut` says otherwise."""
    cut: str | None = None
    """Why the body is not whole, where it is not."""
    attempts: int = 1
    """How many times the call was sent, refusals with 429 included."""
    elapsed: float = 0.0
    """Seconds from the last attempt's start to its last byte."""
    in_doubt: bool = False
    """Whether an earlier attempt of the same call may have run, and been paid for, too."""

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def request_id(self) -> str | None:
        """The id to quote to the service's support."""
        return self.headers.get("x-request-id") or self.headers.get("cf-ray")

    def json(self) -> Any:
        """Parse the body.

        Raises `ValueError` if it is no JSON.
        """
        import json

        try:
            return json.loads(self.raw)
        except RecursionError:
            raise ValueError("nested too deeply") from None


@attrs.frozen(slots=False, eq=False, repr=False)
class _ValueObject:
    """The base of requests and answers. Fields declared with `eq=False` or `repr=False` are left out."""

    def __repr__(self) -> str:
        # `None` says that nothing was given, and most fields of most values are `None`.
        given = [field for field in attrs.fields(type(self)) if field.repr and getattr(self, field.name) is not None]
        positional = [repr(getattr(self, field.name)) for field in given if not field.kw_only]
        named = [f"{field.name}={getattr(self, field.name)!r}" for field in given if field.kw_only]
        return f"{type(self).__name__}({', '.join(positional + named)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((type(self), self._content()))

    def _content(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in attrs.fields(type(self)) if field.eq)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Item(_ValueObject):
    """An object inside an answer."""

    extra: dict[str, Any] = field(factory=dict, eq=False, repr=False)
    """What the service sent beyond the contract, as parsed JSON."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Answer(Item):
    """What a call gives back."""

    meta: Reply = field(default=Reply(status=200, raw=b""), eq=False, repr=False)
    """Status, request id, headers, attempts, seconds and bytes of the reply it was read from."""


@frozen(kw_only=True)
class Price:
    """What a request will cost, as far as a dated table can tell."""

    usd: Decimal | None
    """The whole call; `None` where the price is not known."""
    per_image: Decimal | None
    """One output image, or one call where the service charges by the input."""
    as_of: date | None
    """The day on which the source was read."""
    source: str | None
    """Where the price stands, or `caller` for one that was passed in."""


@frozen(kw_only=True)
class LimiterStatistics:
    """How full the limit is, for the running event loop."""

    limit: float
    """Images that may be in progress now: what was configured, or less after a 429."""
    in_flight: int
    """Images in progress."""
    waiting: int
    """Calls that wait for places."""
    rejected: int
    """Calls that the service refused with 429."""
