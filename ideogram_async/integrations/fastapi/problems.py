"""Problem documents (RFC 9457) for failed calls.

Their text is for users of the site. It never contains the API key, headers or server paths; details are logged.
"""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketState

from ideogram_async import errors
from ideogram_async._transport.emitter import logger

__all__ = ["PROBLEMS", "Problem", "install_error_handlers", "problem_of", "retry_after", "should_log", "to_problem"]

UNREADABLE = "cannot be read"
OPERATOR = "The operator of this site has to act; a retry does not help."
INTERNAL_ERROR = 1011
"""Code of a web socket that the server closes after an error."""


class InvalidKeyError(errors.InvalidRequestError):
    """The header `Idempotency-Key` of a request to this site is missing or cannot be used."""

    advice = "Choose a key for each purchase, such as a UUID, and repeat it with the same request."


@frozen
class Problem:
    """The response to one kind of error."""

    status: int
    title: str
    detail: str | None = None
    """Replaces the error's message if that is meant for the operator."""
    advice: str | None = None
    """Replaces the error's advice."""
    retry_after: int | None = None
    """Seconds, if waiting helps and the service sets no time."""


PROBLEMS: dict[type[errors.IdeogramError], Problem] = {
    errors.IdeogramError: Problem(502, "Call failed", "The image service could not be used.", OPERATOR),
    errors.InvalidRequestError: Problem(422, "Invalid request", "Some fields are invalid. Nothing was sent."),
    InvalidKeyError: Problem(400, "Invalid key", "The header Idempotency-Key cannot be used. Nothing was sent."),
    errors.TransportError: Problem(502, "No response", "The image service returned no usable response."),
    errors.NotSentError: Problem(
        503,
        "Not sent",
        "The image service is unreachable, or too many calls are queued. Nothing was sent.",
        "Retry later.",
        retry_after=30,
    ),
    errors.AmbiguousError: Problem(
        504, "Outcome unknown", "The call was sent, but no response arrived. It may have been processed and billed."
    ),
    errors.APIStatusError: Problem(502, "Call rejected", "The image service rejected the call."),
    errors.BadRequestError: Problem(400, "Rejected as invalid"),
    errors.AuthenticationError: Problem(
        502, "Access denied", "The image service denies access to this site.", OPERATOR
    ),
    errors.PermissionDeniedError: Problem(
        502, "Access denied", "The image service denies this call to this site.", OPERATOR
    ),
    errors.PaymentRequiredError: Problem(
        503, "Not available now", "The account of this site does not cover the call.", OPERATOR, retry_after=300
    ),
    errors.NotFoundError: Problem(404, "Not found"),
    errors.SafetyError: Problem(422, "Rejected as unsafe"),
    errors.RateLimitError: Problem(
        503, "Too busy", "Too many images are in progress. Nothing was billed.", "Retry later.", retry_after=30
    ),
    errors.ServerError: Problem(502, "Image service failed", "The image service, or a proxy in front of it, failed."),
    errors.DecodeError: Problem(
        502,
        "Unreadable response",
        "The image service responded, but its response cannot be parsed.",
        "Do not retry: the operator of this site may still recover the result.",
    ),
    errors.DownloadError: Problem(502, "Image unavailable", "The image host did not deliver the image."),
    errors.LinkExpiredError: Problem(410, "Image no longer available", "The link to the image has expired."),
    errors.WithheldImageError: Problem(404, "Image withheld", "The image was generated, but withheld as unsafe."),
    errors.TruncatedImageError: Problem(502, "Image truncated", "The image host did not deliver the complete image."),
    errors.NotAnImageError: Problem(502, "Not an image", "The image host returned a file that is not an image."),
    errors.ImageTooLargeError: Problem(502, "Image too large", "The image is larger than this site allows.", OPERATOR),
    errors.HostRefusedError: Problem(
        502, "Host not allowed", "The link leads to a host that this site refuses.", OPERATOR
    ),
    errors.FileConflictError: Problem(
        500, "File already exists", "The target exists with different content.", OPERATOR
    ),
    errors.BatchError: Problem(500, "Batch failed", "The batch folder cannot be used.", OPERATOR),
    errors.InDoubtError: Problem(
        504,
        "Outcome unknown",
        "The call of this key was sent, and its outcome is unknown. It may have been processed and billed.",
        "Do not use a new key, which may be billed again: the operator of this site may still recover the result.",
    ),
    errors.LedgerError: Problem(
        503, "Not available now", "The record of purchases cannot be used. Nothing was sent.", OPERATOR
    ),
    errors.KeyConflictError: Problem(422, "Key already used", "The key belongs to another request. Nothing was sent."),
    errors.InProgressError: Problem(
        409, "In progress", "The call of this key is in progress.", "Repeat it with the same key.", retry_after=5
    ),
    errors.BudgetError: Problem(
        503, "Not available now", "The budget of this site does not cover the call.", OPERATOR, retry_after=300
    ),
    errors.GenerationFailed: Problem(502, "Generation failed", "The image service accepted the call, and it failed."),
    errors.WaitTimeout: Problem(
        504,
        "Not finished yet",
        "The image service has accepted the call and has not finished it.",
        "Do not send it again: the operator of this site can still receive the result.",
    ),
    errors.WebhookError: Problem(
        400, "Delivery refused", advice="Only recent deliveries that the image service has signed are accepted."
    ),
}

