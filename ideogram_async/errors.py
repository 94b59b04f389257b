"""Exception hierarchy. Every error states whether the call was billed.

    IdeogramError
    ├── InvalidRequestError           a request breaks a rule; it was not sent
    ├── TransportError                no usable response
    │   ├── NotSentError              not sent: certainly not processed
    │   └── AmbiguousError            sent: may have been processed and billed
    │       └── InDoubtError          the key of a call has such an attempt
    ├── APIStatusError                a status other than 2xx
    │   ├── BadRequestError           400
    │   ├── AuthenticationError       401
    │   ├── PaymentRequiredError      402
    │   ├── PermissionDeniedError     403
    │   ├── NotFoundError             404
    │   ├── SafetyError               422
    │   ├── RateLimitError            429
    │   └── ServerError               5xx
    ├── GenerationFailed              an accepted generation has failed
    ├── WaitTimeout                   an accepted generation has not ended yet
    ├── DecodeError                   a 2xx response that is truncated or invalid
    ├── DownloadError                 an image cannot be downloaded
    │   ├── LinkExpiredError
    │   ├── TruncatedImageError
    │   ├── NotAnImageError
    │   ├── ImageTooLargeError
    │   ├── HostRefusedError
    │   ├── WithheldImageError
    │   └── FileConflictError
    ├── BatchError                    a batch cannot use its folder
    │   ├── BatchLockedError
    │   ├── JournalError
    │   └── JobConflictError
    ├── LedgerError                   a ledger cannot be used, or does not permit a call
    │   ├── KeyConflictError
    │   ├── InProgressError
    │   └── BudgetError
    └── WebhookError                  a delivery to a webhook cannot be accepted

An error has three attributes of its own: `billed`, `retryable` (the call can be sent again without being billed twice)
and `advice` (the next step). Errors can be pickled, and never contain the API key.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal, Required, TypeAlias, TypedDict, Unpack

from ideogram_async._accepted import Accepted

CONTENT_WORDS = ("content", "policy", "safety", "moderation", "copyright")
"""Words in the reason of a failure that the same request would meet again."""
MAX_LISTED_PROBLEMS = 20
"""Problems that the message of one error lists."""
WebhookReason: TypeAlias = Literal["missing", "malformed", "signature", "stale", "unreadable"]

__all__ = [
    "APIStatusError",
    "AmbiguousError",
    "AuthenticationError",
    "BadRequestError",
    "BatchError",
    "BatchLockedError",
    "Billed",
    "BudgetError",
    "DecodeError",
    "DownloadError",
    "FileConflictError",
    "GenerationFailed",
    "HostRefusedError",
    "IdeogramError",
    "ImageTooLargeError",
    "InDoubtError",
    "InProgressError",
    "InvalidRequestError",
    "JobConflictError",
    "JournalError",
    "KeyConflictError",
    "LedgerError",
    "LinkExpiredError",
    "NotAnImageError",
    "NotFoundError",
    "NotSentError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "Phase",
    "RateLimitError",
    "SafetyError",
    "ServerError",
    "TransportError",
    "TruncatedImageError",
    "WaitTimeout",
    "WebhookError",
    "WithheldImageError",
]


class Billed(StrEnum):
    """Billing status of a call."""

    NO = "no"
    """The call certainly was not processed."""
    YES = "yes"
    """The call was processed: the service responded, even if the response cannot be read."""
    UNKNOWN = "unknown"
    """The call was sent, and its outcome is unknown."""


class Phase(StrEnum):
    """Progress of an attempt."""

    QUEUED = "queued"
    """Waiting for a concurrency slot, or between two attempts."""
    CONNECTING = "connecting"
    """DNS lookup, connect or TLS handshake: no byte of the request was sent."""
    SENT = "sent"
    """The request was sent in part or in whole, and no response has begun."""
    ANSWERING = "answering"
    """The status line was received."""


class IdeogramError(Exception):
    """Base class of all errors that this library raises."""

    billed: Billed = Billed.NO
    retryable: bool = False
    """Whether the same call can be sent again: it cannot be billed twice, and may succeed."""
    advice: str = ""
    """The next step, in one or two sentences."""

    def __reduce__(self) -> tuple[object, ...]:
        # The default would call `__init__` with `args` alone and lose the keyword arguments.
        return _restore, (type(self), self.args, self.__dict__)


class InvalidRequestError(IdeogramError, ValueError):
    """A request breaks one or more rules. It was not sent."""

    advice = "Correct the listed fields, then send the request again."

    def __init__(self, problems: Iterable[tuple[str, str]], *, subject: str = "request") -> None:
        self.problems: tuple[tuple[str, str], ...] = tuple(problems)
        """All problems, as `(field, rule)`."""

        lines = "".join(f"\n  {field}: {rule}" for field, rule in self.problems[:MAX_LISTED_PROBLEMS])
        if len(self.problems) > MAX_LISTED_PROBLEMS:
            lines += f"\n  and {len(self.problems) - MAX_LISTED_PROBLEMS:,} more"

        super().__init__(f"invalid {subject}, nothing was sent:{lines}")


class TransportError(IdeogramError):
    """No usable response was received. This class itself is raised only for a call that costs nothing."""

    retryable: bool = True
    advice = "The call costs nothing. Retry it."

    def __init__(self, message: str, *, phase: Phase, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.phase = phase
        """Progress of the last attempt."""

        if retryable is not None:
            self.retryable = retryable


class NotSentError(TransportError):
    """No byte was sent: DNS, connect or TLS failed, or the call timed out before. Never billed."""

    advice = "Nothing was sent. Check the network, the base URL and the proxy, then retry."


class AmbiguousError(TransportError):
    """A call that costs money was sent, and no usable response was received. It may have been processed and billed."""

    billed = Billed.UNKNOWN
    retryable = False
    advice = "The call may have been processed and billed. Retrying may bill you twice, so do not retry in a loop."


class InDoubtError(AmbiguousError):
    """An attempt to send the call of this key may have been processed and billed. The key is not sent again.

    Decide about it with `resolve` of the ledger, or `ideogram-async ledger resolve`. An owner that was silent and
    resumes records its answer. Then the same call returns it.
    """

    advice = (
        "The call may have been billed. Check whether the image exists, then resolve the key in the ledger: lost, retry"
        " or adopt. Another key may be billed again."
    )

    def __init__(
        self,
        message: str,
        *,
        key: str,
        attempt: int,
        started_at: datetime,
        usd: Decimal | None,
        phase: Phase = Phase.SENT,
    ) -> None:
        super().__init__(message, phase=phase)
        self.key = key
        self.attempt = attempt
        """The number of the attempt, from 1."""
        self.started_at = started_at
        self.usd = usd
        """The price of the attempt, if it is known."""


class _StatusDetails(TypedDict, total=False):
    status: Required[int]
    body: Any
    reason: str | None
    request_id: str | None
    retry_after: float | None
    headers: Mapping[str, str] | None
    billed: Billed


class APIStatusError(IdeogramError):
    """The service responded with a status other than 2xx."""

    advice = "The service rejected the call. See `body` for the reason."

    def __init__(
        self,
        message: str,
        *,
        status: int,
        body: Any = None,
        reason: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        headers: Mapping[str, str] | None = None,
        billed: Billed = Billed.NO,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: Any = body
        """The parsed JSON, or the text if the body is not JSON."""
        self.reason = reason
        """The service's error code (`reject_reason`), such as `insufficient_funds`."""
        self.request_id = request_id
        self.retry_after = retry_after
        """Seconds to wait, from the `Retry-After` header."""
        self.headers: dict[str, str] = dict(headers or {})
        """The response headers, with names in lower case."""
        self.billed: Billed = billed


