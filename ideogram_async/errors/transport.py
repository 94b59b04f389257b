"""No usable answer came."""

from __future__ import annotations

from ideogram_async.errors.base import Billed, IdeogramError, Phase

__all__ = [
    "AmbiguousError",
    "NotSentError",
    "TransportError",
]


class TransportError(IdeogramError):
    """No usable answer came. As itself: a call that costs nothing, sent in vain."""

    retryable = True
    advice = "The call costs nothing: send it again."

    def __init__(self, message: str, *, phase: Phase, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.phase = phase
        """How far the last attempt had come."""

        if retryable is not None:
            self.retryable = retryable


class NotSentError(TransportError):
    """Not one byte left: the lookup, the connection or TLS failed, or the time ran out before. Never billed."""

    advice = "Nothing was sent. Check the network, the base URL and the proxy, then send again."


class AmbiguousError(TransportError):
    """A call that costs money was sent and has no usable answer: it may have run, and may have been billed."""

    billed = Billed.UNKNOWN
    retryable = False
    advice = "The call may have run and been paid for. Sending it again may pay a second time: decide, do not loop."
