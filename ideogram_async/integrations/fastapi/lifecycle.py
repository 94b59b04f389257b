"""Who owns the client: the app, from its start to its end."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from ideogram_async._client import GRACE, Ideogram

__all__ = ["get_client", "lifespan"]

NAME = "ideogram"

"""Where the client is, in the state of the app and of each request."""


@asynccontextmanager
async def lifespan(
    app: Starlette, client: Ideogram | None = None, *, grace: float = GRACE
) -> AsyncGenerator[dict[str, Any]]:
    """Own one client while the app runs: `FastAPI(lifespan=lifespan)`.

    A client costs nothing before its first call, so it may be made where the app is made:

        FastAPI(lifespan=partial(lifespan, client=Ideogram(max_in_flight=5)))

    An app with a lifespan of its own opens this one inside it:

        @asynccontextmanager
        async def own_lifespan(app):
            async with lifespan(app, Ideogram(max_in_flight=5)) as state, database() as db:
                yield {**state, "db": db}

    Args:
        app: The app; `get_client` finds the client there.
        client: The client to own; one with the settings of the environment if not given.
        grace: Seconds that detached calls have to end when the app ends.
    """
    client = Ideogram() if client is None else client
    setattr(app.state, NAME, client)
    try:
        # Apps that are mounted in this one have a state of their own, but requests bring this along.
        yield {NAME: client}
    finally:
        await client.aclose(grace=grace)


async def get_client(connection: HTTPConnection) -> Ideogram:
    """Find the app's client, from a request or a web socket.

    FastAPI gives it to handlers with `Depends(get_client)`; bare Starlette says `await get_client(request)`.

    Raises:
        RuntimeError: If the app owns none.
    """
    client = getattr(connection.state, NAME, None) or getattr(connection.app.state, NAME, None)
    if client is None:
        raise RuntimeError("this app owns no client: make it with lifespan=lifespan, and let it start")

    found: Ideogram = client
    return found
