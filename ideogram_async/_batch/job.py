"""Jobs of a batch, and their results."""

# Evaluated annotations: `typing.get_type_hints` works on the classes and on the initializers that attrs generates.

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, TypeAlias

from attrs import Attribute, asdict, field, frozen

from ideogram_async._names import NamedArguments
from ideogram_async._operations import Request
from ideogram_async.errors import IdeogramError


class JobState(StrEnum):
    """State of a job: `pending → sending → accepted → answered → done | partial`, or `rejected`, or `ambiguous`.

    A call that the service answers at once is never `accepted`.
    """

    PENDING = "pending"
    """Recorded and not sent. A job that was rejected with 429 or could not be sent is pending again."""
    SENDING = "sending"
    """In flight. A job still in this state when a batch starts becomes ambiguous."""
    ACCEPTED = "accepted"
    """The service has accepted it and works on it; its id is recorded. A run waits for it, and never sends it again."""
    ANSWERED = "answered"
    """Billed, and the answer is recorded. Images may still have to be downloaded."""
    DONE = "done"
    """Every image is stored."""
    PARTIAL = "partial"
    """Billed, and at least one image was withheld, has expired or was given up."""
    REJECTED = "rejected"
    """Rejected by the service: not billed, and not sent again."""
    AMBIGUOUS = "ambiguous"
    """Sent without a usable answer: it may have run and may have been billed."""


class ImageState(StrEnum):
    """State of an image of a job."""

    LINKED = "linked"
    """The link is known, and the image is not stored yet. The next run asks for it again."""
    STORED = "stored"
    """The complete image is on disk, or in the batch's sink."""
    WITHHELD = "withheld"
    """The service withholds the image as unsafe. It was billed."""
    EXPIRED = "expired"
    """The host refused the link after it had expired."""
    LOST = "lost"
    """The image was given up with `Folder.resolve`."""


UNRECORDED = "the reply could not be recorded"
"""Start of the error of an answer that is not in the journal. The next run lists its job as ambiguous."""

ImageProblem: TypeAlias = Literal["cut", "not_an_image", "too_large", "refused", "name_taken", "gone", "unreachable"]
PROBLEM_TEXTS: dict[ImageProblem, str] = {
    "cut": "the download was truncated or damaged",
    "not_an_image": "the host returned something other than an image",
    "too_large": "the image is larger than max_image_bytes",
    "refused": "the host is not allowed",
    "name_taken": "the file name is taken by a different file",
    "gone": "the host refused the link before it expired",
    "unreachable": "the image host or the sink failed or could not be reached",
}
"""The reason that an image could not be downloaded."""


def _optional_str(_: object, field: "Attribute[str | None]", value: object) -> None:
    if value is not None and not isinstance(value, str):
        raise TypeError(f"the {field.name} of a job is a string, not {type(value).__name__}: {value!r}")


def _copied_texts(value: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for item in value.items() for text in item):
        raise TypeError(f"the carried columns of a job map names to strings, not {value!r}")

    return dict(value)


