"""Errors, and what each of them means for the bill.

    IdeogramError
    ├── InvalidRequestError           a value breaks a rule; nothing was sent
    ├── TransportError                no usable answer came
    │   ├── NotSentError              it certainly did not run
    │   └── AmbiguousError            it was sent and may have run
    ├── APIStatusError                the service refused or failed
    │   ├── BadRequestError           400
    │   ├── AuthenticationError       401
    │   ├── PaymentRequiredError      402
    │   ├── PermissionDeniedError     403
    │   ├── NotFoundError             404
    │   ├── SafetyError               422
    │   ├── RateLimitError            429
    │   └── ServerError               5xx
    ├── DecodeError                   a success that cannot be read
    ├── DownloadError                 an image could not be collected
    │   ├── LinkExpiredError
    │   ├── TruncatedImageError
    │   ├── NotAnImageError
    │   ├── ImageTooLargeError
    │   ├── HostRefusedError
    │   ├── WithheldImageError
    │   └── FileConflictError
    └── BatchError                    a batch cannot use its folder
        ├── BatchLockedError
        ├── JournalError
        └── JobConflictError

Every error states whether money was spent (`billed`), whether the same call may be sent again without paying twice
(`retryable`), and what to do next (`advice`). All of them can be pickled; none contains the key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

__all__ = [
    "APIStatusError",
    "AmbiguousError",
    "AuthenticationError",
    "BadRequestError",
    "BatchError",
    "BatchLockedError",
    "Billed",
    "DecodeError",
    "DownloadError",
    "FileConflictError",
    "HostRefusedError",
    "IdeogramError",
    "ImageTooLargeError",
    "InvalidRequestError",
    "JobConflictError",
    "JournalError",
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
    "WithheldImageError",
]


class Billed(StrEnum):
    """Whether a call was paid for."""

    NO = "no"
    """It certainly did not run."""
    YES = "yes"
    """It ran: an answer says so, even if the answer cannot be read."""
    UNKNOWN = "unknown"
    """It was sent, and nothing tells whether it ran."""


class Phase(StrEnum):
    """How far an attempt had come."""

    QUEUED = "queued"
    """Waiting for a place, or between two attempts."""
    CONNECTING = "connecting"
    """Looking up the host, connecting, or agreeing on TLS: not one byte of the request had left."""
    SENT = "sent"
    """The request was leaving or had left; no answer had begun."""
    ANSWERING = "answering"
    """The status line had come."""


class IdeogramError(Exception):
    """The root of every error that this library raises on its own account."""

    billed: Billed = Billed.NO
    retryable: bool = False
    """Whether the same call may be sent again: that cannot pay twice, and it may help."""
    advice: str = ""
    """What to do next, in a sentence."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call `__init__` with `args` alone, and lose every keyword.
        return _restore, (type(self), self.args, self.__dict__)


class InvalidRequestError(IdeogramError, ValueError):
    """A request breaks one or more rules; nothing was sent and nothing was spent."""

    advice = "Correct the fields that are named, and send again."

    def __init__(self, problems: Iterable[tuple[str, str]], *, subject: str = "request") -> None:
        self.problems: tuple[tuple[str, str], ...] = tuple(problems)
        """Every fault at once, as `(field, rule)`."""

        lines = "".join(f"\n  {field}: {rule}" for field, rule in self.problems)
        super().__init__(f"invalid {subject}, nothing was sent:{lines}")


def _restore(kind: type[IdeogramError], args: tuple[Any, ...], state: dict[str, Any]) -> IdeogramError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class TransportError(IdeogramError):
    """No usable answer came. As itself: a call that costs nothing, sent in vain."""

    retryable = True
    advice = "The call costs nothing: send it again."

    def __init__(self, message: str, *, phase: Phase, retryable: bool | None = None) -> None:
        super().__init__(message)
        self.phase = phase
        """How far the last attempt had come."""

        if retryable is not None:
            self.retryable = retryable


class NotSentError(TransportError):
    """Not one byte left: the lookup, the connection or TLS failed, or the time ran out before. Never billed."""

    advice = "Nothing was sent. Check the network, the base URL and the proxy, then send again."


class AmbiguousError(TransportError):
    """A call that costs money was sent and has no usable answer: it may have run, and may have been billed."""

    billed = Billed.UNKNOWN
    retryable = False
    advice = "The call may have run and been paid for. Sending it again may pay a second time: decide, do not loop."


class APIStatusError(IdeogramError):
    """The service answered with a status that is no success."""

    advice = "The service refused the call. Read `body` for its reason."

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
        self.body = body
        """The parsed JSON, or the text where it is none."""
        self.reason = reason
        """The service's own word for it (`reject_reason`), such as `insufficient_funds`."""
        self.request_id = request_id
        self.retry_after = retry_after
        """Seconds that the service asks to wait."""
        self.headers: dict[str, str] = dict(headers or {})
        """The answer's headers, names in lower case."""
        self.billed = billed


