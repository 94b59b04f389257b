"""Decoder of replies: an answer, or the error that states what happened and what it cost."""

from __future__ import annotations

import re
from json import detect_encoding
from typing import TypeVar

import attrs

from ideogram_async._wire.acceptance import is_failure, json_object
from ideogram_async._wire.call import Call
from ideogram_async._wire.converter import Json, converter, error_lines, is_shallow
from ideogram_async._wire.headers import retry_after_of
from ideogram_async.errors import (
    AmbiguousError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    Billed,
    DecodeError,
    GenerationFailed,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    SafetyError,
    ServerError,
)
from ideogram_async.models.base import Answer, ListAnswer, Reply
from ideogram_async.models.images import ImageAnswer

T = TypeVar("T")

LATE_FAILURES = "POST /v2/"
"""Operations that may fail after the status has been sent. The first contract has none: there, JSON was billed."""

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
        APIStatusError: If the status is not 2xx, or the body of a success states a failure.
        DecodeError: If the body is truncated or does not match the contract.
    """
    check(call, reply)
    if call.charged and is_failure(reply.raw):
        raise failure_of(reply)

    if (failure := late_failure(call.operation, reply)) is not None:
        error = status_error(call, failure)
        raise mark_possibly_billed(error) if call.charged else error

    try:
        answer = converter().structure(reply.json(), answer_type)
    except ValueError as error:
        # cattrs raises groups, which are not `ValueError`s: this is from `json` alone.
        problems = [f"$: invalid JSON: {error}"]
    except Exception as error:
        problems = error_lines(error)
    else:
        meta = attrs.evolve(reply, is_empty=True) if call.charged and _items_of(answer) == () else reply
        return attrs.evolve(answer, meta=meta) if isinstance(answer, Answer) else answer

    raise decode_error(call, reply, "the response does not match the API contract", problems)


def failure_of(reply: Reply) -> GenerationFailed:
    """Return the error of a generation that has failed."""
    body = json_object(reply.raw)
    generation_id, reason = _str_field(body, "generation_id"), _str_field(body, "failure_reason")
    message = f"the generation {generation_id} has failed: {reason or 'the service states no reason'}"
    return GenerationFailed(message, generation_id=generation_id, reason=reason)


def _items_of(answer: object) -> object:
    if isinstance(answer, ImageAnswer):
        return answer.images

    return tuple(answer) if isinstance(answer, ListAnswer) else None


def check(call: Call, reply: Reply) -> None:
    """Raise an error unless the reply is a complete success.

    Raises:
        APIStatusError: If the status is not 2xx.
        DecodeError: If the body of a success is truncated.
    """
    if not reply.is_success:
        raise status_error(call, reply)

    if reply.cut:
        raise decode_error(call, reply, f"truncated response: {reply.cut}", [])


def billed_of(call: Call, reply: Reply) -> Billed:
    """Return whether a success was billed; without content of the service, it may come from a proxy or a portal."""
    if not call.charged:
        return Billed.NO

    return Billed.YES if has_content(call.operation, reply) else Billed.UNKNOWN


def has_content(operation: str, reply: Reply) -> bool:
    """Return whether a success has content of the service, received or lost.

    An empty body has none, nor has a page without links, nor a failure that the service noticed after it had sent the
    status.
    """
    start = text_of(reply.raw).lstrip("\ufeff \t\r\n")[:1]
    if not start:
        return reply.cut is not None

    if late_failure(operation, reply) is not None:
        return False

    is_page = start == "<" or (start not in ("{", "[") and "html" in reply.headers.get("content-type", ""))
    return not is_page or bool(links_in(reply.raw))


def late_failure(operation: str, reply: Reply) -> Reply | None:
    """Return the failure in a success, with the status that it states; `None` if there is none.

    The removal of a background may fail after the status has been sent. The body then has an error and no data.
    """
    is_candidate = reply.is_success and reply.cut is None and b'"error"' in reply.raw
    if not operation.startswith(LATE_FAILURES) or not is_candidate:
        return None

    body = body_of(reply)
    if not isinstance(body, dict) or body.get("data") or not _str_field(body, "error") or links_in(reply.raw):
        return None

    status = body.get("status_code")
    return attrs.evolve(reply, status=status) if type(status) is int else reply


def decode_error(call: Call, reply: Reply, message: str, problems: list[str]) -> DecodeError:
    """Return the error of a success that cannot be read."""
    error = DecodeError(
        f"{call.operation}: {message}",
        raw=reply.raw,
        links=links_in(reply.raw),
        problems=problems,
        billed=billed_of(call, reply),
        request_id=reply.request_id,
    )
    if call.poll and (match := re.search(r'"generation_id"\s*:\s*"([^"\\]+)"', text_of(reply.raw))):
        error.add_note(f"it names the generation {match[1]}: client.generations.wait may return it")

    return error


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
        if is_shallow(body):
            return body

    return reply.raw.decode(errors="replace")


def _error_message(body: Json) -> str:
    """Return the message in the body of an error, for all shapes that the service uses."""
    if isinstance(body, dict):
        messages = (_str_field(body, name) for name in ("error", "message", "detail", "title"))
        return next((message for message in messages if message), "")

    is_page = isinstance(body, str) and "<" in body[:100]
    return "" if is_page else str(body)[:300]


def _str_field(body: Json, name: str) -> str | None:
    value = body.get(name) if isinstance(body, dict) else None
    # Half of a surrogate pair can be neither stored nor printed.
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def max_in_flight_of(reply: Reply) -> int | None:
    """Return the number of images that the service allows at once, if a 429 contains it.

    Source: https://developer.ideogram.ai/ideogram-api/rate-limits
    """
    body = body_of(reply)
    limit = body.get("max_inflight_requests") if isinstance(body, dict) else None
    return limit if type(limit) is int and limit >= 1 else None


def text_of(raw: bytes) -> str:
    """Return a body as text, in the encoding of its first bytes, as JSON is read."""
    return raw.decode(detect_encoding(raw), errors="replace")


def links_in(raw: bytes) -> list[str]:
    """Return every URL in a body, valid JSON or not, each once and in order."""
    # JSON may escape any character: `\/` and `\u0026` are common in links.
    text = text_of(raw).replace("\\/", "/")
    text = re.sub(r"\\u00([2-7][0-9a-fA-F])", lambda escaped: chr(int(escaped[1], 16)), text)
    return list(dict.fromkeys(re.findall(r"https?://[^\s\"'<>\\{}]+", text)))
