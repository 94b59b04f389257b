"""What a browser is told when a call fails: a problem to_problem (RFC 9457).

The words are for whoever sits before the browser. They name neither the key, nor a header, nor a path of the server;
what the operator has to know is in the log.
"""

from __future__ import annotations

import math
from typing import Any

from attrs import frozen
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketState

from ideogram_async._transport.emitter import logger
from ideogram_async.errors import (
    AmbiguousError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    BatchError,
    Billed,
    DecodeError,
    DownloadError,
    FileConflictError,
    HostRefusedError,
    IdeogramError,
    ImageTooLargeError,
    InvalidRequestError,
    LinkExpiredError,
    NotAnImageError,
    NotFoundError,
    NotSentError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    SafetyError,
    ServerError,
    TransportError,
    TruncatedImageError,
    WithheldImageError,
)

__all__ = ["PROBLEMS", "Problem", "install_error_handlers", "problem_of", "retry_after", "should_log", "to_problem"]

UNREADABLE = "cannot be read"

OPERATOR = "Whoever runs this site has to act; trying again does not help."


@frozen
class Problem:
    """How one kind of error is answered."""

    status: int
    title: str
    detail: str | None = None
    """In place of the error's own words, where those are the operator's."""
    advice: str | None = None
    """In place of the error's own advice."""
    retry_after: int | None = None
    """Seconds, where waiting helps and the service names none."""


PROBLEMS: dict[type[IdeogramError], Problem] = {
    IdeogramError: Problem(502, "The call failed", "The image service could not be used.", OPERATOR),
    InvalidRequestError: Problem(422, "Invalid request", "Nothing was sent: some fields break the rules."),
    TransportError: Problem(502, "No answer", "The image service was asked, and no usable answer came."),
    NotSentError: Problem(
        503,
        "Not sent",
        "The image service cannot be reached now, or too many calls are in line. Nothing was sent.",
        "Try again later.",
        retry_after=30,
    ),
    AmbiguousError: Problem(
        504,
        "Nobody knows whether it ran",
        "The call was sent, and no answer came: it may have run, and may have been paid for.",
    ),
    APIStatusError: Problem(502, "Refused", "The image service refused the call."),
    BadRequestError: Problem(400, "Refused as invalid"),
    AuthenticationError: Problem(502, "No access", "The image service does not let this site in.", OPERATOR),
    PermissionDeniedError: Problem(502, "No access", "The image service does not let this site do that.", OPERATOR),
    PaymentRequiredError: Problem(
        503, "Not available now", "This site's account does not cover the call.", OPERATOR, retry_after=300
    ),
    NotFoundError: Problem(404, "Not found"),
    SafetyError: Problem(422, "Refused as unsafe"),
    RateLimitError: Problem(
        503, "Too busy", "Too many images are in the making. Nothing was sent.", "Try again later.", retry_after=30
    ),
    ServerError: Problem(502, "The image service failed", "The image service, or something before it, failed."),
    DecodeError: Problem(
        502,
        "The answer cannot be read",
        "The image service answered, and its answer cannot be read.",
        "Do not send it again: whoever runs this site may still find what was made.",
    ),
    DownloadError: Problem(502, "The image cannot be had now", "The image host failed to give the image."),
    LinkExpiredError: Problem(410, "The image is gone", "The link to the image has died."),
    WithheldImageError: Problem(404, "The image is withheld", "The image was made, and is withheld as unsafe."),
    TruncatedImageError: Problem(502, "The image came cut", "The image host failed to give the whole image."),
    NotAnImageError: Problem(502, "Not an image", "The image host gave something that is no image."),
    ImageTooLargeError: Problem(502, "The image is too large", "The image is larger than this site allows.", OPERATOR),
    HostRefusedError: Problem(502, "The image is elsewhere", "The link leads where this site does not go.", OPERATOR),
    FileConflictError: Problem(500, "The image has no place", "Another file stands where it should go.", OPERATOR),
    BatchError: Problem(500, "The batch cannot run", "The folder of the batch cannot be used.", OPERATOR),
}


def problem_of(error: IdeogramError) -> Problem:
    """Find how an error is answered: as the most specific of its classes."""
    return next(PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS)


def to_problem(error: IdeogramError) -> dict[str, Any]:
    """Describe an error to a browser."""
    problem = problem_of(error)
    # Who may have paid is told that before anything else.
    advice = problem.advice if error.billed is not Billed.UNKNOWN else None
    described: dict[str, Any] = {
        "type": f"urn:ideogram-async:{type(error).__name__}",
        "title": problem.title,
        "status": problem.status,
        "detail": problem.detail or str(error),
        "billed": str(error.billed),
        "retryable": error.retryable,
        "advice": advice or error.advice,
    }
    return described | ({"problems": _by_field(error)} if isinstance(error, InvalidRequestError) else {})


def should_log(error: IdeogramError) -> bool:
    """Say whether whoever runs the site has to know: it may cost money, or the fault is not the browser's."""
    problems = error.problems if isinstance(error, InvalidRequestError) else []
    is_hidden = any(_told(rule) != rule for _, rule in problems)
    return is_hidden or error.billed is not Billed.NO or problem_of(error).status >= 500


def retry_after(error: IdeogramError) -> int | None:
    """Say after how many seconds to come again; never where that could pay twice."""
    if error.billed is not Billed.NO:
        return None

    asked = getattr(error, "retry_after", None)
    usual = problem_of(error).retry_after
    return usual if usual is None or asked is None else max(1, math.ceil(asked))


def _by_field(error: InvalidRequestError) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, rule in error.problems:
        found.setdefault(name, []).append(_told(rule))

    return found


def _told(rule: str) -> str:
    # Why a file cannot be read is told with its path, or with the address of an image.
    return UNREADABLE if rule.startswith(UNREADABLE) else rule


INTERNAL_ERROR = 1011

"""The code of a web socket that closes for a fault on this side."""


def install_error_handlers(app: Starlette) -> None:
    """Answer every `IdeogramError` of the app's handlers with a problem to_problem (RFC 9457).

    Each has `type`, `title`, `status`, `detail`, `billed`, `retryable` and `advice`; an `InvalidRequestError` also
    `problems`, by field. A web socket is closed. Errors that are not the browser's, and those that cost money, are
    logged by `ideogram_async`.
    """
    # Starlette types one for requests, or one for web sockets; this is both.
    handler: Any = _answer
    app.add_exception_handler(IdeogramError, handler)


async def _answer(connection: HTTPConnection, error: Exception) -> Response | None:
    if not isinstance(error, IdeogramError):
        raise error

    described = to_problem(error)
    if should_log(error):
        logger.error("%s answered with %d", type(error).__name__, described["status"], exc_info=error)

    if isinstance(connection, WebSocket):
        if connection.client_state is not WebSocketState.DISCONNECTED:
            await connection.close(INTERNAL_ERROR, described["title"])

        return None

    return JSONResponse(described, described["status"], headers=_headers(error), media_type="application/problem+json")


def _headers(error: IdeogramError) -> dict[str, Any]:
    headers = {"Cache-Control": "no-store"}
    seconds = retry_after(error)
    return headers if seconds is None else headers | {"Retry-After": str(seconds)}
