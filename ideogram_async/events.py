"""Events emitted during a call.

`Ideogram(on_event=...)` receives them in order. A call ends with the `Answered` of its response, or with one `Failed`.
Events contain no API key and no usable link. The prompt is redacted: it prints as `***`.
"""

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


@frozen(kw_only=True)
class Event:
    """Base class of events."""

    call_id: str
    """Id of the call, the same for all its events."""
    operation: str
    """Method and path, such as `POST /v1/ideogram-v3/generate`, or `download`."""
    at: datetime = field(factory=lambda: datetime.now(UTC))
    """Time of the event."""


@frozen(kw_only=True)
class Waiting(Event):
    """The call is queued for its concurrency slots."""

    weight: int
    """Number of concurrency slots."""
    images: int = 0
    """Number of requested images; 0 for a call that makes none, such as a description."""
    model: str | None = None
    """The requested model, if the request names one."""
    prompt: RedactedStr | None = None
    """The prompt, if the request has one; `prompt.reveal()` returns the text."""


@frozen(kw_only=True)
class Sending(Event):
    """An attempt starts."""

    attempt: int
    """Number of the attempt from 1, including attempts rejected with 429."""


@frozen(kw_only=True)
class Answered(Event):
    """A response was received, with any status."""

    attempt: int
    status: int
    elapsed: float
    """Seconds since the start of the attempt."""


@frozen(kw_only=True)
class Retrying(Event):
    """The call will be retried."""

    attempt: int
    """Number of the failed attempt."""
    pause: float
    """Seconds until the next attempt."""
    reason: str


@frozen(kw_only=True)
class Throttled(Event):
    """The service rejected the call with 429: too many images in progress. Not billed."""

    attempt: int
    retry_after: float | None
    """Seconds to wait, if the service states them."""
    max_in_flight: int | None
    """The limit of images in progress, if the service states it."""


@frozen(kw_only=True)
class Failed(Event):
    """The call ended without an answer. Also emitted when it is cancelled."""

    error: str
    """The error's class name."""
    message: str
    billed: Billed
    phase: Phase
    """Progress of the last attempt."""


@frozen(kw_only=True)
class Downloaded(Event):
    """An image was downloaded completely."""

    path: Path | None
    """The file, if it is stored in a folder."""
    uri: str
    """The URI of the image, such as `s3://bucket/name` or `file:///folder/name`."""
    size: int
    """Size in bytes."""
    sha256: str
    adopted: bool
    """Whether it already existed with the same content."""


@frozen(kw_only=True)
class JobStarted(Event):
    """A job of a batch was started or resumed."""

    job_id: str
    weight: int
    """Number of concurrency slots."""


@frozen(kw_only=True)
class JobFinished(Event):
    """A job of a batch was finished in this run."""

    job_id: str
    state: str
    stored: int
    """Number of its images on disk."""
    cost_usd: Decimal | None


@frozen(kw_only=True)
class BatchStopped(Event):
    """A batch stopped sending. Calls in flight finish."""

    reason: str


@frozen(kw_only=True)
class BatchFinished(Event):
    """A batch ended."""

    jobs: int
    """Number of finished jobs."""
    spent_usd: Decimal
    in_doubt_usd: Decimal
