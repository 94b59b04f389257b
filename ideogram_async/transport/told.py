"""That a call has failed, told once."""

from __future__ import annotations

from ideogram_async.errors import Billed, IdeogramError
from ideogram_async.events import Failed
from ideogram_async.models.reply import Reply
from ideogram_async.transport.emitter import Emitter
from ideogram_async.wire.call import Call, Send
from ideogram_async.wire.decode import status_error

__all__ = ["tell_failure", "told"]


def told(send: Send, emit: Emitter) -> Send:
    """Wrap the layers of a call whose answer is read elsewhere, and later."""

    async def send_and_tell(call: Call) -> Reply:
        try:
            reply = await send(call)
        except BaseException as error:
            tell_failure(emit, call, error)
            raise

        if not reply.is_success:
            tell_failure(emit, call, status_error(call, reply))

        return reply

    return send_and_tell


def tell_failure(emit: Emitter, call: Call, error: BaseException) -> None:
    """Tell what it has ended with, and what that may have cost."""
    if isinstance(error, IdeogramError):
        billed, message = error.billed, str(error)
    else:
        may_have_run = call.charged and call.trail.may_have_run()
        billed, message = Billed.UNKNOWN if may_have_run else Billed.NO, ""

    emit(
        Failed,
        call_id=call.trail.call_id,
        operation=call.operation,
        error=type(error).__name__,
        message=message,
        billed=billed,
        phase=call.trail.phase,
    )