class BadRequestError(APIStatusError):
    """400: the request is invalid. Not billed."""

    advice = "Correct the request. The same request fails again."


class AuthenticationError(APIStatusError):
    """401, or no API key. Not billed."""

    advice = "Set IDEOGRAM_API_KEY or api_key to a valid key. Get a key at https://ideogram.ai/manage-api."


class PaymentRequiredError(APIStatusError):
    """402: the balance or the plan does not cover the call. Not billed."""

    advice = "Top up the balance or change the plan. Until then every call fails."


class PermissionDeniedError(APIStatusError):
    """403: the key has no access to this operation or model. Not billed."""

    advice = "Use a key, a model or an operation that the account has access to."


class NotFoundError(APIStatusError):
    """404: the object does not exist, or belongs to another account. Not billed."""

    advice = "Check the id, the path of a `Custom` request, and `base_url`."


class SafetyError(APIStatusError):
    """422: the prompt or an image failed the safety check. Not processed, not billed."""

    advice = "Change the prompt or the image. The same request fails again."


def is_in_flight_limit(reason: object) -> bool:
    """Return whether a 429 with a reason, or without one, is about the images in progress.

    Against another reason, such as a limit of the plan, waiting does not help.
    """
    return not isinstance(reason, str) or reason == "inflight_limit"


