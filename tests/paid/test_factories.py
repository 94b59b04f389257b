"""Sessions made by the caller: with any settings, a paid call is sent once and its phase is known."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest
from support.clients import Events, connected
from support.rawserver import GOOD, OK, RawServer, Script, page, reset, status, whole

from ideogram_async import AmbiguousError, APIStatusError, Billed, Ideogram, IdeogramError, NotSentError, ServerError
from ideogram_async.errors import Phase


def with_settings(**settings: Any) -> Callable[..., aiohttp.ClientSession]:
    """Return a factory of sessions with the caller's own settings."""

    def factory(purpose: str, **options: Any) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(**options | settings)

    return factory


async def send_twice(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """Repeat every request that fails."""
    try:
        response = await handler(request)
    except aiohttp.ClientError:
        return await handler(request)

    return response if response.ok else await handler(request)


def retrying_session(purpose: str, **settings: Any) -> aiohttp.ClientSession:
    """Return a session that repeats everything and follows redirects, against its settings."""
    session = aiohttp.ClientSession(**settings)
    send = session._request

    async def send_again(*args: Any, **options: Any) -> aiohttp.ClientResponse:
        try:
            return await send(*args, **options | {"allow_redirects": True})
        except aiohttp.ClientError:
            return await send(*args, **options)

    with warnings.catch_warnings(action="ignore"):
        session._request = send_again

    return session


def ignoring_settings(purpose: str, **_: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession()


FACTORIES: dict[str, Callable[..., aiohttp.ClientSession]] = {
    "forgets its settings": ignoring_settings,
    "traces of its own": with_settings(trace_configs=[aiohttp.TraceConfig()]),
    "raise_for_status": with_settings(raise_for_status=True),
    "middlewares": with_settings(middlewares=(send_twice,)),
    "decompression": with_settings(auto_decompress=True),
    "no decompression": with_settings(auto_decompress=False),
    "small headers": with_settings(max_line_size=100, max_field_size=100, max_headers=3),
    "headers of its own": with_settings(headers={"Accept-Encoding": "br", "Accept": "text/html"}),
    "no headers": with_settings(skip_auto_headers=["Accept-Encoding", "Content-Type"]),
    "a timeout": with_settings(timeout=aiohttp.ClientTimeout(total=0.001)),
    "cookies": with_settings(cookie_jar=None),
    "another buffer": with_settings(read_bufsize=16),
    "retries by itself": retrying_session,
}
ENDINGS: dict[str, tuple[Script, type[IdeogramError], Billed]] = {
    "lost": ((whole, reset), AmbiguousError, Billed.UNKNOWN),
    "502": (page(502), ServerError, Billed.UNKNOWN),
}


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS)
async def test_sent_once(ending: tuple[Script, type[IdeogramError], Billed], factory: Any) -> None:
    """No session sends a paid call twice, or hides that it was sent."""
    script, kind, billed = ending
    async with RawServer(script, OK) as server:
        async with connected(server.url, session_factory=factory) as client:
            with pytest.raises(IdeogramError) as caught:
                await client.generate("a fox")

        assert (kind, billed) == (type(caught.value), caught.value.billed)
        assert 1 == server.posts


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
async def test_answered(factory: Any) -> None:
    """Every session returns the answer, compressed and with large headers."""
    headers = {"Content-Encoding": "gzip", "Set-Cookie": "a=b", "X-Policy": "x" * 12_000}
    packed = status(200, gzip.compress(GOOD), headers | {f"X-{number}": "x" for number in range(150)})
    async with RawServer(packed) as server:
        async with connected(server.url, session_factory=factory) as client:
            images = await client.generate("a fox")

        assert (1, GOOD) == (server.posts, images.meta.raw)
        assert "gzip, deflate" == server.requests[0].headers["accept-encoding"]


@pytest.mark.parametrize("factory", FACTORIES.values(), ids=FACTORIES)
async def test_no_other_origin(factory: Any) -> None:
    """No session sends a paid call to another origin."""
    async with RawServer(OK) as elsewhere, RawServer(status(307, b"", {"Location": elsewhere.url}), OK) as server:
        async with connected(server.url, session_factory=factory) as client:
            with pytest.raises((APIStatusError, AmbiguousError)):
                await client.generate("a fox")

        assert (1, []) == (server.posts, elsewhere.requests)


async def test_shared_session() -> None:
    """A session that several clients share is traced once, and marks each of their calls."""
    async with aiohttp.ClientSession() as shared, RawServer(OK, OK, (whole, reset)) as server:
        clients = [Ideogram("key", base_url=server.url, session_factory=lambda *_, **__: shared) for _ in range(3)]
        await clients[0].generate("a fox")
        await clients[1].generate("a fox")
        with pytest.raises(AmbiguousError):
            await clients[2].generate("a fox")

        assert (3, 1) == (server.posts, len(shared.trace_configs))
        for client in clients:
            await client.aclose()


async def async_factory(purpose: str, **settings: Any) -> aiohttp.ClientSession:
    return aiohttp.ClientSession(**settings)


@pytest.mark.parametrize("factory", [lambda *_, **__: None, lambda *_, **__: object(), async_factory])
async def test_no_session(factory: Any) -> None:
    """Each call raises an error that names the factory if it returns something else. Nothing is sent."""
    events = Events()
    async with RawServer(OK) as server:
        async with connected(server.url, session_factory=factory, on_event=events) as client:
            for _ in range(2):
                with pytest.raises(TypeError, match="session_factory must return"):
                    await client.generate("a fox")

        assert 0 == server.connections
        assert ["Failed"] * 2 == events.names


async def test_no_session_for_images() -> None:
    """If the second session cannot be made, the first is closed."""

    def factory(purpose: str, **settings: Any) -> Any:
        return aiohttp.ClientSession(**settings) if purpose == "api" else None

    async with RawServer(OK) as server:
        async with connected(server.url, session_factory=factory) as client:
            with pytest.raises(TypeError, match="session_factory must return"):
                await client.generate("a fox")

        assert 0 == server.connections


async def test_closed_session() -> None:
    """A session that the caller has closed sends nothing, and the error says so."""
    sessions: list[aiohttp.ClientSession] = []

    def factory(purpose: str, **settings: Any) -> aiohttp.ClientSession:
        sessions.append(aiohttp.ClientSession(**settings))
        return sessions[-1]

    async with RawServer(OK) as server:
        async with connected(server.url, session_factory=factory) as client:
            await client.generate("a fox")
            await sessions[0].close()
            with pytest.raises(NotSentError, match="Session is closed") as caught:
                await client.generate("a fox")

        assert (Billed.NO, Phase.CONNECTING) == (caught.value.billed, caught.value.phase)
        assert 1 == server.posts