@frozen
class Job(NamedArguments):
    """A request with an id. A bare request is a job too: its content identifies it."""

    request: Request[object]
    id: str | None = field(default=None, validator=_optional_str)
    """Chosen by you, unique in the batch. An id that is already used by a different request raises
    `JobConflictError` before money is spent."""
    carried: Mapping[str, str] = field(default={}, converter=_copied_texts, kw_only=True, hash=False)
    """Columns of your own, by name, that results, exports and sidecars repeat. They are not sent, and do not identify
    the job: with other ones it is the same job."""

    @classmethod
    def from_rows(
        cls,
        rows: Iterable[Mapping[str, object]],
        *,
        operation: str = "generate",
        columns: Mapping[str, str] | None = None,
        set: Mapping[str, object] | None = None,
        ignore_columns: bool = False,
    ) -> "Iterator[Job]":
        """Return the jobs of rows, such as those of `csv.DictReader` or of a data frame's `to_dict("records")`.

        A field that is `None`, NaN or NA is absent, 7.0 is the whole number 7, and a whole number can be an `id`.

        Args:
            rows: Names of fields, of `id` and of `operation`, with their values. Read lazily; a sequence is checked
                completely before the first job.
            operation: The operation of rows that name none, such as `upscale`.
            columns: The column of a field, of `id` or of `operation`, such as `{"prompt": "Caption"}`. By default they
                have the same name, in any case, with spaces, `-` or `_`.
            set: Values of fields for all rows, such as `{"rendering_speed": "TURBO"}`. They replace those of the rows.
            ignore_columns: Whether to accept columns that are not fields, and carry them in `Job.carried`. Otherwise
                they are refused.

        Raises:
            InvalidRequestError: With all faults and their rows, counted from 0, before the first job if the rows are a
                sequence. Faults of another iterable are raised at their row.
        """
        from ideogram_async._rows.checked import rows_of
        from ideogram_async._rows.options import ListOptions

        parsed = rows_of(rows, ListOptions(operation, columns or {}, set or {}, ignore_columns))
        return (cls(row.request, row.id, carried=row.carried) for row in parsed)


@frozen(slots=False, kw_only=True)
class StoredImage:
    """An image of a job, on disk or not."""

    path: Path | None
    """The file, if the image is stored in the folder of the batch."""
    state: ImageState
    url: str | None
    seed: int | None
    prompt: str | None
    resolution: str | None
    sha256: str | None
    size: int | None
    """Bytes."""
    uri: str | None = None
    """The URI of the image, if it is stored: `file:///...`, or one of the batch's sink such as `s3://bucket/name`."""
    problem: ImageProblem | None = None
    """The failure of a linked image's last download: it was truncated or damaged, not an image, larger than
    `max_image_bytes`, on a host that is not allowed; its file name is taken by a different file; the host refused a
    link that had not expired; the host or the batch's sink failed or could not be reached."""
    tried_at: datetime | None = None
    """The time of that download."""
    _name: str | None = field(default=None, repr=False, eq=False, alias="_name")
    """The name in the sink, if the image is in one."""

    def _repr_html_(self, width: int = 512) -> str:
        from ideogram_async._html import picture, table

        if self.path is None:
            return table(type(self).__name__, [asdict(self, filter=lambda field, _: not field.name.startswith("_"))])

        seed = "" if self.seed is None else f"seed {self.seed}"
        return picture(self.path, ", ".join(filter(None, (self.path.name, self.resolution, seed))), width)


def name_in_sink(image: StoredImage) -> str | None:
    """Return the name of an image in the sink of its batch, if it is in one."""
    return image._name  # pyright: ignore[reportPrivateUsage]


@frozen(slots=False, kw_only=True)
class JobResult:
    """The result of a job."""

    id: str
    """Your id, or the key of a job without one."""
    key: str
    """The job's name in the folder, derived from its id or content. It is the same in every run."""
    index: int
    """Position in the input, from 0."""
    request: Request[object]
    state: JobState
    images: tuple[StoredImage, ...] = ()
    answer: Any = field(default=None, repr=False)
    """The decoded answer of the service."""
    error: IdeogramError | None = None
    cost_usd: Decimal | None = None
    """The cost, including attempts that may have been billed; `None` if the price is not known."""
    from_journal: bool = False
    """Whether the job was finished in an earlier run."""
    carried: Mapping[str, str] = field(factory=dict, hash=False)
    """The columns that the job carries, see `Job.carried`."""

    def _repr_html_(self) -> str:
        from ideogram_async._html import row

        cost = None if self.cost_usd is None else f"{self.cost_usd} USD"
        parts = (self.id, self.state, cost, None if self.error is None else str(self.error))
        return row((image._repr_html_(256) for image in self.images), ", ".join(filter(None, parts)))  # pyright: ignore[reportPrivateUsage]
