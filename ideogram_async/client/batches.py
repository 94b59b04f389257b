"""Batches of the client, and what they will cost."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ideogram_async.client.wired import Wired
from ideogram_async.endpoint import Request

if TYPE_CHECKING:
    from decimal import Decimal

    from ideogram_async.batch.batch import Batch
    from ideogram_async.batch.feed import Jobs
    from ideogram_async.batch.plan import Plan
    from ideogram_async.batch.report import Report
    from ideogram_async.models.values import Price
    from ideogram_async.transport.emitter import Listener

__all__ = ["Batches"]


class Batches(Wired):
    """Runs many jobs into a folder, and says before what they make and cost."""

    def batch(
        self,
        jobs: Jobs | None,
        folder: str | os.PathLike[str],
        *,
        max_cost_usd: Decimal | str | float | None = None,
        max_downloads: int = 16,
        retry_ambiguous: bool = False,
        names: str | None = None,
        ordered: bool = False,
        sidecars: bool = False,
        on_event: Listener | None = None,
    ) -> Batch:
        """Run many jobs into a folder: `async with client.batch(jobs, "out/") as batch: async for result in batch`.

        The same call goes on where an earlier one ended, however it ended; what is stored is not asked for again.

        Args:
            jobs: Requests or `Job`s, from any iterable or async iterable, pulled lazily. `None` sends what is pending.
            folder: Where images go, and the journal in `.ideogram/`.
            max_cost_usd: The most that may be spent, earlier runs included, and what is in doubt.
            max_downloads: Images that are downloaded at once.
            retry_ambiguous: Whether a job that may have run is sent once more. That can pay twice.
            names: How files are called, such as `{id}-{seed}-{index}`.
            ordered: Whether results come in the order of the input, not as they are ready.
            sidecars: Whether each image gets a JSON file beside it.
            on_event: Called with every event of the batch and its calls, in place of the client's.

        Raises, on entering the block:
            BatchLockedError: If another process is at work in the folder.
            JournalError: If the folder's journal cannot be trusted.
            OSError: If the folder cannot be written.
            ValueError: If a setting makes no sense.
        """
        from ideogram_async.batch.batch import Batch, BatchOptions

        view = self if on_event is None else self.with_options(on_event=on_event)
        options = BatchOptions(
            max_cost_usd=max_cost_usd,
            max_downloads=max_downloads,
            retry_ambiguous=retry_ambiguous,
            names=names,
            ordered=ordered,
            sidecars=sidecars,
        )
        return Batch(view._exchange.stack, self._prices, jobs, Path(folder), options)

    async def run_batch(self, jobs: Jobs | None, folder: str | os.PathLike[str], **options: Any) -> Report:
        """Run a batch to its end, and return its report. Takes and raises what `batch` does."""
        async with self.batch(jobs, folder, **options) as batch:
            async for _ in batch:
                pass

        return batch.report()

    async def plan(self, jobs: Jobs) -> Plan:
        """Go over all jobs of a batch, and say what they would make and cost. Sends nothing."""
        from ideogram_async.batch.plan import make_plan

        return await make_plan(
            jobs,
            self._prices,
            limit=int(self.limiter.statistics().limit),
            max_upload_bytes=self._shared.max_upload_bytes,
            loopback=self._shared.hosts.loopback,
        )

    def estimate(self, request: Request[Any], /) -> Price:
        """Say what a request will cost in USD, by a dated table; what is not known is `None`. Nothing is sent."""
        return self._prices.estimate(request)
