"""Decoder of replies: an answer, or the error that states what happened and what it cost."""

from __future__ import annotations

import re
from typing import TypeAlias, TypeVar

import attrs

from ideogram_async._wire.call import Call
from ideogram_async._wire.converter import converter, error_lines
from ideogram_async._wire.headers import retry_after_of
from ideogram_async.errors import (
    AmbiguousError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    Billed,
    DecodeError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    SafetyError,
    ServerError,
)
from ideogram_async.models.base import Answer, Reply

T = TypeVar("T")
Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"
MAX_DEPTH = 50

# Every other status is an `APIStatusError`, from 500 a `ServerError`.
STATUS_ERRORS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    422: SafetyError,
    429: RateLimitError,
}


def decode(call: Call, reply: Reply, answer_type: type[T]) -> T:
    """Return the answer in a reply.

    Raises:
        APIStatusError: If the status is not 2xx.
        DecodeError: If the body is truncated or does not match the contract.
    """
    check(call, reply)
    try:
        answer = converter().structure(reply.json(), answer_type)
    except ValueError as error:
        # cattrs raises groups, which are not `ValueError`s: this is from `json` alone.
        problems = [f"$: invalid JSON: {error}"]
    except Exception as error:
        problems = error_lines(error)
    else:
        return attrs.evolve(answer, meta=reply) if isinstance(answer, Answer) else answer

    raise _decode_error(call, reply, "the response does not match the API contract", problems)


def check(call: Call, reply: Reply) -> None:
    """Raise an error unless the reply is a complete success.

    Raises:
        APIStatusError: If the status is not 2xx.
        DecodeError: If the body of a success is truncated.
    """
    if not reply.is_success:
        raise status_error(call, reply)

    if reply.cut:
        raise _decode_error(call, reply, f"truncated response: {reply.cut}", [])


def _decode_error(call: Call, reply: Reply, message: str, problems: list[str]) -> DecodeError:
    return DecodeError(
        f"{call.operation}: {message}",
        raw=reply.raw,
        links=links_in(reply.raw),
        problems=problems,
        billed=Billed.YES if call.charged else Billed.NO,
        request_id=reply.request_id,
    )


def status_error(call: Call, reply: Reply) -> APIStatusError:
    """Return the error of a status that is not 2xx.

    A refusal costs nothing. A charged call that ends with 5xx may have run, and so may an earlier attempt in doubt.
    Source: https://developer.ideogram.ai/ideogram-api/errors
    """
    error_class = ServerError if reply.status >= 500 else STATUS_ERRORS.get(reply.status, APIStatusError)
    body = body_of(reply)
    error = error_class(
        f"{call.operation}: {reply.status} {_error_message(body)}".rstrip(),
        status=reply.status,
        body=body,
        reason=_str_field(body, "reject_reason"),
        request_id=reply.request_id,
        retry_after=retry_after_of(reply.headers),
        headers=reply.headers,
    )
    if isinstance(error, RateLimitError):
        error.max_in_flight = max_in_flight_of(reply)

    in_doubt = call.charged and (reply.in_doubt or error_class is ServerError)
    return mark_possibly_billed(error) if in_doubt else error


def mark_possibly_billed(error: APIStatusError) -> APIStatusError:
    """Mark the error of a call that may have been billed, and return it."""
    error.billed = Billed.UNKNOWN
    error.retryable = False
    error.advice = AmbiguousError.advice
    return error


def body_of(reply: Reply) -> Json:
    """Parse the body of a refusal. A body that is not JSON, or is nested too deeply, stays text."""
    try:
        body: Json = reply.json()
    except ValueError:
        pass
    else:
        if _is_shallow(body):
            return body

    return reply.raw.decode(errors="replace")


def _is_shallow(value: Json) -> bool:
    """Return whether a value can be copied and pickled, which Python does by recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]

    return not level


def _error_message(body: Json) -> str:
    """Return the message in the body of an error, for all shapes that the service uses."""
    if isinstance(body, dict):
        messages = (_str_field(body, name) for name in ("error", "message", "detail", "title"))
        return next((message for message in messages if message), "")

    is_page = isinstance(body, str) and "<" in body[:100]
    return "" if is_page else str(body)[:300]


def _str_field(body: Json, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    return value if isinstance(value, str) else None


def max_in_flight_of(reply: Reply) -> int | None:
    """Return the number of images that the service allows at once, if a 429 contains it.

    Source: https://developer.ideogram.ai/ideogram-api/rate-limits
    """
    body = body_of(reply)
    limit = body.get("max_inflight_requests") if isinstance(body, dict) else None
    return limit if type(limit) is int and limit >= 1 else None


def links_in(raw: bytes) -> list[str]:
    """Return every URL in a body, valid JSON or not, each once and in order."""
    # JSON may escape any character: `\/` and `\u0026` are common in links.
    text = raw.decode(errors="replace").replace("\\/", "/")
    text = re.sub(r"\\u00([2-7][0-9a-fA-F])", lambda escaped: chr(int(escaped[1], 16)), text)
    return list(dict.fromkeys(re.findall(r"https?://[^\s\"'<>\\{}]+", text)))
