"""Plan and report of a batch."""

# Evaluated annotations: `typing.get_type_hints` works on the classes and on the initializers that attrs generates.

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal

from attrs import field, frozen
from attrs.validators import and_, ge, instance_of, optional

from ideogram_async._batch.job import PROBLEM_TEXTS, ImageProblem, ImageState, JobResult, JobState
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd

MAX_ROWS = 50
"""Failed and ambiguous jobs in the table of a notebook."""

LOST = (ImageState.EXPIRED, ImageState.LOST)


@frozen
class InputSize:
    """The size of a run's input."""

    jobs: int | None = field(validator=optional(and_(instance_of(int), ge(0))))
    """Jobs, once that is known: the same id twice is one."""
    is_complete: bool = field(validator=instance_of(bool))
    """Whether the input was read to its end."""


@frozen(kw_only=True)
class Plan:
    """The jobs, images and cost of a batch, computed without sending anything."""

    jobs: int
    images: int
    usd: Decimal
    """The cost of all jobs with a known price."""
    unpriced: int
    """Jobs whose price is not known."""
    duplicates: int
    """Jobs with the same content as an earlier one."""
    problems: tuple[tuple[int, str, str], ...]
    """The violations, as `(position in the input, field, rule)`."""
    seconds_at_limit: float
    """Estimated duration with all concurrency slots in use, in seconds."""


@frozen(kw_only=True)
class Report:
    """The jobs, images and cost of a batch."""

    jobs: int
    by_state: dict[JobState, int]
    images_stored: int
    images_withheld: int
    images_linked: int
    """Images that were billed and are not on disk yet. The next run and `Folder.collect` ask for them again."""
    images_lost: int
    """Images that were billed and are gone: their link has expired, or they were given up."""
    spent_usd: Decimal
    """The confirmed cost."""
    in_doubt_usd: Decimal
    """The possible further cost: ambiguous and accepted jobs, and earlier attempts of jobs that were sent again."""
    throttled: int
    """Rejections with 429. They cost nothing."""
    elapsed: float
    """Seconds."""
    stopped: str | None
    """The reason for an early stop, if there was one. Running the same batch again resumes it."""
    failures: tuple[JobResult, ...] = field(default=(), repr=False)
    """Rejected and accepted jobs, and jobs with images that are not stored."""
    ambiguous: tuple[JobResult, ...] = field(default=(), repr=False)
    """Jobs with an unknown outcome. Resolve each, or leave it."""
    _input: InputSize | None = field(default=None, repr=False, alias="_input")
    """The size of the input of the last run, in the report of a folder."""

    def __str__(self) -> str:
        states = ", ".join(f"{count:,} {state}" for state, count in self.by_state.items() if count)
        linked = f", {self.images_linked:,} still to be downloaded" if self.images_linked else ""
        images = (image for result in self.failures for image in result.images if image.state is ImageState.LINKED)
        problems: Counter[ImageProblem] = Counter(image.problem for image in images if image.problem is not None)
        jobs = count_jobs(self)
        lines = [
            f"{jobs} job{'' if jobs == '1' else 's'} in {self.elapsed:.1f} s: {states or 'none'}",
            f"{pluralize(self.images_stored, 'image')} stored, {self.images_withheld:,} withheld,"
            f" {self.images_lost:,} lost{linked}",
            f"{format_usd(self.spent_usd)} spent, {format_usd(self.in_doubt_usd)} in doubt,"
            f" {self.throttled:,} rejections with 429",
        ]
        lines += [f"{count:,} not downloaded: {PROBLEM_TEXTS[problem]}" for problem, count in problems.items()]
        return "\n".join(lines + ([f"stopped: {self.stopped}"] if self.stopped else []))

    def _repr_html_(self) -> str:
        from ideogram_async._html import table, text

        unfinished = [
            {"id": result.id, "state": result.state, "cost_usd": result.cost_usd, "error": result.error}
            for result in (*self.failures, *self.ambiguous)
        ]
        rest = f"and {len(unfinished) - MAX_ROWS} more" if len(unfinished) > MAX_ROWS else ""
        shown = table("Failures and ambiguous jobs", unfinished[:MAX_ROWS]) if unfinished else ""
        return f"{text(str(self))}{shown}{rest}"