class BadRequestError(APIStatusError):
    """400: the service found the request invalid. Not billed."""

    advice = "Correct the request. Sent unchanged it fails again."


class AuthenticationError(APIStatusError):
    """401, or no key at all. Not billed."""

    advice = "Set IDEOGRAM_API_KEY, or pass api_key, to a key that is valid."


class PaymentRequiredError(APIStatusError):
    """402: the balance or the plan does not cover the call. Not billed."""

    advice = "Top up the balance or change the plan; until then every call ends so."


class PermissionDeniedError(APIStatusError):
    """403: the key may not use this operation or model. Not billed."""

    advice = "Use a key, a model or an operation that the account has access to."


class NotFoundError(APIStatusError):
    """404: what the call names does not exist, or is not yours. Not billed."""

    advice = "Check the id."


class SafetyError(APIStatusError):
    """422: the prompt or an image did not pass the safety check, and nothing ran. Not billed."""

    advice = "Change the prompt or the image. Sent unchanged it fails again."


class RateLimitError(APIStatusError):
    """429, for longer than `Retry.throttle_wait`: too many images in progress. Not billed."""

    retryable = True
    advice = "Wait for other work on the account to end, or lower max_in_flight, then send again."

    def __init__(self, message: str, *, max_in_flight: int | None = None, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.max_in_flight = max_in_flight
        """How many images the service allows at once, where it says so."""


class ServerError(APIStatusError):
    """5xx: the service, or something before it, failed. A call that costs money may have run all the same."""

    def __init__(self, message: str, **facts: Any) -> None:
        super().__init__(message, **facts)
        self.retryable = self.billed is Billed.NO
        self.advice = TransportError.advice if self.retryable else AmbiguousError.advice


class DecodeError(IdeogramError):
    """A success was cut, or is not what the contract promises. A call that costs money was paid for."""

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
        """What is wrong and where, in lines like `$.data[0].seed: missing`."""

        super().__init__("\n  ".join([message, *self.problems]))
        self.raw = raw
        """Every byte that came."""
        self.links: tuple[str, ...] = tuple(links)
        """Every URL found in them: what was paid for can still be downloaded."""
        self.billed = billed
        self.request_id = request_id
        self.retryable = billed is Billed.NO
        self.advice = (
            "Send it again; the call costs nothing."
            if self.retryable
            else "The work was paid for. Download `links`, keep `raw`, and do not send the call again."
        )


class BatchError(IdeogramError):
    """A batch cannot use its folder. Nothing was sent on that account."""

    advice = "Look into the folder that is named; what it holds is kept."


class BatchLockedError(BatchError):
    """Another process is at work in the folder."""

    retryable = True
    advice = "Wait until the other process ends, or choose another folder."


class JournalError(BatchError):
    """The folder's journal is damaged, foreign, or belongs to another service. It is never started afresh."""

    advice = "Keep the folder: its journal says what was paid for. Restore it from a copy, or begin in a new folder."


class JobConflictError(BatchError):
    """A job's id already stands for another request."""

    advice = "Give the changed request another id: what the first one made has been paid for."


class DownloadError(IdeogramError):
    """An image could not be collected. The download itself costs nothing, and never leads to a new generation."""

    retryable = True
    advice = "Download the same link again, before it expires."

    def __init__(self, message: str, *, url: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        """The link, without its signature."""
        self.status = status


class LinkExpiredError(DownloadError):
    """The image host answered 403, 404 or 410: the link has died. Links live 24 hours at most."""

    retryable = False
    advice = "The image is lost unless another copy of it exists; a new one is a new purchase."


class TruncatedImageError(DownloadError):
    """The image ended early, time after time."""


class NotAnImageError(DownloadError):
    """What came is no PNG, JPEG or WebP file."""


class ImageTooLargeError(DownloadError):
    """The image is larger than `max_image_bytes`, or has more than 100 million pixels."""

    retryable = False
    advice = "The link still works: raise max_image_bytes, or open the link elsewhere."


class HostRefusedError(DownloadError):
    """The link, or a redirect, leads where this client does not go: no https, a private address, a host not allowed."""

    retryable = False
    advice = "If the host is right, add it to image_hosts."


class WithheldImageError(DownloadError):
    """There is no link: the service made the image and charged for it, but withheld it as unsafe."""

    retryable = False
    advice = "Change the prompt; the same one may be withheld, and charged, again."


class FileConflictError(DownloadError):
    """Another file stands at the target. It was left as it is."""

    retryable = False
    advice = "Choose another target, or move the file that stands there."

    def __init__(self, message: str, *, path: Path, url: str | None = None) -> None:
        super().__init__(message, url=url)
        self.path = path