class RateLimitError(APIStatusError):
    """429: too many images in progress for longer than `Retry.throttle_wait`. Not billed.

    With another `reason`, such as `feature_limit`, it is raised at once and not retryable: waiting does not help.
    """

    retryable: bool = True
    advice: str = "Wait until other work on the account has finished, or lower max_in_flight, then retry."

    def __init__(self, message: str, *, max_in_flight: int | None = None, **details: Unpack[_StatusDetails]) -> None:
        super().__init__(message, **details)
        self.max_in_flight = max_in_flight
        """Maximum number of images in progress, if the service states it."""
        if not is_in_flight_limit(self.reason):
            self.retryable = False
            self.advice = f"The account has reached its limit {self.reason!r}. Raise it, or use another account."


class ServerError(APIStatusError):
    """5xx: the service or a proxy in front of it failed. A call that costs money may have been processed."""

    def __init__(self, message: str, **details: Unpack[_StatusDetails]) -> None:
        super().__init__(message, **details)
        self.retryable: bool = self.billed is Billed.NO
        self.advice: str = TransportError.advice if self.retryable else AmbiguousError.advice


class GenerationFailed(IdeogramError):  # noqa: N818
    """A generation that the service had accepted has failed. Counts as not billed.

    Source: https://developer.ideogram.ai/ideogram-api/idempotency
    """

    def __init__(self, message: str, *, generation_id: str | None, reason: str | None) -> None:
        super().__init__(message)
        self.generation_id = generation_id
        self.reason = reason
        """The service's reason, such as `content_policy_violation`."""
        is_content = any(word in (reason or "").lower() for word in CONTENT_WORDS)
        self.retryable: bool = not is_content
        self.advice: str = (
            "The content was refused. Change the prompt or the images." if is_content else "Send the request again."
        )


class WaitTimeout(IdeogramError):  # noqa: N818
    """A generation that the service has accepted has not ended in time. It continues, and is billed if it succeeds."""

    billed = Billed.UNKNOWN
    advice = (
        "Wait again with `client.generations.wait(error.ticket)`, which costs nothing. Do not send the request again."
    )

    def __init__(self, message: str, *, ticket: Accepted, status: str | None) -> None:
        super().__init__(message)
        self.ticket = ticket
        """The acceptance."""
        self.status = status
        """The last status that the service stated, such as `pending`."""


class DecodeError(IdeogramError):
    """A 2xx response is truncated, or does not match the API contract.

    A call that costs money was billed. If the response is empty, or a page without links, it may come from a proxy or
    a captive portal, and the billing status is unknown.
    """

    def __init__(
        self,
        message: str,
        *,
        raw: bytes,
        links: Iterable[str] = (),
        problems: Iterable[str] = (),
        billed: Billed = Billed.YES,
        request_id: str | None = None,
    ) -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        """The problems with their positions, such as `$.data[0].seed: missing`."""

        super().__init__("\n  ".join([message, *self.problems]))
        self.raw = raw
        """All bytes received."""
        self.links: tuple[str, ...] = tuple(links)
        """All URLs in `raw`: billed images can still be downloaded."""
        self.billed: Billed = billed
        self.request_id = request_id
        self.retryable: bool = billed is Billed.NO
        self.advice: str = {
            Billed.NO: TransportError.advice,
            Billed.YES: "The call was billed. Download `links`, keep `raw`, and do not send the call again.",
            Billed.UNKNOWN: AmbiguousError.advice,
        }[billed]