LEDGER_UNAVAILABLE = Problem(
    503,
    "Not available now",
    "The record of purchases cannot be reached. Nothing was sent.",
    "Retry later with the same key.",
    retry_after=30,
)


def install_error_handlers(app: Starlette) -> None:
    """Respond to every `IdeogramError` of the app's handlers with a problem document (RFC 9457).

    Each document has `type`, `title`, `status`, `detail`, `billed`, `retryable` and `advice`. That of an
    `InvalidRequestError` also has `problems`, by field. A web socket is closed. Errors of the server, and those that
    may be billed, are logged by `ideogram_async`.
    """
    # Starlette's types allow a handler for requests or for web sockets; this is both.
    handler: Any = _respond
    app.add_exception_handler(errors.IdeogramError, handler)


async def _respond(connection: HTTPConnection, error: Exception) -> Response | None:
    if not isinstance(error, errors.IdeogramError):
        raise error

    problem = problem_of(error)
    if should_log(error):
        logger.error("%s answered with %d", type(error).__name__, problem.status, exc_info=error)

    if isinstance(connection, WebSocket):
        if connection.client_state is not WebSocketState.DISCONNECTED:
            await connection.close(INTERNAL_ERROR, problem.title)

        return None

    headers = {"Cache-Control": "no-store"}
    seconds = retry_after(error)
    if seconds is not None:
        headers["Retry-After"] = str(seconds)

    return JSONResponse(to_problem(error), problem.status, headers=headers, media_type="application/problem+json")


def problem_of(error: errors.IdeogramError) -> Problem:
    """Return the response to an error, by the most specific of its classes."""
    if type(error) is errors.LedgerError and error.retryable:
        return LEDGER_UNAVAILABLE

    if isinstance(error, errors.RateLimitError) and not errors.is_in_flight_limit(error.reason):
        return PROBLEMS[errors.PaymentRequiredError]

    return next(PROBLEMS[base] for base in type(error).__mro__ if base in PROBLEMS)


def to_problem(error: errors.IdeogramError) -> dict[str, object]:
    """Convert an error to a problem document."""
    problem = problem_of(error)
    # An outcome that is unknown for this call, and not for its class, needs the error's own advice, and so does a wait
    # that a repeat with the same key continues.
    has_own_advice = error.billed is errors.Billed.UNKNOWN and type(error).billed is not errors.Billed.UNKNOWN
    has_own_advice |= isinstance(error, errors.WaitTimeout) and error.advice != errors.WaitTimeout.advice
    document: dict[str, object] = {
        "type": f"urn:ideogram-async:{type(error).__name__}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or str(error),
        "billed": str(error.billed),
        "retryable": error.retryable,
        "advice": error.advice if has_own_advice else problem.advice or error.advice,
    }
    return document | ({"problems": _by_field(error)} if isinstance(error, errors.InvalidRequestError) else {})


def should_log(error: errors.IdeogramError) -> bool:
    """Return whether the operator needs the details: server errors, and calls that may be billed."""
    problems = error.problems if isinstance(error, errors.InvalidRequestError) else []
    is_shortened = any(_without_path(rule) != rule for _, rule in problems)
    return is_shortened or error.billed is not errors.Billed.NO or problem_of(error).status >= 500


def retry_after(error: errors.IdeogramError) -> int | None:
    """Return the seconds after which a retry may help; `None` if it could be billed twice."""
    # A retry with the same key cannot be billed twice.
    if error.billed is not errors.Billed.NO and not isinstance(error, errors.InProgressError):
        return None

    requested = getattr(error, "retry_after", None)
    default = problem_of(error).retry_after
    return default if default is None or requested is None else max(1, math.ceil(requested))


def _by_field(error: errors.InvalidRequestError) -> dict[str, list[str]]:
    rules: dict[str, list[str]] = {}
    for name, rule in error.problems:
        rules.setdefault(name, []).append(_without_path(rule))

    return rules


def _without_path(rule: str) -> str:
    # The reason why a file cannot be read contains its path, or the address of an image.
    return UNREADABLE if rule.startswith(UNREADABLE) else rule
