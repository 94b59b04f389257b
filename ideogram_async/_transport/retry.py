"""Layer that retries calls. tenacity runs it, `Retry` decides."""

from __future__ import annotations

import asyncio
import math

from tenacity import AsyncRetrying, RetryCallState, stop_never

from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.limit import NoSlotsError
from ideogram_async._transport.policy import Retry, is_throttled
from ideogram_async._wire.call import Call, Send
from ideogram_async.errors import AmbiguousError, Billed, IdeogramError, NotSentError, Phase, TransportError
from ideogram_async.events import Retrying
from ideogram_async.models.base import Reply


def retrying(send: Send, policy: Retry, emit: Emitter) -> Send:
    """Wrap a layer so that calls which certainly did not run are sent again."""

    async def attempt(decision: _RetryDecision) -> None:
        # tenacity would keep a raised or returned error in a cycle with its traceback, and so the call.
        try:
            decision.outcome = await send(decision.call)
        except BaseException as error:
            decision.outcome = error

    async def send_retrying(call: Call) -> Reply:
        if policy.deadline is not None:
            call.state.deadline = asyncio.get_running_loop().time() + policy.deadline

        # One controller per call, because a shared one mixes the attempts of its tasks. It is part of a cycle, so the
        # call is an argument of the attempt, and `retry` and `wait` do not hold it.
        decision = _RetryDecision(call, policy, emit)
        await AsyncRetrying(retry=_again, wait=_pause, stop=stop_never, sleep=asyncio.sleep)(attempt, decision)
        outcome = decision.outcome
        del decision.outcome
        if isinstance(outcome, Reply):
            return outcome

        try:
            raise _final_error(call, outcome)
        finally:
            del outcome

    return send_retrying


def _again(state: RetryCallState) -> bool:
    decision: _RetryDecision = state.args[0]
    return decision.again()


def _pause(state: RetryCallState) -> float:
    decision: _RetryDecision = state.args[0]
    return decision.pause


class _RetryDecision:
    """The attempts of one call so far, and the decision about the next one."""

    outcome: Reply | BaseException
    """Outcome of the last attempt."""

    def __init__(self, call: Call, policy: Retry, emit: Emitter) -> None:
        self.call = call
        self.pause = 0.0
        self._policy = policy
        self._emit = emit
        self._attempts = 0
        self._throttled: Reply | None = None
        self._throttled_at = 0.0

    def again(self) -> bool:
        """Return whether to send the call again, after `pause` seconds."""
        outcome = self.outcome
        if not isinstance(outcome, Reply | TransportError):
            return False

        now, state = asyncio.get_running_loop().time(), self.call.state
        is_late = isinstance(outcome, NoSlotsError) or (state.deadline is not None and now >= state.deadline)
        if self._throttled is not None and is_late and isinstance(outcome, NotSentError):
            self.outcome = self._throttled
            return False

        self._count(outcome, now)
        # The time in this client's own queue does not count.
        throttled_for = 0.0 if self._throttled is None else now - state.queued - self._throttled_at
        pause = self._policy.pause(self.call, outcome, attempt=self._attempts, throttled_for=throttled_for)
        # Only after the decision: the policy needs to know whether an *earlier* attempt is in doubt.
        state.in_doubt |= self.call.charged and _is_in_doubt(outcome)
        if pause is None or (state.deadline is not None and now + pause >= state.deadline):
            return False

        self.pause = pause
        state.phase = Phase.QUEUED
        state.acquire_by = math.inf if self._throttled is None else now - throttled_for + self._policy.throttle_wait
        if self._throttled is None and self._emit.enabled:
            self._emit(self._retrying(outcome))

        return True

    def _count(self, outcome: Reply | TransportError, now: float) -> None:
        if isinstance(outcome, Reply) and is_throttled(outcome):
            if self._throttled is None:
                self._throttled_at = now - self.call.state.queued

            self._throttled = outcome
        else:
            self._throttled = None
            self._attempts += 1

    def _retrying(self, outcome: Reply | TransportError) -> Retrying:
        return Retrying(
            call_id=self.call.state.call_id,
            operation=self.call.operation,
            attempt=self.call.state.attempts,
            pause=self.pause,
            reason=f"status {outcome.status}" if isinstance(outcome, Reply) else str(outcome),
        )


def _is_in_doubt(outcome: Reply | TransportError) -> bool:
    return isinstance(outcome, AmbiguousError) or (isinstance(outcome, Reply) and outcome.status >= 500)


def _final_error(call: Call, error: BaseException) -> BaseException:
    """Return the error to raise: an earlier attempt may have run, also if the last one failed without being sent."""
    is_in_doubt = call.state.in_doubt and getattr(error, "billed", Billed.NO) is Billed.NO
    if not is_in_doubt or not isinstance(error, Exception):
        return error

    message = str(error) if isinstance(error, IdeogramError) else type(error).__name__
    return AmbiguousError(f"{message} (an earlier attempt may have run)", phase=call.state.phase)
