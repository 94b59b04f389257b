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
from ideogram_async.errors import Billed, IdeogramError
from ideogram_async.events import Event, Failed
from ideogram_async.models.base import Reply

Listener: TypeAlias = Callable[[Event], Awaitable[None] | None]
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


def emit_failure(emit: Emitter, call: Call, error: BaseException) -> None:
    """Report the error that ended a call, and whether the call may have been billed."""
    if not emit.enabled:
        return

    if isinstance(error, IdeogramError):
        billed, message = error.billed, str(error)
    else:
        may_have_run = call.charged and call.state.may_have_run
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
