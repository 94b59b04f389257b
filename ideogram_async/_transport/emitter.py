"""Event delivery. A slow or failing listener never affects a call."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from ideogram_async._transport.tasks import Tasks
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import status_error
from ideogram_async.errors import BatchError, Billed, IdeogramError
from ideogram_async.events import Answered, Event, Failed
from ideogram_async.models.base import Answer, Reply

Listener: TypeAlias = Callable[[Event], Awaitable[None] | None]
MAY_BE_BILLED = "sent: it may have been billed"
GIVEN_UP = "%s: given up after %.1f s; %s"
logger = logging.getLogger("ideogram_async")

logger.addHandler(logging.NullHandler())


class Emitter:
    """Delivers events to one listener, and to the log at DEBUG.

    A plain function is called at once. The coroutine of an async listener runs in its own task, so a call never waits
    for it. Only the first failure of a listener is logged.
    """

    def __init__(self, listener: Listener | None, tasks: Callable[[], Tasks]) -> None:
        self._listener = listener
        self._tasks = tasks
        self._has_failed = False

    @property
    def enabled(self) -> bool:
        """Return whether events are delivered. Check it before building an event."""
        return self._listener is not None or logger.isEnabledFor(logging.DEBUG)

    def __call__(self, event: Event) -> None:
        """Log the event and pass it to the listener."""
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug("%r", event)

        if self._listener is None:
            return

        try:
            work = self._listener(event)
            if inspect.isawaitable(work):
                self._tasks().start(self._follow(work))
        except (Exception, asyncio.CancelledError) as error:
            # Nothing was awaited here, so the listener raised the cancellation itself, for example by reading a future.
            self._log_once(error)

    async def _follow(self, work: Awaitable[None]) -> None:
        try:
            await work
        except Exception as error:
            self._log_once(error)

    def _log_once(self, error: BaseException) -> None:
        if not self._has_failed:
            self._has_failed = True
            logger.error("on_event failed; its further failures are not reported", exc_info=error)


def reporting(send: Send, emit: Emitter) -> Send:
    """Wrap layers so that each failed call is reported exactly once."""

    async def send_reporting(call: Call) -> Reply:
        try:
            reply = await send(call)
        except BaseException as error:
            emit_failure(emit, call, error)
            raise

        if not reply.is_success:
            emit_failure(emit, call, status_error(call, reply))

        return reply

    return send_reporting


def answered(call: Call, reply: Reply) -> Answered:
    """Return the event of a reply."""
    return Answered(
        call_id=call.state.call_id,
        operation=call.operation,
        attempt=call.state.attempts,
        status=reply.status,
        elapsed=call.state.elapsed(),
    )


def answering(send: Send, emit: Emitter) -> Send:
    """Wrap layers so that an accepted call is reported as answered when its generation has ended."""

    async def send_answering(call: Call) -> Reply:
        # Replaced if the call is sent, and not if its generation was accepted before.
        call.state.began = asyncio.get_running_loop().time()
        reply = await send(call)
        if call.state.accepted is not None and emit.enabled:
            emit(answered(call, reply))

        return reply

    return send_answering


def warn_if_may_be_billed(call: Call, error: BaseException) -> None:
    """Log a call that is given up after it was sent, if it costs money. A cancellation gets a note with the reason."""
    if call.charged and call.state.may_have_run:
        accepted, fate = call.state.accepted, MAY_BE_BILLED
        if accepted is not None:
            fate = f"the generation {accepted} continues, and is billed if it succeeds"

        logger.warning(GIVEN_UP, call.operation, call.state.elapsed(), fate)
        if isinstance(error, asyncio.CancelledError):
            error.add_note(fate)


def warn_if_empty(call: Call, answer: object) -> None:
    """Log an answer without items to a call that costs money."""
    if isinstance(answer, Answer) and answer.meta.is_empty:
        logger.warning("%s: the answer has no items; request id %s", call.operation, answer.meta.request_id)


def emit_failure(emit: Emitter, call: Call, error: BaseException) -> None:
    """Report the error that ended a call, and whether the call may have been billed."""
    if not emit.enabled:
        return

    if isinstance(error, IdeogramError) and not isinstance(error, BatchError):
        billed, message = error.billed, str(error)
    else:
        may_have_run = call.charged and (call.state.may_have_run or call.state.accepted is not None)
        billed, message = Billed.UNKNOWN if may_have_run else Billed.NO, ""

    event = Failed(
        call_id=call.state.call_id,
        operation=call.operation,
        error=type(error).__name__,
        message=message,
        billed=billed,
        phase=call.state.phase,
    )
    emit(event)
