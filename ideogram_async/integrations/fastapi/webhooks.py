"""Route for the deliveries of a webhook."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias
from weakref import WeakValueDictionary

from attrs import define, field
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ideogram_async._client import Ideogram
from ideogram_async._requirements import needs_extra
from ideogram_async._transport.emitter import logger
from ideogram_async.errors import IdeogramError, WebhookError
from ideogram_async.webhooks import TOLERANCE, WebhookEvent

if TYPE_CHECKING:
    from fastapi import APIRouter
else:
    # FastAPI may not be installed. Annotations are evaluated to the base class of its router.
    from starlette.routing import Router as APIRouter

__all__ = ["webhook_router"]

OnDelivery: TypeAlias = Callable[..., object]
MAX_BODY_BYTES = 2 * 2**20
MAX_REMEMBERED = 10_000
"""Generations whose repeated deliveries are recognized."""


def webhook_router(
    client: Ideogram,
    *,
    on_event: OnDelivery,
    path: str = "/webhooks/ideogram",
    tolerance: float | None = TOLERANCE,
) -> APIRouter:
    """Return a router of FastAPI that receives the deliveries of a webhook.

        async def keep(event: WebhookEvent) -> None:
            await client.keep(event.generation, sink, name=event.generation_id)

        app.include_router(webhook_router(client, on_event=keep))

    `on_event` is called once for each generation, although deliveries repeat. If it raises, the next delivery calls it
    again. The 10,000 latest generations are remembered, in this process only: it must be able to run twice.

    The response is 204, also to a repeated delivery; 400 to one that is forged, stale or unreadable; 413 to one of more
    than 2 MiB; and 503 if the keys cannot be fetched, so that the service repeats it. Stale and unreadable deliveries
    are logged with the id to poll. Keep a poll behind every webhook, because the service repeats only a few times.

    Args:
        client: The client that fetches the keys. It is not closed with the app.
        on_event: Called with each `WebhookEvent`, and with the parameters of the path by name; may be async. The
            signature does not cover the path.
        path: The path, such as `/webhooks/{key}`.
        tolerance: Seconds between now and the time of the signature; `None` accepts any time.

    Raises:
        ImportError: If FastAPI or the extra `webhooks` is not installed.
    """
    with needs_extra("webhook_router", "fastapi"):
        from fastapi import APIRouter

    # At the start of the app, not at the first delivery.
    with needs_extra("webhook_router", "webhooks"):
        import_module("cryptography")

    events, router = _OncePerGeneration(on_event), APIRouter()

    @router.post(path, status_code=204, include_in_schema=False)
    async def receive(request: Request) -> Response:
        try:
            body = await _read(request)
            if body is None:
                return Response(status_code=413)

            event = await client.webhooks.unwrap(body, request.headers, tolerance=tolerance)
        except ClientDisconnect:
            return Response(status_code=400)
        except WebhookError as error:
            if error.generation_id is not None:
                logger.warning("a delivery of generation %s was refused, poll it: %s", error.generation_id, error)

            return Response(error.reason, 400, media_type="text/plain")
        except IdeogramError:
            return Response(status_code=503)

        await events.handle(event, request.path_params)
        return Response(status_code=204)

    return router


async def _read(request: Request) -> bytes | None:
    """Return the body, or `None` if it is too large."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return None

    return bytes(body)


@define
class _OncePerGeneration:
    """Calls a function once for each generation."""

    _on_event: OnDelivery
    _done: dict[str, None] = field(factory=dict)
    """The latest generations, the oldest first."""
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(factory=WeakValueDictionary)

    async def handle(self, event: WebhookEvent, parameters: dict[str, object]) -> None:
        """Call the function unless it has succeeded for the generation. A repeated delivery waits for the first one."""
        lock = self._locks.setdefault(event.generation_id, asyncio.Lock())
        async with lock:
            if event.generation_id in self._done:
                return

            result = self._on_event(event, **parameters)
            if inspect.isawaitable(result):
                await result

            self._done[event.generation_id] = None
            if len(self._done) > MAX_REMEMBERED:
                del self._done[next(iter(self._done))]
