"""One resend of a call that may have run, if the caller allows it. The doubt is reported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.clients import CANARY, Events, connected, fast_limiter
from support.fakes import AMBIGUOUS, NOT_SENT, FakeSend, call, reply
from support.rawserver import OK, RawServer, Script, page, refused, reset, whole

from ideogram_async import (
    AmbiguousError,
    APIStatusError,
    BadRequestError,
    Billed,
    IdeogramError,
    RateLimitError,
    Retry,
    ServerError,
)
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.retry import retrying
from ideogram_async._transport.tasks import Tasks
from ideogram_async._wire.decode import check
from ideogram_async.events import Failed, Retrying, Sending

ONCE_MORE = Retry(base=0.0, ambiguous=True)
LOST: Script = (whole, reset)


async def test_lost_twice() -> None:
    """A call that is lost twice is sent twice, never a third time."""
    async with RawServer(LOST, LOST, OK) as server:
        events = Events()
        async with connected(server.url, retry=ONCE_MORE, on_event=events) as client:
            with pytest.raises(AmbiguousError) as caught:
                await client.generate("a fox")

        assert (Billed.UNKNOWN, False) == (caught.value.billed, caught.value.retryable)
        assert (2, 2, 1) == (server.posts, len(events.of(Sending)), len(events.of(Retrying)))


async def test_lost_once() -> None:
    """After a successful resend, the answer says that an earlier attempt may have been billed too."""
    async with RawServer(LOST, OK) as server:
        async with connected(server.url, retry=ONCE_MORE) as client:
            images = await client.generate("a fox")

        assert (2, 2, True) == (server.posts, images.meta.attempts, images.meta.in_doubt)


@pytest.mark.parametrize("second", [page(502), refused(400), refused(401), refused(403), (whole, reset)])
async def test_resend_fails(second: Script) -> None:
    """If the resend fails, the first attempt stays in doubt."""
    async with RawServer(page(502), second, OK) as server:
        events = Events()
        async with connected(server.url, retry=ONCE_MORE, on_event=events) as client:
            with pytest.raises(IdeogramError) as caught:
                await client.generate("a fox")

        assert (Billed.UNKNOWN, False) == (caught.value.billed, caught.value.retryable)
        assert [Billed.UNKNOWN] == [event.billed for event in events.of(Failed)]
        assert 2 == server.posts


async def test_resend_is_throttled() -> None:
    """A rejection with 429 does not clear the doubt."""
    async with RawServer(page(502), refused(429)) as server:
        policy = Retry(base=0.0, ambiguous=True, throttle_wait=0.0)
        async with connected(server.url, retry=policy) as client:
            with pytest.raises(RateLimitError) as caught:
                await client.generate("a fox")

        assert (Billed.UNKNOWN, False) == (caught.value.billed, caught.value.retryable)


async def test_resend_cannot_be_sent() -> None:
    """A resend that cannot be sent does not clear the doubt."""
    send = FakeSend(AMBIGUOUS, NOT_SENT)
    with pytest.raises(AmbiguousError, match="an earlier attempt may have run"):
        await retrying(send, ONCE_MORE, Emitter(None, Tasks))(call())

    assert 1 + 4 == len(send.calls)


def remove_image(image: Path, _: Any) -> None:
    image.unlink()


def remove_key(_: Path, keys: list[str]) -> None:
    keys[0] = ""


def break_key(_: Path, keys: list[str]) -> None:
    keys[0] = "a\nb"


@pytest.mark.parametrize("change", [remove_image, remove_key, break_key])
async def test_resend_without_file_or_key(tmp_path: Path, change: Callable[[Path, Any], None]) -> None:
    """A resend whose file or key is missing does not clear the doubt."""
    image, keys = tmp_path / "fox.png", [CANARY]
    image.write_bytes(b"\x89PNG\r\n\x1a\nfox")

    def on_event(event: Any) -> None:
        events(event)
        if isinstance(event, Retrying):
            change(image, keys)

    events = Events()
    async with RawServer(LOST, OK) as server:
        async with connected(server.url, api_key=lambda: keys[0], retry=ONCE_MORE, on_event=on_event) as client:
            with pytest.raises(AmbiguousError, match="an earlier attempt may have run"):
                await client.remove_background(image)

        assert [Billed.UNKNOWN] == [event.billed for event in events.of(Failed)]
        assert 1 == server.posts


@pytest.mark.parametrize("charged", [False, True])
@pytest.mark.parametrize("status", [200, 204, 301, 400, 401, 402, 403, 408, 409, 422, 425, 429, 500, 503, 524, 599])
def test_status_table(status: int, charged: bool) -> None:
    """No status makes a charged call run twice; only 429 is retried."""
    pause = Retry(base=0.0).pause(call(charged=charged), reply(status), attempt=1, throttled_for=0.0)
    expected = status == 429 or (not charged and (status in (408, 425) or status >= 500))

    assert expected == (pause is not None)


@pytest.mark.parametrize("ambiguous", [False, True])
@pytest.mark.parametrize("in_doubt", [False, True])
@pytest.mark.parametrize("outcome", [reply(200, cut="cut"), reply(302), reply(400), reply(500), AMBIGUOUS, NOT_SENT])
def test_resend_table(outcome: Any, in_doubt: bool, ambiguous: bool) -> None:
    """Only `ambiguous=True` allows a resend, only once, and never after a success."""
    order = call()
    order.state.in_doubt = in_doubt
    may = Retry(ambiguous=ambiguous).may_repeat(order, outcome)
    is_doubt = isinstance(outcome, AmbiguousError) or getattr(outcome, "status", 0) >= 500

    assert (outcome is NOT_SENT or (is_doubt and ambiguous and not in_doubt)) == may


@pytest.mark.parametrize("charged", [False, True])
@pytest.mark.parametrize("in_doubt", [False, True])
@pytest.mark.parametrize("status", [302, 400, 401, 402, 403, 404, 418, 422, 429, 500, 503])
def test_doubt_is_reported(status: int, in_doubt: bool, charged: bool) -> None:
    """A refused call that costs money reports `NO` only if no attempt can have run."""
    order, last = call(charged=charged), reply(status)
    object.__setattr__(last, "in_doubt", in_doubt and charged)
    with pytest.raises(APIStatusError) as caught:
        check(order, last)

    expected = charged and (in_doubt or status >= 500)

    assert (Billed.UNKNOWN if expected else Billed.NO) == caught.value.billed
    assert not (expected and caught.value.retryable)


async def test_attempts_bound_the_resend() -> None:
    """With one attempt there is no resend."""
    async with RawServer(LOST, OK) as server:
        async with connected(server.url, retry=Retry(attempts=1, ambiguous=True)) as client:
            with pytest.raises(AmbiguousError):
                await client.generate("a fox")

        assert 1 == server.posts


class Failing:
    """A limiter that fails after the call, as over a network that is down."""

    queued = 0.0

    def __init__(self, error: Exception) -> None:
        self.error = error

    def acquire(self, weight: int) -> Any:
        return self

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        raise self.error

    def note_rejected(self, max_in_flight: int | None, retry_after: float | None) -> None:
        raise self.error

    def note_accepted(self, weight: int) -> None:
        raise self.error

    def statistics(self) -> Any:
        return fast_limiter().statistics()


@pytest.mark.parametrize("error", [ConnectionError(), NOT_SENT, KeyError()])
async def test_limiter_fails_afterwards(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """A limiter that fails after the response neither loses the answer nor causes a resend."""
    async with RawServer(OK, (whole, reset)) as server:
        async with connected(server.url, limiter=Failing(error)) as client:
            images = await client.generate("a fox")
            with pytest.raises(AmbiguousError):
                await client.generate("a fox")

        assert (1, 2) == (len(images.data), server.posts)
        assert "the limiter failed" in caplog.text


async def test_retryable_errors_cost_nothing() -> None:
    """No error with `retryable` has cost anything."""
    for kind in (AmbiguousError, ServerError, BadRequestError, RateLimitError):
        assert not (kind.retryable and kind.billed is not Billed.NO)
