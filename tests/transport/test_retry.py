"""Memory and cancellation of the retry layer."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Generator
from contextlib import suppress
from weakref import ref

import pytest
from support.fakes import call, reply

from ideogram_async import AmbiguousError, InvalidRequestError, NotSentError, Reply, Retry
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.retry import retrying
from ideogram_async._transport.tasks import Tasks
from ideogram_async._wire.call import Call
from ideogram_async.errors import Phase
from ideogram_async.events import Event

Outcome = Callable[[], Reply]


def not_sent() -> Reply:
    raise NotSentError("no way", phase=Phase.CONNECTING)


def ambiguous() -> Reply:
    raise AmbiguousError("lost", phase=Phase.SENT)


def no_file() -> Reply:
    raise InvalidRequestError([("image", "cannot be read")])


def bug() -> Reply:
    raise KeyError("bug")


def cancelled() -> Reply:
    raise asyncio.CancelledError


class Layer:
    """A layer below that has one outcome after another, and keeps none."""

    def __init__(self, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)

    async def __call__(self, call: Call) -> Reply:
        await asyncio.sleep(0)
        return self.outcomes.pop(0)()


class Listener:
    """A listener that can be referenced weakly."""

    def __call__(self, event: Event) -> None:
        """Ignore the event."""


@pytest.fixture
def no_garbage_collection() -> Generator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_garbage_collection")
@pytest.mark.parametrize(
    "outcomes",
    [
        [reply],
        [not_sent, lambda: reply(429), reply],
        [lambda: reply(400)],
        [lambda: reply(500)] * 2,
        [not_sent] * 3,
        [ambiguous] * 2,
        [ambiguous, no_file],
        [no_file],
        [bug],
        [cancelled],
    ],
)
async def test_a_finished_call_is_freed_at_once(outcomes: list[Outcome]):
    """A call, the layer below and the listener are freed when the call ends, without the garbage collector."""
    layer, listener, sent = Layer(*outcomes), Listener(), call()
    send = retrying(layer, Retry(attempts=3, base=0.0, ambiguous=True), Emitter(listener, Tasks))
    references = [ref(sent), ref(layer), ref(listener)]
    with suppress(BaseException):
        await send(sent)

    assert [] == layer.outcomes

    del send, sent, layer, listener

    assert [None, None, None] == [reference() for reference in references]


@pytest.mark.parametrize("moment", ["during an attempt", "during the pause"])
async def test_a_cancelled_call_is_not_sent_again(moment: str):
    """A cancellation ends the call, during an attempt as well as during a pause."""
    is_sent, calls = asyncio.Event(), list[Call]()

    async def send(sent: Call) -> Reply:
        calls.append(sent)
        is_sent.set()
        if moment == "during an attempt":
            await asyncio.Event().wait()

        return reply(429)

    task = asyncio.create_task(retrying(send, Retry(base=3600.0), Emitter(None, Tasks))(call(weight=0)))
    await is_sent.wait()
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert task.cancelled()
    assert 1 == len(calls)
