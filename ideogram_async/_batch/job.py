"""Jobs of a batch, and their results."""

# Evaluated annotations: `typing.get_type_hints` works on the classes and on the initializers that attrs generates.

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from attrs import field, frozen
from attrs.validators import instance_of, optional

from ideogram_async._operations import Request
from ideogram_async.errors import IdeogramError


class JobState(StrEnum):
    """State of a job: `pending → sending → answered → done | partial`, or `rejected`, or `ambiguous`."""

    PENDING = "pending"
    """Recorded and not sent. A job that was rejected with 429 or could not be sent is pending again."""
    SENDING = "sending"
    """In flight. A job still in this state when a batch starts becomes ambiguous."""
    ANSWERED = "answered"
    """Billed, and the answer is recorded. Images may still have to be downloaded."""
    DONE = "done"
    """Every image is stored."""
    PARTIAL = "partial"
    """Billed, and at least one image was withheld, lost or could not be stored."""
    REJECTED = "rejected"
    """Rejected by the service: not billed, and not sent again."""
    AMBIGUOUS = "ambiguous"
    """Sent without a usable answer: it may have run and may have been billed."""


class ImageState(StrEnum):
    """State of an image of a job."""

    LINKED = "linked"
    """The link is known."""
    STORED = "stored"
    """The complete image is on disk."""
    WITHHELD = "withheld"
    """The service withholds the image as unsafe. It was billed."""
    EXPIRED = "expired"
    """The link expired before the image was downloaded."""
    LOST = "lost"
    """The link stopped working before it expired, or the image was given up."""
    CORRUPT = "corrupt"
    """The link returns no complete image."""
    TOO_LARGE = "too_large"
    """The image has more than `max_image_bytes` bytes. The link is kept."""
    REFUSED = "refused"
    """The link points to a host that the client does not connect to. The link is kept."""
    CONFLICT = "conflict"
    """A different file exists at the image's path."""


@frozen
class Job:
    """A request with an id. A bare request is a job too: its content identifies it."""

    request: Request[object]
    id: str | None = field(default=None, validator=optional(instance_of(str)))
    """Chosen by you, unique in the batch. An id that is already used by a different request raises
    `JobConflictError` before money is spent."""


@frozen(slots=False, kw_only=True)
class StoredImage:
    """An image of a job, on disk or not."""

    path: Path | None
    """The file, if the image is stored."""
    state: ImageState
    url: str | None
    seed: int | None
    prompt: str | None
    resolution: str | None
    sha256: str | None
    size: int | None
    """Bytes."""


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
