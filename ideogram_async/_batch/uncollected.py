"""Limit on the images that are billed while none can be downloaded."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from ideogram_async._batch.job import PROBLEM_TEXTS, ImageProblem
from ideogram_async._batch.stopping import StopPolicy
from ideogram_async._limiter.limiter import Lease, Limiter
from ideogram_async.models.base import LimiterStatistics


class UncollectedImages:
    """The images that were answered in this run since the last one was stored.

    At the maximum no call is sent, until an image is stored. The batch stops once that many downloads have failed.

    Args:
        maximum: The maximum.
        stopping: The stop conditions of the batch.
    """

    def __init__(self, maximum: int, stopping: StopPolicy) -> None:
        self._maximum = maximum
        self._stopping = stopping
        self._answered = 0
        self._failed = 0
        self._may_send = asyncio.Event()
        self._may_send.set()

    @property
    def is_full(self) -> bool:
        return not self._may_send.is_set()

    async def wait(self) -> None:
        """Wait until another call may be sent."""
        await self._may_send.wait()

    def record_answered(self, images: int) -> None:
        """Count images that are going to be downloaded."""
        self._answered += images
        if self._answered >= self._maximum:
            self._may_send.clear()

    def record_stored(self) -> None:
        """Reset the counts."""
        self._answered = self._failed = 0
        self._may_send.set()

    def record_failed(self, problem: ImageProblem | None) -> None:
        """Count an image that could not be downloaded."""
        self._failed += 1
        if self._failed >= self._maximum:
            reason = PROBLEM_TEXTS[problem] if problem is not None else "the link has expired"
            self._stopping.stop(
                f"{self._failed} images in a row could not be downloaded, the last one because {reason};"
                " the next run or Folder.collect asks for them again"
            )


class CollectingLimiter:
    """A limiter whose slots are granted only while images can be downloaded. No slot is held during the wait."""

    def __init__(self, limiter: Limiter, uncollected: UncollectedImages) -> None:
        self._limiter = limiter
        self._uncollected = uncollected

    def acquire(self, weight: int) -> Lease:
        return _CollectingLease(self._limiter, self._limiter.acquire(weight), weight, self._uncollected)

    def note_rejected(self, max_in_flight: int | None, retry_after: float | None) -> None:
        self._limiter.note_rejected(max_in_flight, retry_after)

    def note_accepted(self, weight: int) -> None:
        self._limiter.note_accepted(weight)

    def statistics(self) -> LimiterStatistics:
        return self._limiter.statistics()


class _CollectingLease:
    def __init__(self, limiter: Limiter, lease: Lease, weight: int, uncollected: UncollectedImages) -> None:
        self._limiter = limiter
        self._lease = lease
        self._weight = weight
        self._uncollected = uncollected
        self.queued = 0.0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        while True:
            began_at = loop.time()
            await self._uncollected.wait()
            self.queued += loop.time() - began_at
            await self._lease.__aenter__()
            self.queued += getattr(self._lease, "queued", 0.0)
            if not self._uncollected.is_full:
                return self

            await self._lease.__aexit__(None, None, None)
            self._lease = self._limiter.acquire(self._weight)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._lease.__aexit__(kind, error, trace)
