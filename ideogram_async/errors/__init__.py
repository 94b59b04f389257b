"""What can go wrong, and what it means for the bill.

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

Every error tells whether money was spent (`billed`), whether the same call may be sent again without paying twice
(`retryable`), and what to do next (`advice`). All of them pickle; none holds the key.
"""

from __future__ import annotations

from ideogram_async.errors.answers import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    DecodeError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    SafetyError,
    ServerError,
)
from ideogram_async.errors.base import Billed, IdeogramError, InvalidRequestError, Phase
from ideogram_async.errors.batch import BatchError, BatchLockedError, JobConflictError, JournalError
from ideogram_async.errors.downloads import (
    DownloadError,
    FileConflictError,
    HostRefusedError,
    ImageTooLargeError,
    LinkExpiredError,
    NotAnImageError,
    TruncatedImageError,
    WithheldImageError,
)
from ideogram_async.errors.transport import AmbiguousError, NotSentError, TransportError

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
