"""A reply becomes an answer, or the error that says what happened and what it cost."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import attrs

from ideogram_async._wire.call import Call
from ideogram_async._wire.converter import converter, faults_of
from ideogram_async.errors import (
    AmbiguousError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    Billed,
    DecodeError,
    IdeogramError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    SafetyError,
    ServerError,
)
from ideogram_async.models.base import Answer, Reply

DEEPEST = 50


def retry_after_of(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read Retry-After, in seconds or as a date; nonsense and the past are `None` and 0."""
    given = headers.get("retry-after", "").strip()
    if not given:
        return None

    try:
        seconds = float(given)
    except ValueError:
        return _until(given, now or datetime.now(UTC))

    return max(0.0, seconds) if math.isfinite(seconds) else None


def max_in_flight_of(reply: Reply) -> int | None:
    """Read how many images the service allows at once, where a refusal says so.

    Source: https://developer.ideogram.ai/ideogram-api/rate-limits
    """
    told: Any = body_of(reply)
    limit = told.get("max_inflight_requests") if isinstance(told, dict) else None
    return limit if type(limit) is int and limit >= 1 else None


def body_of(reply: Reply) -> Any:
    """Parse a refusal's body; what is no JSON, or nested beyond all sense, stays text."""
    try:
        body = reply.json()
    except ValueError:
        body = None
    else:
        if _is_shallow(body):
            return body

    return reply.raw.decode(errors="replace")


def _is_shallow(value: Any) -> bool:
    """Whether a value can be copied and pickled, which Python does one level in another."""
    level = [value]
    for _ in range(DEEPEST):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]

    return not level


def _until(given: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(given)
    except (TypeError, ValueError, OverflowError):
        return None

    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())


R = TypeVar("R")

# Everything else is `APIStatusError`, and 500 and above is `ServerError`.
STATUS_ERRORS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: SafetyError,
    429: RateLimitError,
}


def decode(call: Call, reply: Reply, kind: type[R]) -> R:
    """Read the answer.

    Raises:
        APIStatusError: If the status is no success.
        DecodeError: If the body was cut or is not what the contract promises.
    """
    check(call, reply)
    try:
        answer = converter().structure(reply.json(), kind)
    except ValueError as error:
        # cattrs raises groups, which are no `ValueError`s: this is `json` alone.
        problems = [f"$: no JSON: {error}"]
    except Exception as error:
        problems = faults_of(error)
    else:
        return attrs.evolve(answer, meta=reply) if isinstance(answer, Answer) else answer

    raise _unreadable(call, reply, "the answer is not what the contract promises", problems)


def check(call: Call, reply: Reply) -> None:
    """Let a whole success pass.

    Raises:
        APIStatusError: If the status is no success.
        DecodeError: If the body of a success was cut.
    """
    if not reply.is_success:
        raise status_error(call, reply)

    if reply.cut:
        raise _unreadable(call, reply, f"the answer was cut: {reply.cut}", [])


def status_error(call: Call, reply: Reply) -> APIStatusError:
    """Make the error of a status.

    A refusal costs nothing; a charged call that ends in 5xx may have run, as may an earlier attempt that is in doubt.
    Source: https://developer.ideogram.ai/ideogram-api/errors
    """
    kind = ServerError if reply.status >= 500 else STATUS_ERRORS.get(reply.status, APIStatusError)
    body = body_of(reply)
    in_doubt = call.charged and (reply.in_doubt or kind is ServerError)
    facts: dict[str, Any] = {"max_in_flight": max_in_flight_of(reply)} if kind is RateLimitError else {}
    error = kind(
        f"{call.operation}: {reply.status} {_said(body)}".rstrip(),
        status=reply.status,
        body=body,
        reason=_word(body, "reject_reason"),
        request_id=reply.request_id,
        retry_after=retry_after_of(reply.headers),
        headers=reply.headers,
        billed=Billed.UNKNOWN if in_doubt else Billed.NO,
        **facts,
    )
    return doubted(error) if in_doubt else error


def doubted(error: APIStatusError) -> APIStatusError:
    """Mark an error whose call may have been paid for: it must not be repeated lightly."""
    error.retryable = False
    error.advice = AmbiguousError.advice
    return error


def links_in(raw: bytes) -> list[str]:
    """Find every URL in a body, whole JSON or not, each once and in order."""
    # JSON may escape any character: `\/` and `\u0026` are common in links.
    text = raw.decode(errors="replace").replace("\\/", "/")
    text = re.sub(r"\\u00([2-7][0-9a-fA-F])", lambda escaped: chr(int(escaped[1], 16)), text)
    return list(dict.fromkeys(re.findall(r"https?://[^\s\"'<>\\{}]+", text)))


def _unreadable(call: Call, reply: Reply, what: str, problems: list[str]) -> IdeogramError:
    return DecodeError(
        f"{call.operation}: {what}",
        raw=reply.raw,
        links=links_in(reply.raw),
        problems=problems,
        billed=Billed.YES if call.charged else Billed.NO,
        request_id=reply.request_id,
    )


def _said(body: Any) -> str:
    """Find the words for people in a body, whichever of the known shapes it has."""
    if isinstance(body, dict):
        words = (_word(body, name) for name in ("error", "message", "detail", "title"))
        return next((word for word in words if word), "")

    is_page = isinstance(body, str) and "<" in body[:100]
    return "" if is_page else str(body)[:300]


def _word(body: Any, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) else None
