"""How often a link is tried, and when. Every try is a GET: it costs nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import define, field

from ideogram_async.download.links import expiry
from ideogram_async.errors import DownloadError, LinkExpiredError, NotAnImageError, TruncatedImageError
from ideogram_async.transport.policy import LONGEST_RETRY_AFTER, Retry

__all__ = ["Trial", "most_tries", "pause_after", "trying"]

T = TypeVar("T")

_PASSING = frozenset({408, 425, 429})


def most_tries(error: DownloadError, *, attempts: int, is_past: bool) -> int:
    """Say after how many tries in all such an error is final.

    A refused link is tried again, for an edge server may be wrong; not so where the link says itself that its time is
    over. A page instead of an image may be an edge server's too.
    """
    if isinstance(error, LinkExpiredError):
        return 1 if is_past else min(3, attempts)

    if isinstance(error, NotAnImageError):
        return min(3, attempts)

    if isinstance(error, TruncatedImageError):
        return attempts

    # The class itself: a failed connection, a timeout, or a status. Its other subclasses are final.
    if type(error) is DownloadError and (error.status is None or error.status in _PASSING or error.status >= 500):
        return attempts

    return 1


def pause_after(
    error: DownloadError, *, attempt: int, policy: Retry, is_past: bool, retry_after: float | None = None
) -> float | None:
    """Say how many seconds to wait before the next try, or `None` to stop.

    The pause is the policy's; a Retry-After is its floor.
    """
    if attempt >= most_tries(error, attempts=policy.attempts, is_past=is_past):
        return None

    return max(policy.backoff(attempt), min(retry_after or 0.0, LONGEST_RETRY_AFTER))


@define
class Trial:
    """The tries of one link."""

    link: str
    policy: Retry
    clock: Callable[[], float]
    """The event loop's."""
    attempt: int = 0
    """Tries begun."""
    retry_after: float | None = None
    """What the host asked for in the try that failed."""
    pause: float = 0.0
    """Seconds until the next try."""
    _deadline: float | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        if self.policy.deadline is not None:
            self._deadline = self.clock() + self.policy.deadline

    def begin(self) -> None:
        """Count a try."""
        self.attempt += 1
        self.retry_after = None

    def time_left(self) -> float | None:
        """Return the seconds until the policy's deadline, `None` without one."""
        return None if self._deadline is None else self._deadline - self.clock()

    def may_go_on(self, error: DownloadError) -> bool:
        """Decide whether to try again, and keep the pause."""
        expires_at = expiry(self.link)
        is_past = expires_at is not None and expires_at < time.time()
        pause = pause_after(
            error, attempt=self.attempt, policy=self.policy, is_past=is_past, retry_after=self.retry_after
        )
        left = self.time_left()
        if pause is None or (left is not None and pause >= left):
            return False

        self.pause = pause
        return True


async def trying(trial: Trial, work: Callable[[Trial], Awaitable[T]], tell: Callable[[DownloadError], None]) -> T:
    """Do the work until it succeeds or its error is final, and hand that error on.

    `tell` hears of each error that is followed by another try. A cancellation ends it at once.
    """
    while True:
        trial.begin()
        try:
            return await work(trial)
        except DownloadError as error:
            if not trial.may_go_on(error):
                raise

            tell(error)

        await asyncio.sleep(trial.pause)
