"""A receiver of webhooks."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager

from aiohttp import web
from attrs import field, frozen

__all__ = ["HookReceiver", "receiving"]


@frozen
class HookReceiver:
    """The deliveries that have arrived, and the statuses that answer them; the last status answers all further ones."""

    url: str
    statuses: Sequence[int]
    received: list[tuple[dict[str, str], bytes]] = field(factory=list[tuple[dict[str, str], bytes]])


@asynccontextmanager
async def receiving(*statuses: int) -> AsyncGenerator[HookReceiver]:
    """Serve a `webhook_url` that answers with these statuses in turn."""
    server = web.ServerRunner(web.Server(lambda request: handle(request)))
    await server.setup()
    site = web.TCPSite(server, "127.0.0.1", 0)
    await site.start()
    receiver = HookReceiver(f"{site.name}/hooks", statuses or (204,))

    async def handle(request: web.BaseRequest) -> web.Response:
        number = min(len(receiver.received), len(receiver.statuses) - 1)
        receiver.received.append((dict(request.headers), await request.read()))
        return web.Response(status=receiver.statuses[number])

    try:
        yield receiver
    finally:
        await server.cleanup()
