"""The layer that tries again. tenacity runs it; `Retry` decides."""

from __future__ import annotations

import asyncio
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, stop_never

from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.policy import THROTTLED, Retry
from ideogram_async._wire.call import Call, Send
from ideogram_async.errors import AmbiguousError, Billed, IdeogramError, Phase, TransportError
from ideogram_async.events import Retrying
from ideogram_async.models.base import Reply


def retrying(send: Send, policy: Retry, emit: Emitter) -> Send:
    """Wrap a layer so that what certainly did not run is sent again."""

    async def send_until_settled(call: Call) -> Reply:
        if policy.deadline is not None:
            call.state.deadline = asyncio.get_running_loop().time() + policy.deadline

        # One controller a call: shared ones mix the attempts, and the exceptions, of their tasks.
        judge = _Judge(policy, send, call, emit)
        controller = AsyncRetrying(retry=judge, wait=judge.wait, stop=stop_never, sleep=asyncio.sleep, reraise=True)
        try:
            return await controller(judge.attempt)
        except Exception as error:
            if not call.state.in_doubt or getattr(error, "billed", Billed.NO) is not Billed.NO:
                raise

            # Whatever ended the last attempt, a missing file or key among it, says nothing of an earlier one.
            words = str(error) if isinstance(error, IdeogramError) else type(error).__name__
            failure = AmbiguousError(f"{words} (an earlier attempt may have run)", phase=call.state.phase)
        finally:
            judge.let_go()

        raise failure

    return send_until_settled


class _Judge:
    """Remembers one call's attempts, and asks the policy about each."""

    def __init__(self, policy: Retry, send: Send, call: Call, emit: Emitter) -> None:
        self._policy = policy
        self._send = send
        self._call = call
        self._emit = emit
        self._attempts = 0
        self._throttled_at: float | None = None
        self._pause = 0.0

    def __call__(self, state: RetryCallState) -> bool:
        """Say whether to try again. Names what it knows: a cancellation, say, passes through."""
        outcome = state.outcome.exception() if state.outcome and state.outcome.failed else _result(state)
        if not isinstance(outcome, Reply | TransportError):
            return False

        now = asyncio.get_running_loop().time()
        attempt = self._count(outcome, now)
        throttled_for = 0.0 if self._throttled_at is None else now - self._throttled_at
        pause = self._policy.pause(self._call, outcome, attempt=attempt, throttled_for=throttled_for)
        self._note_doubt(outcome)
        deadline = self._call.state.deadline
        if pause is None or (deadline is not None and now + pause >= deadline):
            return False

        self._pause = pause
        self._call.state.phase = Phase.QUEUED
        self._tell(outcome, pause)
        return True

    async def attempt(self) -> Reply:
        """Send the call once."""
        return await self._send(self._call)

    def let_go(self) -> None:
        """Forget everything: tenacity's objects go round in a circle, which must not keep a dropped client alive."""
        vars(self).clear()

    def wait(self, _: RetryCallState) -> float:
        """Return the seconds that were decided on."""
        return self._pause

    def _count(self, outcome: Reply | TransportError, now: float) -> int:
        if isinstance(outcome, Reply) and outcome.status == THROTTLED:
            self._throttled_at = now if self._throttled_at is None else self._throttled_at
        else:
            self._throttled_at = None
            self._attempts += 1

        return self._attempts

    def _note_doubt(self, outcome: Reply | TransportError) -> None:
        # After the decision: the policy has to know whether an *earlier* attempt was in doubt.
        failed = isinstance(outcome, AmbiguousError) or (isinstance(outcome, Reply) and outcome.status >= 500)
        self._call.state.in_doubt |= failed and self._call.charged

    def _tell(self, outcome: Reply | TransportError, pause: float) -> None:
        if self._throttled_at is not None or not self._emit.enabled:
            return

        state = self._call.state
        event = Retrying(
            call_id=state.call_id,
            operation=self._call.operation,
            attempt=state.attempts,
            pause=pause,
            reason=f"status {outcome.status}" if isinstance(outcome, Reply) else str(outcome),
        )
        self._emit(event)


def _result(state: RetryCallState) -> Any:
    return state.outcome.result() if state.outcome else None
