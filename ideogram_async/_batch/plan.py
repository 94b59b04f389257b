"""What a batch would do and cost, before anything is paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ideogram_async._batch.dependencies import job_references
from ideogram_async._batch.identity import fingerprint_of, pack
from ideogram_async._batch.inputs import Inputs
from ideogram_async._batch.intake import has_one_shot_files
from ideogram_async._batch.job import Job
from ideogram_async._batch.report import Plan
from ideogram_async._batch.source import pulled
from ideogram_async._operations import Request
from ideogram_async._pipeline.uploads import has_files
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.encode import weight_of

# Seconds that an image takes, as third parties have measured; the slowest is taken where the speed is not known.
SECONDS = {"FLASH": 3.0, "TURBO": 6.0, "DEFAULT": 12.0, "QUALITY": 20.0}

SLOWEST = max(SECONDS.values())


async def make_plan(
    jobs: Iterable[Job | Request[Any]] | AsyncIterable[Job | Request[Any]],
    prices: PriceTable,
    *,
    limit: int,
    max_upload_bytes: int,
    loopback: bool,
) -> Plan:
    """Go over all jobs. Reads every file that they send."""
    with TemporaryDirectory() as folder:
        planner = _Planner(prices, Inputs(Path(folder)), max_upload_bytes, loopback)
        async for job in pulled(jobs):
            await planner.add(job)

    return planner.plan(limit)


class _Planner:
    """Counts jobs, and keeps of each its id, and of its content a few letters that tell it from others."""

    def __init__(self, prices: PriceTable, inputs: Inputs, max_upload_bytes: int, loopback: bool) -> None:
        self._prices = prices
        self._inputs = inputs
        self._limits: dict[str, Any] = {"max_upload_bytes": max_upload_bytes, "loopback": loopback}
        self._ids: set[str] = set()
        self._contents: Counter[str] = Counter()
        self._problems: list[tuple[int, str, str]] = []
        self._jobs = self._images = self._unpriced = 0
        self._usd = Decimal(0)
        self._seconds = 0.0

    async def add(self, job: Job) -> None:
        """Judge a job, and count it."""
        found = [*await self._broken(job.request), *self._misnamed(job)]
        self._problems += [(self._jobs, field, rule) for field, rule in found]
        self._jobs += 1
        if job.id is not None:
            self._ids.add(job.id)

        price = self._prices.estimate(job.request).usd
        self._unpriced += price is None
        self._usd += price or 0
        if not found:
            await self._count(job.request)

    def plan(self, limit: int) -> Plan:
        """Sum up; the limit says how many images are made at once."""
        return Plan(
            jobs=self._jobs,
            images=self._images,
            usd=self._usd,
            unpriced=self._unpriced,
            duplicates=self._contents.total() - len(self._contents),
            problems=tuple(self._problems),
            seconds_at_limit=self._seconds / limit,
        )

    async def _broken(self, request: Request[Any]) -> list[tuple[str, str]]:
        ask = partial(request.problems, **self._limits)
        return await in_thread(ask) if has_files(request) else ask()

    def _misnamed(self, job: Job) -> Iterator[tuple[str, str]]:
        if job.id is not None and job.id in self._ids:
            yield "id", f"{job.id!r} stands for an earlier job"

        for field, earlier in job_references(job.request):
            if earlier.id not in self._ids:
                yield field, f"names the job {earlier.id!r}, and no earlier job has that id"

    async def _count(self, request: Request[Any]) -> None:
        weight = weight_of(request)
        speed = str(getattr(request, "rendering_speed", None) or "DEFAULT")
        self._images += weight
        self._seconds += weight * SECONDS.get(speed, SLOWEST)
        if has_one_shot_files(request):
            return

        write = partial(pack, request, self._inputs)
        packed = await in_thread(write) if has_files(request) else write()
        self._contents[fingerprint_of(packed)[:16]] += 1
