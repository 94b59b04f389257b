"""Plan and report of a batch."""

# Evaluated annotations: `typing.get_type_hints` works on the classes and on the initializers that attrs generates.

from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal

from attrs import field, frozen

from ideogram_async._batch.job import ImageState, JobResult, JobState

LOST = (ImageState.EXPIRED, ImageState.LOST, ImageState.CORRUPT, ImageState.TOO_LARGE)


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
    images_lost: int
    """Images that were billed and cannot be downloaded: expired, lost, corrupt or too large."""
    spent_usd: Decimal
    """The confirmed cost."""
    in_doubt_usd: Decimal
    """The possible further cost: ambiguous jobs, and earlier attempts of jobs that were sent again."""
    throttled: int
    """Rejections with 429. They cost nothing."""
    elapsed: float
    """Seconds."""
    stopped: str | None
    """The reason for an early stop, if there was one. Running the same batch again resumes it."""
    failures: tuple[JobResult, ...] = field(default=(), repr=False)
    """Rejected jobs, and jobs with images that are not stored."""
    ambiguous: tuple[JobResult, ...] = field(default=(), repr=False)
    """Jobs with an unknown outcome. Resolve each, or leave it."""

    def __str__(self) -> str:
        states = ", ".join(f"{count} {state}" for state, count in self.by_state.items() if count)
        lines = [
            f"{self.jobs} jobs in {self.elapsed:.1f} s: {states or 'none'}",
            f"{self.images_stored} images stored, {self.images_withheld} withheld, {self.images_lost} lost",
            f"{self.spent_usd} USD spent, {self.in_doubt_usd} USD in doubt, {self.throttled} rejections with 429",
        ]
        return "\n".join(lines + ([f"stopped: {self.stopped}"] if self.stopped else []))


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
    """
    by_ambiguity: dict[bool, list[JobResult]] = {True: [], False: []}
    for result in results:
        by_ambiguity[result.state is JobState.AMBIGUOUS].append(result)

    return Report(
        jobs=sum(states.values()),
        by_state=dict(states),
        images_stored=images.get(ImageState.STORED, 0),
        images_withheld=images.get(ImageState.WITHHELD, 0),
        images_lost=sum(images.get(state, 0) for state in LOST),
        spent_usd=spent,
        in_doubt_usd=in_doubt,
        throttled=throttled,
        elapsed=elapsed,
        stopped=stopped,
        failures=tuple(by_ambiguity[False]),
        ambiguous=tuple(by_ambiguity[True]),
    )


class Tally:
    """Counts results as they arrive.

    Args:
        ambiguous: Ambiguous jobs of earlier runs. Each is listed until this run sends it again.
    """

    def __init__(self, ambiguous: Iterable[JobResult] = ()) -> None:
        self._done = 0
        self._images: Counter[ImageState] = Counter()
        self._spent = Decimal(0)
        self._unfinished = {result.key: (result, Decimal(0)) for result in ambiguous}
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
