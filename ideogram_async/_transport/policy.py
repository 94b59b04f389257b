"""What may be tried again, and how long anything may take: values that decide, and never act.

The outcome of an attempt, and what it allows:

    ============================  ============  =======================
    outcome                       charged call  call that costs nothing
    ============================  ============  =======================
    not one byte left             again         again
    left, no usable answer        never (*)     again
    2xx, whole                    done          done
    2xx, cut                      never         again
    429                           again, later  again, later
    408, 425                      never         again
    other 3xx and 4xx             never         never
    5xx                           never (*)     again
    ============================  ============  =======================

(*) once more with `Retry(ambiguous=True)`.

Source: https://developer.ideogram.ai/ideogram-api/idempotency
"""

from __future__ import annotations

import math
import random
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import ge

from ideogram_async._limiter.congestion import MAX_RETRY_AFTER
from ideogram_async._wire.call import Call
from ideogram_async._wire.decode import retry_after_of
from ideogram_async.errors import AmbiguousError, TransportError
from ideogram_async.models.base import Reply

THROTTLED = 429


def _positive(_: object, field: Attribute[Any], value: Any) -> None:
    if value is not None and not 0 < value < math.inf:
        raise ValueError(f"{field.name} must be more than 0 seconds, or None to wait for ever, not {value}")


@frozen
class Timeout:
    """How long one attempt may take, in seconds.

    `Timeout()` waits 300 s for the answer and 10 s for the connection. The service itself gives up after 265 s with
    a 503; a shorter `total` ends in doubt what it would have answered.
    Source: https://developer.ideogram.ai/ideogram-api/production-integration
    """

    total: float | None = field(default=300.0, validator=_positive)
    """From the moment the call has its place to the last byte of its answer. `None` waits for ever."""
    connect: float | None = field(default=10.0, validator=_positive)
    """For the lookup, the connection and TLS."""

    @classmethod
    def of(cls, value: Timeout | float | str | None) -> Timeout:
        """Read what a caller or the environment gave: a `Timeout`, or the seconds of `total`.

        Raises:
            ValueError: If it is no number of seconds.
        """
        if isinstance(value, Timeout):
            return value

        return cls(total=float(value)) if value not in (None, "") else cls()


@frozen(kw_only=True)
class Retry:
    """When to try again. Immutable; all times in seconds.

    A call that costs money is tried again only when it certainly did not run: it never left, or the service refused
    it with 429. The pause after attempt n is drawn from 0 to `min(cap, base * 2**(n-1))`; Retry-After is its floor.
    """

    attempts: int = field(default=5, validator=ge(1))
    """How often a call is tried at most; refusals with 429 do not count."""
    deadline: float | None = field(default=None, validator=_positive)
    """Bound on all attempts together, with their pauses but without the time in this client's own queue."""
    base: float = field(default=1.0, validator=ge(0))
    """The longest first pause."""
    cap: float = field(default=30.0, validator=ge(0))
    """The longest pause."""
    throttle_wait: float = field(default=1800.0, validator=ge(0))
    """How long to go on after the first 429 in a row, before `RateLimitError`."""
    ambiguous: bool = False
    """Send a charged call that may have run once more. That is a decision to buy: it can pay twice."""

    def backoff(self, attempt: int) -> float:
        """Draw the pause after attempt n, counted from 1."""
        # A larger power would outgrow a float one day.
        return random.uniform(0.0, min(self.cap, self.base * 2.0 ** min(attempt - 1, 1000)))

    def pause(self, call: Call, outcome: Reply | TransportError, *, attempt: int, throttled_for: float) -> float | None:
        """Say how many seconds to wait before trying again, or `None` to stop.

        Args:
            call: What was sent; its state tells whether an earlier attempt is in doubt.
            outcome: What came of it.
            attempt: How many attempts there were, refusals with 429 not counted.
            throttled_for: Seconds since the first 429 in a row.
        """
        asked = retry_after_of(outcome.headers) if isinstance(outcome, Reply) else None
        floor = min(asked or 0.0, MAX_RETRY_AFTER)
        if isinstance(outcome, Reply) and outcome.status == THROTTLED:
            # The limiter's gate does the waiting; a call that takes no place passes no gate, so its pauses grow.
            longest = min(self.base, 1.0) if call.weight else min(self.cap, self.base + throttled_for)
            pause = max(floor, random.uniform(0.0, longest))
            return pause if throttled_for + pause <= self.throttle_wait else None

        if attempt >= self.attempts or not self.may_repeat(call, outcome):
            return None

        return max(floor, self.backoff(attempt))

    def may_repeat(self, call: Call, outcome: Reply | TransportError) -> bool:
        """Say whether another attempt cannot pay twice, or was asked for all the same."""
        if isinstance(outcome, TransportError):
            return self._may_buy_again(call) if isinstance(outcome, AmbiguousError) else outcome.retryable

        if outcome.status >= 500:
            return not call.charged or self._may_buy_again(call)

        return not call.charged and (outcome.cut is not None or outcome.status in (408, 425))

    def _may_buy_again(self, call: Call) -> bool:
        return self.ambiguous and not call.state.in_doubt
