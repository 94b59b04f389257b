"""Lifecycle of the client: created when the app starts, closed when it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from ideogram_async._client import GRACE, Ideogram

__all__ = ["get_client", "lifespan"]

NAME = "ideogram"
"""Name of the client in the state of the app and of each request."""


@asynccontextmanager
async def lifespan(
    app: Starlette, client: Ideogram | None = None, *, grace: float = GRACE
) -> AsyncGenerator[dict[str, Ideogram]]:
    """Provide one client while the app runs: `FastAPI(lifespan=lifespan)`.

    A client opens nothing before its first call, so it can be created together with the app:

        FastAPI(lifespan=partial(lifespan, client=Ideogram(max_in_flight=5)))

    An app with its own lifespan opens this one inside it:

        @asynccontextmanager
        async def own_lifespan(app):
            async with lifespan(app, Ideogram(max_in_flight=5)) as state, database() as db:
                yield {**state, "db": db}

    Args:
        app: The app, in whose state `get_client` finds the client.
        client: The client, which is closed at the end; one with the settings of the environment if omitted.
        grace: Seconds for started calls and batches to finish when the app ends.
    """
    client = Ideogram() if client is None else client
    setattr(app.state, NAME, client)
    try:
        # Mounted apps have their own state, but their requests carry this one.
        yield {NAME: client}
    finally:
        await client.aclose(grace=grace)


async def get_client(connection: HTTPConnection) -> Ideogram:
    """Return the app's client, for a request or a web socket.

    In FastAPI, use `Depends(get_client)`; in Starlette, `await get_client(request)`.

    Raises:
        RuntimeError: If the app has no client.
    """
    client: Ideogram | None = getattr(connection.state, NAME, None) or getattr(connection.app.state, NAME, None)
    if client is None:
        raise RuntimeError("the app has no client: create it with lifespan=lifespan, and start it")

    return client
