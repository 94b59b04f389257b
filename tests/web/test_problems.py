"""Problem documents: status, cost and advice, and never a secret."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import Depends, FastAPI, WebSocket
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from support.clients import CANARY, fast_limiter
from support.serving import serving

from ideogram_async import (
    AmbiguousError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BatchError,
    BatchLockedError,
    Billed,
    BudgetError,
    DecodeError,
    DownloadError,
    FileConflictError,
    Generate,
    GenerationFailed,
    HostRefusedError,
    Ideogram,
    IdeogramError,
    ImageTooLargeError,
    InDoubtError,
    InProgressError,
    InvalidRequestError,
    JobConflictError,
    JournalError,
    KeyConflictError,
    LedgerError,
    LinkExpiredError,
    NotAnImageError,
    NotFoundError,
    NotSentError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    Retry,
    SafetyError,
    ServerError,
    TransportError,
    TruncatedImageError,
    WaitTimeout,
    WebhookError,
    WithheldImageError,
)
from ideogram_async._accepted import Accepted
from ideogram_async._wire.decode import mark_possibly_billed
from ideogram_async.errors import Phase
from ideogram_async.integrations.fastapi import get_client, image_response, install_error_handlers, lifespan
from ideogram_async.integrations.fastapi.problems import PROBLEMS, retry_after, to_problem
from ideogram_async.sandbox import Fault, Sandbox

Client = Annotated[Ideogram, Depends(get_client)]
SECRET_PATH = "/srv/private/images"
SECRET = {"headers": {"x-internal": CANARY}, "body": {"key": CANARY}}


def status_error(kind: type[APIStatusError], status: int, **facts: Any) -> APIStatusError:
    return kind(f"POST /x: {status} because", status=status, **SECRET, **facts)


def image_error(kind: type[DownloadError]) -> DownloadError:
    return kind(f"at {SECRET_PATH}", url=f"https://internal/{CANARY}")


EVERY: list[tuple[IdeogramError, int, str | None]] = [
    (IdeogramError(SECRET_PATH), 502, None),
    (InvalidRequestError([("prompt", "must not be empty"), ("seed", "is odd"), ("prompt", "is rude")]), 422, None),
    (TransportError(SECRET_PATH, phase=Phase.SENT), 502, None),
    (NotSentError(SECRET_PATH, phase=Phase.CONNECTING), 503, "30"),
    (AmbiguousError(SECRET_PATH, phase=Phase.SENT), 504, None),
    (status_error(APIStatusError, 418), 502, None),
    (status_error(BadRequestError, 400), 400, None),
    (status_error(AuthenticationError, 401), 502, None),
    (status_error(PaymentRequiredError, 402), 503, "300"),
    (status_error(PermissionDeniedError, 403), 502, None),
    (status_error(NotFoundError, 404), 404, None),
    (status_error(SafetyError, 422), 422, None),
    (status_error(RateLimitError, 429), 503, "30"),
    (status_error(RateLimitError, 429, retry_after=4.2), 503, "5"),
    (status_error(RateLimitError, 429, reason="feature_limit"), 503, "300"),
    (mark_possibly_billed(status_error(RateLimitError, 429, retry_after=4.2, billed=Billed.UNKNOWN)), 503, None),
    (status_error(ServerError, 500), 502, None),
    (status_error(ServerError, 500, billed=Billed.UNKNOWN), 502, None),
    (DecodeError(SECRET_PATH, raw=CANARY.encode(), links=["https://ideogram.ai/x?sig=1"]), 502, None),
    (image_error(DownloadError), 502, None),
    (image_error(LinkExpiredError), 410, None),
    (image_error(TruncatedImageError), 502, None),
    (image_error(NotAnImageError), 502, None),
    (image_error(ImageTooLargeError), 502, None),
    (image_error(HostRefusedError), 502, None),
    (image_error(WithheldImageError), 404, None),
    (FileConflictError(SECRET_PATH, path=Path(SECRET_PATH)), 500, None),
    (BatchError(SECRET_PATH), 500, None),
    (BatchLockedError(SECRET_PATH), 500, None),
    (JournalError(SECRET_PATH), 500, None),
    (JobConflictError(SECRET_PATH), 500, None),
    (InDoubtError(SECRET_PATH, key=CANARY, attempt=1, started_at=datetime.now(UTC), usd=None), 504, None),
    (LedgerError(SECRET_PATH), 503, None),
    (LedgerError(SECRET_PATH, retryable=True), 503, "30"),
    (KeyConflictError(SECRET_PATH), 422, None),
    (InProgressError(SECRET_PATH), 409, "5"),
    (BudgetError(SECRET_PATH), 503, "300"),
    (GenerationFailed("failed", generation_id=CANARY, reason=CANARY), 502, None),
    (WaitTimeout("pending", ticket=Accepted(CANARY), status="pending"), 504, None),
    (WebhookError("signed too long ago", reason="stale", generation_id=CANARY), 400, None),
]


async def get(url: str) -> tuple[int, dict[str, str], bytes]:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status, {name.lower(): value for name, value in response.headers.items()}, await response.read()


def kinds_below(kind: type[IdeogramError]) -> set[type[IdeogramError]]:
    below = {each for each in kind.__subclasses__() if each.__module__ == "ideogram_async.errors"}
    return {kind}.union(*(kinds_below(each) for each in below))


def test_every_error_is_tested() -> None:
    """The table of this module contains every error class."""
    assert kinds_below(IdeogramError) == {type(error) for error, _, _ in EVERY}


async def test_every_error_has_its_problem() -> None:
    """Each error becomes a problem document with status and cost, without API key, headers or server paths."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/{n}")
    async def fail(n: int) -> None:
        raise EVERY[n][0]

    async with serving(app) as url:
        answers = [await get(f"{url}/{n}") for n in range(len(EVERY))]

    for (error, expected, seconds), (status, headers, body) in zip(EVERY, answers, strict=True):
        problem = json.loads(body)

        assert ("application/problem+json", "no-store") == (headers["content-type"], headers["cache-control"])
        assert (expected, expected, seconds) == (status, problem["status"], headers.get("retry-after")), repr(error)
        assert f"urn:ideogram-async:{type(error).__name__}" == problem["type"]
        assert (str(error.billed), error.retryable) == (problem["billed"], problem["retryable"])
        assert problem["title"]
        assert problem["detail"]
        assert problem["advice"]
        for secret in (CANARY, SECRET_PATH, "sig=1", "IDEOGRAM_API_KEY"):
            assert secret not in f"{body.decode()} {headers}", repr(error)


