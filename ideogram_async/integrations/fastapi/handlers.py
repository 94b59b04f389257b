"""Answers what the client raises."""

from __future__ import annotations

from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket, WebSocketState

from ideogram_async.errors import IdeogramError
from ideogram_async.integrations.fastapi.problems import document, is_operators, retry_after
from ideogram_async.transport.emitter import logger

__all__ = ["install_error_handlers"]

INTERNAL_ERROR = 1011
"""The code of a web socket that closes for a fault on this side."""


def install_error_handlers(app: Starlette) -> None:
    """Answer every `IdeogramError` of the app's handlers with a problem document (RFC 9457).

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

    described = document(error)
    if is_operators(error):
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
