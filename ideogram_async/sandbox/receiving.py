"""Receive a request whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ideogram_async.sandbox.contract import match
from ideogram_async.sandbox.form import boundary_of, parse_json, parse_parts
from ideogram_async.sandbox.records import Arrival

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

__all__ = ["receive"]


async def receive(request: BaseRequest) -> Arrival | None:
    """Read a request to its end, or give `None` when its client leaves before that."""
    from aiohttp.web import RequestPayloadError

    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    try:
        body = await request.content.read()
    except (ConnectionError, RequestPayloadError):
        return None

    found = match(request.method, request.path)
    return Arrival(
        operation=found[0].operation if found else f"{request.method} {request.path}",
        method=request.method,
        path=request.path,
        headers=request.headers,
        query=list(request.query.items()),
        **_content(request.headers.get("Content-Type", ""), body),
    )


def _content(content_type: str, body: bytes) -> dict[str, Any]:
    if not content_type.lower().startswith("multipart/"):
        return {"json": parse_json(body) if body else None}

    try:
        return {"parts": parse_parts(body, boundary_of(content_type) or "")}
    except ValueError:
        # The contract will find every required field missing.
        return {}
