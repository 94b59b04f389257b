"""What goes into a batch, and what comes out of it."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any

from attrs import field, frozen
from attrs.validators import instance_of, optional

from ideogram_async._operations import Request
from ideogram_async.errors import IdeogramError


class JobState(StrEnum):
    """Where a job stands: `pending → sending → answered → done | partial`, or `rejected`, or `ambiguous`."""

    PENDING = "pending"
    """Known, and not sent; also what was refused with 429, or never left."""
    SENDING = "sending"
    """On its way. Found so at a start, it is ambiguous."""
    ANSWERED = "answered"
    """Paid for, and its answer is kept; images may still have to be collected."""
    DONE = "done"
    """Every image is stored."""
    PARTIAL = "partial"
    """Paid for, and some image was withheld, lost or cannot be stored."""
    REJECTED = "rejected"
    """Refused: not paid for, and not sent again."""
    AMBIGUOUS = "ambiguous"
    """Sent without an answer: it may have run, and may have been paid for."""


class ImageState(StrEnum):
    """Where an image of a job stands."""

    LINKED = "linked"
    """Its link is known."""
    STORED = "stored"
    """It is on disk, whole."""
    WITHHELD = "withheld"
    """The service keeps it back as unsafe; it was paid for."""
    EXPIRED = "expired"
    """Its link has died of age."""
    LOST = "lost"
    """Its link has died before its time."""
    CORRUPT = "corrupt"
    """What the link gives is no whole image."""
    TOO_LARGE = "too_large"
    """It has more than `max_image_bytes` bytes; the link is kept."""
    REFUSED = "refused"
    """Its link leads where the client does not go; it is kept."""
    CONFLICT = "conflict"
    """Another file stands at its path."""


@frozen
class Job:
    """A request with a name of its own. A bare request is a job too; its content names it."""

    request: Request[Any]
    id: str | None = field(default=None, validator=optional(instance_of(str)))
    """Yours, unique in the batch. The same id with another request is a conflict, noticed before money is spent."""


@frozen(slots=False, kw_only=True)
class StoredImage:
    """An image of a job, on disk or not."""

    path: Path | None
    """Where it stands, once it is stored."""
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
    """What became of a job."""

    id: str
    """Yours, or the key."""
    key: str
    """Names the job in the folder: made of its content, the same in every run."""
    index: int
    """Its place in the input, counted from 0."""
    request: Request[Any]
    state: JobState
    images: tuple[StoredImage, ...] = ()
    answer: Any = field(default=None, repr=False)
    """What the service answered, decoded."""
    error: IdeogramError | None = None
    cost_usd: Decimal | None = None
    """What it cost, or may have cost, earlier attempts in doubt included; `None` where the price is not known."""
    from_journal: bool = False
    """Whether it was settled in an earlier run."""
