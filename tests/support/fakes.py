"""Scripted replacement of the layer below: a `Send` with fixed outcomes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from ideogram_async._wire.call import Call
from ideogram_async.errors import AmbiguousError, NotSentError, Phase, TransportError
from ideogram_async.models.base import Reply

__all__ = ["AMBIGUOUS", "NOT_SENT", "FakeSend", "call", "reply"]


class FakeSend:
    """A layer with one outcome after another, the last one repeated. Each could come from an attempt over HTTP."""

    def __init__(self, *outcomes: Reply | Exception) -> None:
        self.outcomes = list(outcomes)
        self.calls: list[Call] = []
        self.sent_at: list[float] = []

    async def __call__(self, call: Call) -> Reply:
        outcome = self.outcomes[min(len(self.calls), len(self.outcomes) - 1)]
        self.calls.append(call)
        self.sent_at.append(asyncio.get_running_loop().time())
        call.state.attempts += 1
        call.state.phase = outcome.phase if isinstance(outcome, TransportError) else Phase.ANSWERING
        await asyncio.sleep(0)
        if isinstance(outcome, Exception):
            raise outcome

        return outcome


def reply(status: int = 200, *, cut: str | None = None, headers: Iterable[tuple[str, str]] = ()) -> Reply:
    """Return a reply."""
    return Reply(status=status, raw=b"{}", cut=cut, headers=dict(headers))


def call(*, charged: bool = True, weight: int = 1) -> Call:
    """Return a call."""
    return Call(operation="POST /x", method="POST", path="/x", charged=charged, weight=weight)


AMBIGUOUS = AmbiguousError("lost", phase=Phase.SENT)
NOT_SENT = NotSentError("no way", phase=Phase.CONNECTING)
