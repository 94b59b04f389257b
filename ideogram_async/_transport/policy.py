"""Retry and timeout policy: pure decisions, without I/O.

The outcome of an attempt, and whether it is retried:

    ============================  ============  ==================
    outcome                       charged call  call without cost
    ============================  ============  ==================
    no byte sent                  yes           yes
    sent, no usable response      never (*)     yes
    2xx, complete                 done          done
    2xx, truncated                never         yes
    429, images in progress       yes, later    yes, later
    429, another reason           never         never
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
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from attrs import Attribute, field, frozen

from ideogram_async._limiter.congestion import MAX_RETRY_AFTER
from ideogram_async._names import NamedArguments
from ideogram_async._wire.acceptance import json_object
from ideogram_async._wire.call import Call
from ideogram_async._wire.headers import retry_after_of
from ideogram_async.errors import AmbiguousError, TransportError, is_in_flight_limit
from ideogram_async.models.base import Reply

THROTTLED = 429


def at_least(minimum: int, *, whole: bool = False) -> Callable[[object, Attribute[Any], Any], None]:
    """Return a validator of numbers; they are seconds unless they are whole."""
    kind, name = (Integral, "a whole number") if whole else (Real, "a number of seconds")

    def check(_: object, field: Attribute[Any], value: object) -> None:
        if isinstance(value, bool) or not isinstance(value, kind):
            raise TypeError(f"{field.name} must be {name}, not {type(value).__name__}")

        if not float(value) >= minimum:
            raise ValueError(f"{field.name} must be at least {minimum}, not {value}")

    return check


def _positive(_: object, field: Attribute[Any], value: object) -> None:
    if value is not None and not isinstance(value, Real):
        raise TypeError(f"{field.name} must be a number of seconds, or None for no limit, not {type(value).__name__}")

    if value is not None and not 0 < float(value) < math.inf:
        raise ValueError(f"{field.name} must be more than 0 seconds, or None for no limit, not {value}")


def is_throttled(reply: Reply) -> bool:
    """Return whether a call is refused because of the images in progress: a 429 for that reason, or without one."""
    reason = json_object(reply.raw).get("reject_reason") if reply.status == THROTTLED else None
    return reply.status == THROTTLED and is_in_flight_limit(reason)


@frozen(kw_only=True)
class Retry(NamedArguments):
    """Retry policy. Immutable; all times in seconds.

    A call that costs money is retried only when it certainly did not run: it was never sent, or was rejected with 429.
    The pause after attempt n is random between 0 and `min(cap, base * 2**(n-1))` (exponential back-off with jitter),
    and never shorter than Retry-After.
    """

    attempts: int = field(default=5, validator=at_least(1, whole=True))
    """Maximum number of attempts. Rejections with 429 do not count."""
    deadline: float | None = field(default=None, validator=_positive)
    """Bound on all attempts together, with their pauses but without the time in this client's own queue."""
    base: float = field(default=1.0, validator=at_least(0))
    """The longest first pause."""
    cap: float = field(default=30.0, validator=at_least(0))
    """The longest pause."""
    throttle_wait: float = field(default=1800.0, validator=at_least(0))
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
        if isinstance(outcome, Reply) and is_throttled(outcome):
            # The limiter's gate delays the next attempt. A call without slots has no gate, so its pauses grow.
            longest = min(self.base, 1.0) if call.weight else min(self.cap, self.base + throttled_for)
            pause = max(floor, random.uniform(0.0, longest))
            return pause if max(0.0, throttled_for) + pause < self.throttle_wait else None

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
class Timeout(NamedArguments):
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
            TypeError: If the value is neither.
            ValueError: If the value is not a number of seconds.
        """
        if isinstance(value, Timeout):
            return value

        try:
            seconds = float(value) if value not in (None, "") else None
        except (TypeError, ValueError) as error:
            raise type(error)(f"timeout must be a number of seconds or a Timeout, not {value!r}") from None

        return cls() if seconds is None else cls(total=seconds)
