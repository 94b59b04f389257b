"""Plan of a batch: a full pass over its input that sends nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from ideogram_async._batch.dependencies import job_references
from ideogram_async._batch.identity import id_problems, job_key
from ideogram_async._batch.inputs import InputStore
from ideogram_async._batch.intake import has_one_shot_files
from ideogram_async._batch.job import Job
from ideogram_async._batch.report import Plan
from ideogram_async._batch.resume import Resumption
from ideogram_async._batch.source import Jobs, iterate_jobs
from ideogram_async._batch.workload import Workload
from ideogram_async._ledger.serialization import fingerprint_of, serialize
from ideogram_async._operations import Request
from ideogram_async._pipeline.pipeline import check_request
from ideogram_async._pipeline.settings import ClientConfig
from ideogram_async._pipeline.uploads import has_files
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import in_thread
from ideogram_async.errors import InvalidRequestError


async def make_plan(jobs: Jobs, prices: PriceTable, config: ClientConfig, resumption: Resumption | None = None) -> Plan:
    """Return the plan of a batch, and count what a run into a folder would send. Reads every file that jobs send."""
    with TemporaryDirectory() as folder:
        planner = _Planner(prices, InputStore(Path(folder)), config, resumption)
        async for job in iterate_jobs(jobs):
            await planner.add(job)

    return planner.plan(int(config.limiter.statistics().limit))


class _Planner:
    """Counts jobs. Keeps the id of each, and enough of its fingerprint to find duplicates."""

    def __init__(
        self, prices: PriceTable, inputs: InputStore, config: ClientConfig, resumption: Resumption | None
    ) -> None:
        self._prices = prices
        self._inputs = inputs
        self._config = config
        self._resumption = resumption
        self._occurrences: Counter[str] = Counter()
        self._ids: set[str] = set()
        self._fingerprints: Counter[str] = Counter()
        self._problems: list[tuple[int, str, str]] = []
        self._jobs = 0
        self._valid = Workload()

    async def add(self, job: Job) -> None:
        problems = [*await self._broken_rules(job.request), *self._reference_problems(job), *id_problems(job.id)]
        fingerprint = "" if problems else await self._fingerprint(job.request)
        if self._resumption is not None and not problems:
            problems += self._count_resumed(self._resumption, job, fingerprint)

        self._problems += [(self._jobs, field, rule) for field, rule in problems]
        self._jobs += 1
        if job.id is not None:
            self._ids.add(job.id)

        if not problems:
            self._valid.add(job.request, self._prices.estimate(job.request).usd)
            if fingerprint:
                self._fingerprints[fingerprint[:16]] += 1

    def plan(self, limit: int) -> Plan:
        """Return the plan of the jobs counted so far, for a limit of images in progress."""
        return Plan(
            jobs=self._jobs,
            images=self._valid.images,
            usd=self._valid.usd,
            unpriced=self._valid.unpriced,
            duplicates=self._fingerprints.total() - len(self._fingerprints),
            problems=tuple(self._problems),
            seconds_at_limit=self._valid.seconds / limit,
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

    def _count_resumed(self, run: Resumption, job: Job, fingerprint: str) -> list[tuple[str, str]]:
        """Count a job as sent or skipped, or return the conflict of its id."""
        # One whose files can be read only once has no fingerprint yet, and counts as sent.
        key = job_key(fingerprint, id=job.id, occurrence=self._occurrences[fingerprint[:16]])
        if job.id is None:
            self._occurrences[fingerprint[:16]] += 1

        if fingerprint and (conflict := run.conflict(key, fingerprint)):
            return [("id", conflict)]

        if fingerprint and (state := run.skipped_state(key, fingerprint)):
            run.skipped[state] += 1
        else:
            run.sent.add(job.request, self._prices.estimate(job.request).usd)

        return []

    async def _fingerprint(self, request: Request[object]) -> str:
        """Return the fingerprint of a request; an empty one if its files can be read only once."""
        if has_one_shot_files(request):
            return ""

        write = partial(serialize, request, self._inputs)
        return fingerprint_of(await in_thread(write) if has_files(request) else write())
