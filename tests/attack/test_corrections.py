"""Random refusals, corrections, retries and changed files: no job is billed twice unless that was asked."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from attrs import define, field
from support.batches import run_batch
from support.pictures import picture

from ideogram_async import FromJob, Generate, Ideogram, Job, JobConflictError, JobResult, JobState, Remix, Upscale
from ideogram_async._batch.folder import Folder
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox.ledger import fingerprint
from ideogram_async.sandbox.records import RecordedRequest

STEPS = 30
IDS = ("fox", "hen", "owl", "remix", "large")
FAULTS = (
    *map(Fault.status, (400, 402, 422, 422, 429)),
    Fault.close_after_body,
    Fault.garbage_json,
    Fault.html_502,
    Fault.reset_before_headers,
    Fault.unsafe(),
)


@define
class Story:
    """A folder, the input of its next run, and how often its owner asked to send a job again."""

    rng: random.Random
    client: Ideogram
    sandbox: Sandbox
    folder: Path
    source: Path
    revisions: Counter[str] = field(factory=Counter[str])
    asked: Counter[str] = field(factory=Counter[str])
    content: bytes = field(factory=picture)

    def jobs(self) -> list[Job]:
        requests = [Generate(f"{name} {self.revisions[name]}") for name in IDS[:3]]
        requests += [Remix(self.source, "remix"), Upscale(FromJob("fox"), prompt="large")]  # type: ignore[list-item]
        return [Job(request, id=name) for name, request in zip(IDS, requests, strict=True)]

    def states(self) -> dict[str, JobResult]:
        return {result.id: result for result in Folder(self.folder).results()} if self.folder.exists() else {}

    async def run(self) -> None:
        for _ in range(self.rng.randrange(4)):
            operation = self.rng.choice((None, "POST /v1/ideogram-v3/generate"))
            self.sandbox.fail(operation, fault=self.rng.choice(FAULTS), after=self.rng.randrange(3))

        retry_ambiguous, retry_rejected = self.rng.random() < 0.2, self.rng.random() < 0.3
        self.asked.update(IDS if retry_ambiguous else ())
        jobs = self.jobs() if self.rng.random() < 0.8 else None
        await run_batch(self.client, jobs, self.folder, retry_ambiguous=retry_ambiguous, retry_rejected=retry_rejected)

    async def correct(self) -> None:
        name = self.rng.choice(IDS[:3])
        self.revisions[name] += 1
        if not await self._take_correction(name):
            self.revisions[name] -= 1

    async def change_file(self) -> None:
        before, self.content = self.content, picture(size=(self.rng.randrange(16, 999), 16))
        self.source.write_bytes(self.content)
        if not await self._take_correction("remix"):
            self.content = before
            self.source.write_bytes(before)

    async def _take_correction(self, name: str) -> bool:
        """Run the corrected input; return `False` if it is a conflict, which needs a job that may have been billed."""
        before = self.states().get(name)
        try:
            await run_batch(self.client, [job for job in self.jobs() if job.id == name], self.folder)
        except JobConflictError:
            assert before is not None
            assert before.state not in (JobState.PENDING, JobState.REJECTED) or before.cost_usd
            return False

        return True

    async def resolve(self) -> None:
        ambiguous = [name for name, result in self.states().items() if result.state is JobState.AMBIGUOUS]
        if ambiguous:
            name, resolution = self.rng.choice(ambiguous), self.rng.choice(("lost", "retry"))
            Folder(self.folder).resolve(name, resolution)  # type: ignore[arg-type]
            self.asked[name] += resolution == "retry"

    async def delete_file(self) -> None:
        self.source.unlink(missing_ok=True)

    async def delete_image(self) -> None:
        for image in list(self.folder.glob("*.png"))[:1]:
            image.unlink()

    def billed(self) -> Counter[str]:
        """Return how often each job was billed."""
        names = {fingerprint(request): prompt_of(request).split()[0] for request in self.sandbox.requests}
        return Counter(names[entry.fingerprint] for entry in self.sandbox.ledger.entries)


def prompt_of(request: RecordedRequest) -> str:
    if request.json is not None:
        return str(request.json.get("prompt"))

    by_name = {part.name: part.text for part in request.parts}
    return by_name.get("prompt") or "large"


@pytest.mark.parametrize("seed", range(4))
async def test_a_job_is_billed_once_and_once_more_for_each_retry_that_was_asked(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, seed: int
):
    """The costs of the folder cover all that was billed."""
    story = Story(random.Random(seed), client, sandbox, tmp_path / "out", tmp_path / "fox.png")
    steps: list[Callable[[], object]] = [
        *[story.run] * 4,
        *[story.correct] * 2,
        *(story.change_file, story.delete_file, story.delete_image, story.resolve),
    ]
    for _ in range(STEPS):
        await story.rng.choice(steps)()  # type: ignore[misc]

    report, billed = Folder(story.folder).report(), story.billed()

    assert {} == {name: count for name, count in billed.items() if count > 1 + story.asked[name]}
    assert sandbox.ledger.billed_usd <= report.spent_usd + report.in_doubt_usd
    assert billed
