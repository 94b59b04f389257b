"""Where a batch has its jobs from: the caller, or what earlier runs have left."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Protocol

from ideogram_async.batch import rows
from ideogram_async.batch.feed import Feed
from ideogram_async.batch.job import Job, JobState
from ideogram_async.batch.noting import Noted
from ideogram_async.batch.office import Office
from ideogram_async.batch.pulling import Jobs, Source
from ideogram_async.errors.batch import JobConflictError
from ideogram_async.exchange.spool import has_files

__all__ = ["Fresh", "Left", "Supply"]


class Supply(Protocol):
    """Where a batch has its jobs from."""

    async def take(self, most: int) -> list[Noted]:
        """Wait for a job, and return what has come; nothing at the end."""
        ...

    async def aclose(self) -> None:
        """Pull no more."""
        ...


class Fresh:
    """What the caller gives."""

    def __init__(self, office: Office, feed: Feed, jobs: Jobs) -> None:
        self._office = office
        self._feed = feed
        self._source = Source(jobs)
        self._pulled: deque[Job] = deque()
        self._index = 0
        self._conflict: JobConflictError | None = None

    async def take(self, most: int) -> list[Noted]:
        """Wait for a job, and return what has come; nothing at the end.

        Raises:
            JobConflictError: If an id stands for another request, once those before it are taken.
        """
        if not self._pulled and self._conflict is None:
            self._pulled += await self._source.take(most)

        group = self._group(most)
        noted = await self._feed.note(group, self._index) if self._conflict is None else []
        self._index += len(noted)
        if len(noted) < len(group):
            # Told when those before it are on their way.
            words = f"the id {group[len(noted)].id!r} stands for another request in {self._office.folder}"
            self._conflict = JobConflictError(words)
            self._pulled.clear()

        if self._conflict is not None and not noted:
            raise self._conflict

        return noted

    async def aclose(self) -> None:
        """Pull no more."""
        await self._source.aclose()

    def _group(self, most: int) -> list[Job]:
        """Take those that are quick to note; one with files may take its time, and is noted alone."""
        group: list[Job] = []
        while self._pulled and len(group) < most:
            if has_files(self._pulled[0].request):
                return group or [self._pulled.popleft()]

            group.append(self._pulled.popleft())

        return group


class Left:
    """What earlier runs have left to be sent."""

    def __init__(self, office: Office, feed: Feed) -> None:
        self._office = office
        self._feed = feed
        self._index = 0
        self._after = -1

    async def take(self, most: int) -> list[Noted]:
        """Return the next jobs; nothing at the end."""
        states = (JobState.PENDING, JobState.AMBIGUOUS)
        found = await self._office.journal.run(partial(rows.next_in, states=states, after=self._after, size=most))
        noted = [self._feed.recall(row, self._index + number) for number, row in enumerate(found)]
        self._index += len(noted)
        self._after = found[-1].number if found else self._after
        return noted

    async def aclose(self) -> None:
        """There is nothing to close."""
