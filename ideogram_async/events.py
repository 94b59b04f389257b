"""What happens to a call, told while it happens.

`Ideogram(on_event=...)` gets these values in order. A call ends with the `Answered` of its answer, or with one
`Failed`. They hold no key and no link that still opens; the prompt is veiled, and shows only where it is asked for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from attrs import field, frozen

from ideogram_async._redaction import RedactedStr
from ideogram_async.errors import Billed, Phase

__all__ = [
    "Answered",
    "BatchFinished",
    "BatchStopped",
    "Downloaded",
    "Event",
    "Failed",
    "JobFinished",
    "JobStarted",
    "Retrying",
    "Sending",
    "Throttled",
    "Waiting",
]


def _now() -> datetime:
    return datetime.now(UTC)


@frozen(kw_only=True)
class Event:
    """Something that happened to one call."""

    call_id: str
    """The same for all events of a call."""
    operation: str
    """Method and path as in the contract, or `download`."""
    at: datetime = field(factory=_now)


@frozen(kw_only=True)
class Waiting(Event):
    """The call asks for its places."""

    weight: int
    """Images that it will have in progress."""
    images: int = 0
    """Images that it is to make; 0 for one that makes none, a description say."""
    model: str | None = None
    """The model that it asks for, where it names one."""
    prompt: RedactedStr | None = None
    """What to draw, where it says so: `prompt.reveal()`."""


@frozen(kw_only=True)
class Sending(Event):
    """An attempt begins."""

    attempt: int
    """Counted from 1, attempts refused with 429 included."""


@frozen(kw_only=True)
class Answered(Event):
    """A reply has come, whatever its status."""

    attempt: int
    status: int
    elapsed: float
    """Seconds since the attempt began."""


@frozen(kw_only=True)
class Retrying(Event):
    """The call will be tried again."""

    attempt: int
    """The attempt that failed."""
    pause: float
    """Seconds until the next."""
    reason: str


@frozen(kw_only=True)
class Throttled(Event):
    """The service refused the call with 429: too many images in progress. Nothing was paid."""

    attempt: int
    retry_after: float | None
    """Seconds, where the service asks for some."""
    max_in_flight: int | None
    """The limit that the service told."""


@frozen(kw_only=True)
class Failed(Event):
    """The call has ended without an answer; also when it was cancelled."""

    error: str
    """The error's class name."""
    message: str
    billed: Billed
    phase: Phase
    """How far the last attempt had come."""


@frozen(kw_only=True)
class Downloaded(Event):
    """An image stands whole at its path."""

    path: Path
    size: int
    """Bytes."""
    sha256: str
    adopted: bool
    """Whether the same bytes stood there before."""


@frozen(kw_only=True)
class JobStarted(Event):
    """A job of a batch is about to be sent, or taken up again."""

    job_id: str
    weight: int
    """Images that it will have in progress."""


@frozen(kw_only=True)
class JobFinished(Event):
    """A job of a batch is settled, for this run."""

    job_id: str
    state: str
    stored: int
    """Images of it that stand on disk."""
    cost_usd: Decimal | None


@frozen(kw_only=True)
class BatchStopped(Event):
    """A batch sends no more; what is on its way is finished."""

    reason: str


@frozen(kw_only=True)
class BatchFinished(Event):
    """A batch has ended."""

    jobs: int
    """Jobs that were settled."""
    spent_usd: Decimal
    in_doubt_usd: Decimal
