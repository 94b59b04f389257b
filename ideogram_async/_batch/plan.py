"""Plan of a batch: a full pass over its input that sends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ideogram_async._batch.dependencies import job_references
from ideogram_async._batch.identity import fingerprint_of, serialize
from ideogram_async._batch.inputs import InputStore
from ideogram_async._batch.intake import has_one_shot_files
from ideogram_async._batch.job import Job
from ideogram_async._batch.report import Plan
from ideogram_async._batch.source import Jobs, iterate_jobs
from ideogram_async._operations import Request
from ideogram_async._pipeline.pipeline import check_request
from ideogram_async._pipeline.settings import ClientConfig
from ideogram_async._pipeline.uploads import has_files
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.encode import weight_of
from ideogram_async.errors import InvalidRequestError

SECONDS_PER_IMAGE = {"FLASH": 3.0, "TURBO": 6.0, "DEFAULT": 12.0, "QUALITY": 20.0}
"""Measured by third parties. A model without speeds counts as the slowest."""
SLOWEST = max(SECONDS_PER_IMAGE.values())


async def make_plan(jobs: Jobs, prices: PriceTable, config: ClientConfig) -> Plan:
    """Return the plan of a batch. Reads every file that the jobs send."""
    with TemporaryDirectory() as folder:
        planner = _Planner(prices, InputStore(Path(folder)), config)
        async for job in iterate_jobs(jobs):
            await planner.add(job)

    return planner.plan(int(config.limiter.statistics().limit))


class _Planner:
    """Counts jobs. Keeps the id of each, and enough of its fingerprint to find duplicates."""

    def __init__(self, prices: PriceTable, inputs: InputStore, config: ClientConfig) -> None:
        self._prices = prices
        self._inputs = inputs
        self._config = config
        self._ids: set[str] = set()
        self._fingerprints: Counter[str] = Counter()
        self._problems: list[tuple[int, str, str]] = []
        self._jobs = self._images = self._unpriced = 0
        self._usd = Decimal(0)
        self._seconds = 0.0

    async def add(self, job: Job) -> None:
        problems = [*await self._broken_rules(job.request), *self._reference_problems(job)]
        self._problems += [(self._jobs, field, rule) for field, rule in problems]
        self._jobs += 1
        if job.id is not None:
            self._ids.add(job.id)

        price = self._prices.estimate(job.request).usd
        self._unpriced += price is None
        self._usd += price or 0
        if not problems:
            await self._count(job.request)

    def plan(self, limit: int) -> Plan:
        """Return the plan of the jobs counted so far, for a limit of images in progress."""
        return Plan(
            jobs=self._jobs,
            images=self._images,
            usd=self._usd,
            unpriced=self._unpriced,
            duplicates=self._fingerprints.total() - len(self._fingerprints),
            problems=tuple(self._problems),
            seconds_at_limit=self._seconds / limit,
        )

    async def _broken_rules(self, request: Request[object]) -> list[tuple[str, str]]:
        try:
            await check_request(request, self._config)
        except InvalidRequestError as error:
            return list(error.problems)

        return []

    def _reference_problems(self, job: Job) -> Iterator[tuple[str, str]]:
        if job.id is not None and job.id in self._ids:
            yield "id", f"{job.id!r} is already used by an earlier job"

        for field, earlier in job_references(job.request):
            if earlier.id not in self._ids:
                yield field, f"refers to job {earlier.id!r}, but no earlier job has that id"

    async def _count(self, request: Request[object]) -> None:
        weight = weight_of(request)
        speed = str(getattr(request, "rendering_speed", None) or "DEFAULT")
        self._images += weight
        self._seconds += weight * SECONDS_PER_IMAGE.get(speed, SLOWEST)
        if has_one_shot_files(request):
            return

        write = partial(serialize, request, self._inputs)
        serialized = await in_thread(write) if has_files(request) else write()
        self._fingerprints[fingerprint_of(serialized)[:16]] += 1
