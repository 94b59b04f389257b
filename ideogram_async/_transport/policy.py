"""Retry and timeout policy: pure decisions, without I/O.

The outcome of an attempt, and whether it is retried:

    ============================  ============  ==================
    outcome                       charged call  call without cost
    ============================  ============  ==================
    no byte sent                  yes           yes
    sent, no usable response      never (*)     yes
    2xx, complete                 done          done
    2xx, truncated                never         yes
    429                           yes, later    yes, later
    408, 425                      never         yes
    other 3xx and 4xx             never         never
    5xx                           never (*)     yes
    ============================  ============  ==================

(*) once with `Retry(ambiguous=True)`.

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
from ideogram_async._wire.headers import retry_after_of
from ideogram_async.errors import AmbiguousError, TransportError
from ideogram_async.models.base import Reply

THROTTLED = 429


def _positive(_: object, field: Attribute[Any], value: float | None) -> None:
    if value is not None and not 0 < value < math.inf:
        raise ValueError(f"{field.name} must be more than 0 seconds, or None for no limit, not {value}")


@frozen(kw_only=True)
class Retry:
    """Retry policy. Immutable; all times in seconds.

    A call that costs money is retried only when it certainly did not run: it was never sent, or was rejected with 429.
    The pause after attempt n is random between 0 and `min(cap, base * 2**(n-1))` (exponential back-off with jitter),
    and never shorter than Retry-After.
    """

    attempts: int = field(default=5, validator=ge(1))
    """Maximum number of attempts. Rejections with 429 do not count."""
    deadline: float | None = field(default=None, validator=_positive)
    """Bound on all attempts together, with their pauses but without the time in this client's own queue."""
    base: float = field(default=1.0, validator=ge(0))
    """The longest first pause."""
    cap: float = field(default=30.0, validator=ge(0))
    """The longest pause."""
    throttle_wait: float = field(default=1800.0, validator=ge(0))
    """Maximum time of retries after the first 429 in a row, before `RateLimitError`."""
    ambiguous: bool = False
    """Whether a charged call that may have run is sent once more. This may bill you twice."""

    def backoff(self, attempt: int) -> float:
        """Return a random pause after attempt n, counted from 1."""
        # A larger power would overflow a float.
        return random.uniform(0.0, min(self.cap, self.base * 2.0 ** min(attempt - 1, 1000)))

    def pause(self, call: Call, outcome: Reply | TransportError, *, attempt: int, throttled_for: float) -> float | None:
        """Return the seconds to wait before the next attempt, or `None` to stop.

        Args:
            call: The call; its state contains whether an earlier attempt is in doubt.
            outcome: The outcome of the last attempt.
            attempt: Number of attempts so far, without rejections with 429.
            throttled_for: Seconds since the first 429 in a row.
        """
        retry_after = retry_after_of(outcome.headers) if isinstance(outcome, Reply) else None
        floor = min(retry_after or 0.0, MAX_RETRY_AFTER)
        if isinstance(outcome, Reply) and outcome.status == THROTTLED:
            # The limiter's gate delays the next attempt. A call without slots has no gate, so its pauses grow.
            longest = min(self.base, 1.0) if call.weight else min(self.cap, self.base + throttled_for)
            pause = max(floor, random.uniform(0.0, longest))
            return pause if throttled_for + pause <= self.throttle_wait else None

        if attempt >= self.attempts or not self.may_repeat(call, outcome):
            return None

        return max(floor, self.backoff(attempt))

    def may_repeat(self, call: Call, outcome: Reply | TransportError) -> bool:
        """Return whether another attempt cannot be billed twice, or is allowed by `ambiguous`."""
        if isinstance(outcome, TransportError):
            return self._may_resend(call) if isinstance(outcome, AmbiguousError) else outcome.retryable

        if outcome.status >= 500:
            return not call.charged or self._may_resend(call)

        return not call.charged and (outcome.cut is not None or outcome.status in (408, 425))

    def _may_resend(self, call: Call) -> bool:
        return self.ambiguous and not call.state.in_doubt


@frozen
class Timeout:
    """Time limits of one attempt, in seconds.

    `Timeout()` waits 300 s for the response and 10 s for the connection. The service itself ends a request after 265 s
    with a 503. With a shorter `total`, the outcome of a slow call is unknown.
    Source: https://developer.ideogram.ai/ideogram-api/production-integration
    """

    total: float | None = field(default=300.0, validator=_positive)
    """From the moment the call holds its slots to the last byte of its response. `None` means no limit."""
    connect: float | None = field(default=10.0, validator=_positive)
    """For DNS, connection and TLS."""

    @classmethod
    def of(cls, value: Timeout | float | str | None) -> Timeout:
        """Convert a setting to a `Timeout`: a `Timeout`, or the seconds of `total` as a number or text.

        Raises:
            ValueError: If the value is not a number of seconds.
        """
        if isinstance(value, Timeout):
            return value

        return cls(total=float(value)) if value not in (None, "") else cls()