async def test_problems_by_field() -> None:
    """An invalid request lists all problems by field."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/")
    async def fail() -> None:
        raise EVERY[1][0]

    async with serving(app) as url:
        _, _, body = await get(url)

    assert {"prompt": ["must not be empty", "is rude"], "seed": ["is odd"]} == json.loads(body)["problems"]


def test_billed_errors_are_not_retried() -> None:
    """An error that is or may be billed has no Retry-After, and is not retryable, except under the same key."""
    billed = [error for error, _, _ in EVERY if error.billed is not Billed.NO]
    costly = [error for error in billed if not isinstance(error, InProgressError)]

    assert [(None, False)] * len(costly) == [(retry_after(error), to_problem(error)["retryable"]) for error in costly]
    kinds = {AmbiguousError, ServerError, DecodeError, RateLimitError, InDoubtError, WaitTimeout}
    assert kinds == {type(error) for error in costly}


def test_a_wait_without_a_key() -> None:
    """Only a key makes it safe to repeat a call that is not finished."""
    problem = to_problem(WaitTimeout("pending", ticket=Accepted(CANARY), status="pending"))

    assert "Do not send it again: the operator of this site can still receive the result." == problem["advice"]


def test_statuses_and_titles() -> None:
    """Each problem has an error status and a title."""
    assert all(400 <= problem.status < 600 and problem.title for problem in PROBLEMS.values())


def fail(fault: Fault) -> Callable[[Sandbox], None]:
    return lambda sandbox: sandbox.fail("generate", fault=fault, times=100)


REAL = {
    "wrong key": (fail(Fault.status(401, f'{{"error": "{CANARY} is wrong"}}')), 502, "no"),
    "not allowed": (fail(Fault.status(403, f'{{"error": "{CANARY} may not"}}')), 502, "no"),
    "no credit": (fail(Fault.status(402, '{"error": "no credit"}')), 503, "no"),
    "busy": (fail(Fault.status(429, '{"error": "busy"}')), 503, "no"),
    "unsafe": (fail(Fault.status(422, '{"error": "unsafe"}')), 422, "no"),
    "cut off": (fail(Fault.reset_after_headers), 502, "yes"),
    "no answer": (fail(Fault.reset_before_headers), 504, "unknown"),
    "gateway": (fail(Fault.html_502), 502, "unknown"),
    "invalid JSON": (fail(Fault.garbage_json), 502, "yes"),
    "unreachable": (fail(Fault.refuse), 503, "no"),
}


@pytest.mark.parametrize("name", REAL)
async def test_real_failures(name: str, sandbox: Sandbox) -> None:
    """A failure of the service becomes the right status and cost, without the API key in the response."""
    prepare, expected, billed = REAL[name]
    prepare(sandbox)
    retry = Retry(attempts=2, base=0.0, throttle_wait=0.0)
    client = Ideogram(CANARY, base_url=sandbox.url, retry=retry, limiter=fast_limiter())
    app = FastAPI(lifespan=partial(lifespan, client=client))
    install_error_handlers(app)

    @app.get("/")
    async def fox(client: Client) -> None:
        await client.generate("a fox")

    async with serving(app) as url:
        status, headers, body = await get(url)

    sandbox.release()

    assert (expected, billed) == (status, json.loads(body)["billed"])
    assert CANARY not in f"{headers} {body.decode()}"


@pytest.mark.parametrize(
    ("fault", "status"),
    [(Fault.expired, 410), (Fault.not_an_image, 502), (Fault.status(404), 410), (Fault.status(500), 502)],
)
async def test_unavailable_image(fault: Fault, status: int, sandbox: Sandbox) -> None:
    """An image that fails before its first byte becomes a problem document."""
    client = Ideogram(CANARY, base_url=sandbox.url, retry=Retry(base=0.0))
    app = FastAPI(lifespan=partial(lifespan, client=client))
    install_error_handlers(app)

    @app.get("/")
    async def fox(client: Client) -> Any:
        return image_response(client, (await client.generate("a fox")).data[0])

    sandbox.fail("images", fault=fault, times=100)
    async with serving(app) as url:
        code, headers, body = await get(url)

    assert (status, status) == (code, json.loads(body)["status"])
    assert ("application/problem+json", "no-store") == (headers["content-type"], headers["cache-control"])
    assert "sig=" not in body.decode()


@pytest.mark.parametrize("reader", [Path(SECRET_PATH), None], ids=["path", "open file"])
async def test_unreadable_file(reader: Path | None, sandbox: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    """The problem contains the field, and only the log contains the path on the server."""

    class Broken:
        def read(self, size: int = -1, /) -> bytes:
            raise PermissionError(13, "Permission denied", SECRET_PATH)

    app = FastAPI(lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=sandbox.url)))
    install_error_handlers(app)

    @app.get("/")
    async def remix(client: Client) -> None:
        await client.remix(reader or Broken(), "a fox")

    async with serving(app) as url:
        status, _, body = await get(url)

    assert (422, {"image": ["cannot be read"]}) == (status, json.loads(body)["problems"])
    assert SECRET_PATH not in body.decode()
    assert [True] == [SECRET_PATH in str(record.exc_info) for record in caplog.records if record.exc_info]


async def test_starlette(sandbox: Sandbox) -> None:
    """Errors of a Starlette app become problem documents."""

    async def fox(request: Request) -> None:
        client = await get_client(request)
        await client.send(Generate("", num_images=9))

    app = Starlette(routes=[Route("/", fox)], lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=sandbox.url)))
    install_error_handlers(app)
    async with serving(app) as url:
        status, _, body = await get(url)

    assert 422 == status
    assert {"prompt", "num_images"} == set(json.loads(body)["problems"])


async def test_logged_errors(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the server, or one that may be billed, is logged with its cause; an invalid request is not."""
    app = FastAPI()
    install_error_handlers(app)

    @app.get("/{n}")
    async def fail(n: int) -> None:
        raise EVERY[n][0]

    async with serving(app) as url:
        for n in (1, 4, 7):
            await get(f"{url}/{n}")

    logged = [record for record in caplog.records if record.name == "ideogram_async" and record.exc_info]

    assert ["AmbiguousError answered with 504", "AuthenticationError answered with 502"] == [
        record.message for record in logged
    ]


Receive = Callable[[], Awaitable[dict[str, Any]]]


@pytest.mark.parametrize("is_accepted", [True, False])
async def test_web_socket(is_accepted: bool) -> None:
    """A web socket is closed, with the title as its reason."""
    app = FastAPI()
    install_error_handlers(app)

    @app.websocket("/")
    async def talk(socket: WebSocket) -> None:
        if is_accepted:
            await socket.accept()

        raise EVERY[4][0]

    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b"", "app": app}
    await app(scope, receive, send)  # type: ignore[arg-type]

    assert {"type": "websocket.close", "code": 1011, "reason": "Outcome unknown"} == sent[-1]
    assert [is_accepted] == [sent[0]["type"] == "websocket.accept"]
