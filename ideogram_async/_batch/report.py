"""Plan and report of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from decimal import Decimal

from attrs import field, frozen

from ideogram_async._batch.costs import certain_of, cost_of
from ideogram_async._batch.job import ImageState, JobResult, JobState
from ideogram_async._batch.journal.queries import Sum

LOST = (ImageState.EXPIRED, ImageState.LOST, ImageState.CORRUPT, ImageState.TOO_LARGE)


@frozen(kw_only=True)
class Report:
    """What a batch has done: jobs, images, money."""

    jobs: int
    by_state: dict[JobState, int]
    images_stored: int
    images_withheld: int
    images_lost: int
    """Paid for, and not to be had: expired, lost, damaged or too large."""
    spent_usd: Decimal
    """What is certainly paid."""
    in_doubt_usd: Decimal
    """What may have been paid: the ambiguous jobs, and earlier attempts of jobs that were sent again."""
    throttled: int
    """Refusals with 429; they cost nothing."""
    elapsed: float
    """Seconds."""
    stopped: str | None
    """Why it stopped early, if it did; the same call goes on."""
    failures: tuple[JobResult, ...] = field(default=(), repr=False)
    """Jobs that were rejected, and jobs with images that could not be stored."""
    ambiguous: tuple[JobResult, ...] = field(default=(), repr=False)
    """Jobs that may have run: each is yours to decide."""

    def __str__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self.by_state.items() if count)
        lines = [
            f"{self.jobs} jobs in {self.elapsed:.1f} s: {states or 'none'}",
            f"{self.images_stored} images stored, {self.images_withheld} withheld, {self.images_lost} lost",
            f"{self.spent_usd} USD spent, {self.in_doubt_usd} USD in doubt, {self.throttled} refusals with 429",
        ]
        return "\n".join(lines + ([f"stopped: {self.stopped}"] if self.stopped else []))


class Tally:
    """Counts results as they come.

    Args:
        left: Jobs that an earlier run has left in doubt. They are listed until this run does something about them.
    """

    def __init__(self, left: Iterable[JobResult] = ()) -> None:
        self.states: Counter[JobState] = Counter()
        self.images: Counter[ImageState] = Counter()
        self.spent = Decimal(0)
        self.failures: list[JobResult] = []
        self._ambiguous = {result.key: result for result in left}

    def add(self, result: JobResult, *, certain: Decimal) -> None:
        """Count a job that is settled, and how much of its cost is certain."""
        self._ambiguous.pop(result.key, None)
        if result.state is JobState.AMBIGUOUS:
            self._ambiguous[result.key] = result
            return

        self.states[result.state] += 1
        for image in result.images:
            self.images[image.state] += 1

        self.spent += certain
        if result.state is not JobState.DONE:
            self.failures.append(result)

    def report(self, *, in_doubt: Decimal, throttled: int, elapsed: float, stopped: str | None) -> Report:
        """Sum up."""
        doubtful = {JobState.AMBIGUOUS: len(self._ambiguous)} if self._ambiguous else {}
        by_state = {**self.states, **doubtful}
        return Report(
            jobs=sum(by_state.values()),
            by_state=by_state,
            images_stored=self.images[ImageState.STORED],
            images_withheld=self.images[ImageState.WITHHELD],
            images_lost=sum(self.images[state] for state in LOST),
            spent_usd=self.spent,
            in_doubt_usd=in_doubt,
            throttled=throttled,
            elapsed=elapsed,
            stopped=stopped,
            failures=tuple(self.failures),
            ambiguous=tuple(self._ambiguous.values()),
        )


def summed(jobs: Iterable[Sum], images: dict[ImageState, int], told: Iterable[JobResult]) -> Report:
    """Sum up a folder: what is counted, and the jobs that are told one by one."""
    by_state: Counter[JobState] = Counter()
    spent = most = Decimal(0)
    for group in jobs:
        by_state[group.state] += group.jobs
        spent += certain_of(group.state, group.usd) * group.jobs
        most += (cost_of(group.state, group.usd, group.resends) or 0) * group.jobs

    results = list(told)
    return Report(
        jobs=by_state.total(),
        by_state=dict(by_state),
        images_stored=images.get(ImageState.STORED, 0),
        images_withheld=images.get(ImageState.WITHHELD, 0),
        images_lost=sum(images.get(state, 0) for state in LOST),
        spent_usd=spent,
        in_doubt_usd=most - spent,
        throttled=0,
        elapsed=0.0,
        stopped=None,
        failures=tuple(result for result in results if result.state is not JobState.AMBIGUOUS),
        ambiguous=tuple(result for result in results if result.state is JobState.AMBIGUOUS),
    )


@frozen(kw_only=True)
class Plan:
    """What a batch would do: a full pass over the input, and nothing sent."""

    jobs: int
    images: int
    usd: Decimal
    """What the jobs whose price is known will cost together."""
    unpriced: int
    """Jobs whose price is not known."""
    duplicates: int
    """Jobs that ask for what an earlier one asks for."""
    problems: tuple[tuple[int, str, str], ...]
    """What is wrong, as `(place in the input, field, rule)`."""
    seconds_at_limit: float
    """About how long it takes with all places in use."""
