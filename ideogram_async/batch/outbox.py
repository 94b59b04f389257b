"""Results on their way to the caller: as they are ready, or in the order of the input."""

from __future__ import annotations

import asyncio

from ideogram_async.batch.job import JobResult

__all__ = ["Outbox"]


class Outbox:
    """Keeps results until they are taken. Each job holds a place until then, which bounds what may be kept.

    Args:
        places: What the jobs hold.
        is_ordered: Whether results wait for those of earlier jobs.
    """

    def __init__(self, places: asyncio.Semaphore, *, is_ordered: bool) -> None:
        self._places = places
        self._is_ordered = is_ordered
        self._results: asyncio.Queue[JobResult | None] = asyncio.Queue()
        self._held: dict[int, JobResult | None] = {}
        self._next = 0
        self._is_left = False

    async def take(self) -> JobResult | None:
        """Wait for the next result; `None` at the end, for everybody who asks."""
        result = await self._results.get()
        if result is None:
            self._results.put_nowait(None)
        else:
            self._places.release()

        return result

    def put(self, index: int, result: JobResult | None) -> None:
        """Hand on what became of a job; `None` if it is left for another run."""
        if not self._is_ordered:
            self._hand_on(result)
            return

        self._held[index] = result
        while self._next in self._held:
            self._hand_on(self._held.pop(self._next))
            self._next += 1

    def end(self) -> None:
        """Note that nothing more will come."""
        self._results.put_nowait(None)

    def leave(self) -> None:
        """Let go of results that nobody will take; the journal has them."""
        self._is_left = True
        while not self._results.empty():
            if self._results.get_nowait() is not None:
                self._places.release()

    def _hand_on(self, result: JobResult | None) -> None:
        if result is None or self._is_left:
            self._places.release()
        else:
            self._results.put_nowait(result)
