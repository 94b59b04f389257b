"""Attempts to download one link, and the decision to retry."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime

from attrs import define, field

from ideogram_async._download.hosts import expiry_of
from ideogram_async._download.incoming import Incoming, Received
from ideogram_async._limiter.congestion import MAX_RETRY_AFTER
from ideogram_async._transport.policy import Retry
from ideogram_async.errors import DownloadError, LinkExpiredError, NotAnImageError, TruncatedImageError

TRANSIENT = frozenset({408, 425, 429})
"""Statuses below 500 that may pass."""


@define
class DownloadAttempts:
    """The attempts to download one link."""

    link: str
    policy: Retry
    clock: Callable[[], float]
    """The event loop's clock."""
    attempt: int = 0
    """Number of the attempt in progress."""
    retry_after: float | None = None
    """Seconds to wait after the failed attempt, if the host states them."""
    pause: float = 0.0
    """Seconds until the next attempt."""
    date: datetime | None = None
    """Time of the last response by the host's clock, if it failed and the host states it."""
    image: Incoming | None = None
    """The image of the attempt in progress, once its first bytes have arrived."""
    received: Received = field(factory=Received)
    """Bytes that are not accepted as an image."""
    _deadline: float | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.policy.deadline is not None:
            self._deadline = self.clock() + self.policy.deadline

    @property
    def is_complete(self) -> bool:
        """Return whether the image has arrived, and is verified."""
        return self.image is not None and self.image.is_complete

    def begin(self) -> None:
        self.attempt += 1
        self.retry_after = self.date = self.image = None

    def is_past(self, moment: float) -> bool:
        """Return whether the host's clock, or ours if it has none, is past a moment in seconds since the epoch."""
        return (time.time() if self.date is None else self.date.timestamp()) >= moment

    def remaining_seconds(self) -> float | None:
        """Return the time until the policy's deadline, `None` without one."""
        return None if self._deadline is None else self._deadline - self.clock()

    def may_retry(self, error: DownloadError) -> bool:
        """Return whether to retry after this error, and set `pause` to the back-off, at least the Retry-After."""
        expires_at = expiry_of(self.link)
        is_past = expires_at is not None and (expires_at < time.time() or self.is_past(expires_at))
        if self.attempt >= max_attempts_for(error, attempts=self.policy.attempts, is_past=is_past):
            return False

        self.pause = max(self.policy.backoff(self.attempt), min(self.retry_after or 0.0, MAX_RETRY_AFTER))
        remaining = self.remaining_seconds()
        return remaining is None or self.pause < remaining


def max_attempts_for(error: DownloadError, *, attempts: int, is_past: bool) -> int:
    """Return the number of attempts after which such an error is final.

    A refused link is retried, because an edge server may be wrong, unless the link's own `exp` has passed. A page
    instead of an image may come from an edge server, too.
    """
    if isinstance(error, LinkExpiredError):
        return 1 if is_past else min(3, attempts)

    if isinstance(error, NotAnImageError):
        return min(3, attempts)

    if isinstance(error, TruncatedImageError):
        return attempts

    # The class itself: a failed connection, a timeout, or a status. Its other subclasses are final.
    if type(error) is DownloadError and (error.status is None or error.status in TRANSIENT or error.status >= 500):
        return attempts

    return 1