def input_of(report: Report) -> InputSize | None:
    """Return the size of the input of the folder's last run, if it is on record."""
    return report._input  # pyright: ignore[reportPrivateUsage]


def count_jobs(report: Report, total: int | None = None) -> str:
    """Return the number of jobs, and of how many, if not all jobs of the input are on record: `312 of 5,000`."""
    size = input_of(report)
    known = total if size is None else size.jobs
    return f"{report.jobs:,}" if known is None or known <= report.jobs else f"{report.jobs:,} of {known:,}"


def make_report(
    states: Mapping[JobState, int],
    images: Mapping[ImageState, int],
    results: Iterable[JobResult],
    *,
    spent: Decimal,
    in_doubt: Decimal,
    throttled: int = 0,
    elapsed: float = 0.0,
    stopped: str | None = None,
    input: InputSize | None = None,
) -> Report:
    """Return the report of the counted jobs and images.

    Args:
        states: The number of jobs in each state.
        images: The number of images in each state.
        results: The jobs to list: failed and ambiguous ones.
        spent: The confirmed cost.
        in_doubt: The possible further cost.
        throttled: Rejections with 429.
        elapsed: Seconds.
        stopped: The reason for an early stop.
        input: The size of the input of the last run.
    """
    by_ambiguity: dict[bool, list[JobResult]] = {True: [], False: []}
    for result in results:
        by_ambiguity[result.state is JobState.AMBIGUOUS].append(result)

    return Report(
        jobs=sum(states.values()),
        by_state=dict(states),
        images_stored=images.get(ImageState.STORED, 0),
        images_withheld=images.get(ImageState.WITHHELD, 0),
        images_linked=images.get(ImageState.LINKED, 0),
        images_lost=sum(images.get(state, 0) for state in LOST),
        spent_usd=spent,
        in_doubt_usd=in_doubt,
        throttled=throttled,
        elapsed=elapsed,
        stopped=stopped,
        failures=tuple(by_ambiguity[False]),
        ambiguous=tuple(by_ambiguity[True]),
        _input=input,
    )


class Tally:
    """Counts results as they arrive.

    Args:
        unfinished: Jobs that earlier runs left ambiguous or accepted. Each is listed until this run resumes it.
    """

    def __init__(self, unfinished: Iterable[JobResult] = ()) -> None:
        self._done = 0
        self._images: Counter[ImageState] = Counter()
        self._spent = Decimal(0)
        self._unfinished = {result.key: (result, Decimal(0)) for result in unfinished}
        """Jobs that are not done, with the confirmed part of their cost. The same job later in the input may change
        them."""

    def add(self, result: JobResult, *, confirmed: Decimal, is_repeat: bool = False) -> bool:
        """Count a finished job, and the confirmed part of its cost. A repeat replaces a job that is not done.

        Returns `False` for a repeat that cost nothing.
        """
        previous = self._unfinished.pop(result.key, None)
        if is_repeat and previous is None:
            return False

        if result.state is JobState.DONE:
            self._done += 1
            self._images.update(image.state for image in result.images)
            self._spent += confirmed
        else:
            self._unfinished[result.key] = (result, confirmed)

        return not is_repeat or previous is None or previous[0].cost_usd != result.cost_usd

    def report(self, *, in_doubt: Decimal, throttled: int, elapsed: float, stopped: str | None) -> Report:
        """Return the report of all jobs counted so far."""
        results = [result for result, _ in self._unfinished.values()]
        return make_report(
            Counter({JobState.DONE: self._done}) + Counter(result.state for result in results),
            self._images + Counter(image.state for result in results for image in result.images),
            results,
            spent=self._spent + sum(confirmed for _, confirmed in self._unfinished.values()),
            in_doubt=in_doubt,
            throttled=throttled,
            elapsed=elapsed,
            stopped=stopped,
        )
