"""An answer came, and it is no success, or cannot be read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ideogram_async.errors.base import Billed, IdeogramError
from ideogram_async.errors.transport import AmbiguousError, TransportError

__all__ = [
    "APIStatusError",
    "AuthenticationError",
    "BadRequestError",
    "DecodeError",
    "NotFoundError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "RateLimitError",
    "SafetyError",
    "ServerError",
]


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