class DownloadError(IdeogramError):
    """An image cannot be downloaded. A download costs nothing and never triggers a generation."""

    retryable = True
    advice = "Download the same link again before it expires."

    def __init__(self, message: str, *, url: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        """The link without its signature."""
        self.status = status


class LinkExpiredError(DownloadError):
    """The image host responded with 403, 404 or 410: the link has expired. Links are valid for at most 24 hours."""

    retryable = False
    advice = "Links work for at most 24 hours. Download a newer one again later; a new image is billed again."


class TruncatedImageError(DownloadError):
    """Every attempt ended before the image was complete."""


class NotAnImageError(DownloadError):
    """The downloaded file is not a PNG, JPEG or WebP file."""


class ImageTooLargeError(DownloadError):
    """The image is larger than `max_image_bytes`, or has more than 100 million pixels."""

    retryable = False
    advice = "The link is still valid. Raise max_image_bytes, or open the link elsewhere."


class HostRefusedError(DownloadError):
    """The link or a redirect points to a refused host: no https, a private address, or not in `image_hosts`."""

    retryable = False
    advice = "If the host is correct, add it to image_hosts."


class WithheldImageError(DownloadError):
    """The image has no link: the service generated and billed it, but withheld it as unsafe."""

    retryable = False
    advice = "Change the prompt. With the same prompt the image may be withheld and billed again."


class FileConflictError(DownloadError):
    """The name of the image is taken by different content, which was not overwritten."""

    retryable = False
    advice = "Choose another target, or move the existing file."

    def __init__(self, message: str, *, path: Path | None = None, url: str | None = None) -> None:
        super().__init__(message, url=url)
        self.path = path
        """The file, if the target is a folder."""


class BatchError(IdeogramError):
    """A batch cannot use its folder."""

    advice = "Check the folder. Its files were not changed."


class BatchLockedError(BatchError):
    """Another process is using the folder."""

    retryable = True
    advice = "Wait until the other process ends, or choose another folder."


class JournalError(BatchError):
    """The folder's journal is damaged, of another program, or of another service. It is never overwritten."""

    advice = "Keep the folder: its journal records billed work. Restore it from a backup; a new folder pays again."


class JobConflictError(BatchError):
    """The id of a job is already used by a different request that was or may have been billed."""

    advice = "Use another id for the changed request."


class LedgerError(IdeogramError):
    """A ledger is unavailable, damaged, of another program or service, or of a newer version. Nothing was sent."""

    advice = "Check the ledger. Nothing is sent without its record."

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable: bool = retryable
        """Whether the ledger cannot be reached at the moment."""


class KeyConflictError(LedgerError):
    """The key belongs to another request. Nothing was sent."""

    advice = "Use another key for another request."


class InProgressError(LedgerError):
    """Another caller is sending the call of this key, and has no answer yet."""

    billed = Billed.UNKNOWN
    advice = "Repeat the call with the same key: it then returns the answer. Another key is billed again."

    def __init__(self, message: str, *, retryable: bool = True) -> None:
        super().__init__(message, retryable=retryable)


class BudgetError(LedgerError):
    """The budget of the ledger does not cover the call. Nothing was sent."""

    advice = "Raise max_cost_usd of the ledger. Calls in doubt count, also those that were given up."


class WebhookError(IdeogramError):
    """A delivery to a webhook is forged, stale or unreadable, or is not one of the service. Answer it with 400."""

    def __init__(self, message: str, *, reason: WebhookReason, generation_id: str | None = None) -> None:
        super().__init__(message)
        self.reason: WebhookReason = reason
        """`missing`, `malformed`, `signature`, `stale` or `unreadable`: the first check that failed."""
        self.generation_id = generation_id
        """The generation of a stale or unreadable delivery, whose signature is valid."""
        is_signed = generation_id is not None
        self.advice: str = (
            "The service signed this delivery. Poll the generation with `generation_id`."
            if is_signed
            else "Do not use the content of the delivery. If the service sent it, a poll still finds the generation."
        )


def _restore(error_class: type[IdeogramError], args: tuple[object, ...], state: dict[str, object]) -> IdeogramError:
    error = error_class.__new__(error_class, *args)
    error.args = args
    error.__dict__.update(state)
    return error
