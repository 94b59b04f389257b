"""Image responses: headers, streaming, errors and disconnects."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import partial
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import Depends, FastAPI, Request
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import Response
from starlette.routing import Route
from support.clients import CANARY
from support.pictures import picture
from support.serving import SocketClient, serving

from ideogram_async import Ideogram, ImageGenerationObjectV3, Retry
from ideogram_async.integrations.fastapi import get_client, image_response, install_error_handlers, lifespan
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox import images as origin

LARGE = 5_000_000


@pytest.fixture
def client(sandbox: Sandbox) -> Ideogram:
    return Ideogram(CANARY, base_url=sandbox.url, retry=Retry(base=0.0))


@pytest.fixture
async def fox(client: Ideogram) -> AsyncGenerator[ImageGenerationObjectV3]:
    yield (await client.generate("a fox")).data[0]
    await client.aclose()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(origin, "draw", lambda recipe, kind: picture(kind, length=LARGE))


def app_of(client: Ideogram, image: Any, **headers: str) -> FastAPI:
    app = FastAPI(lifespan=partial(lifespan, client=client))
    install_error_handlers(app)

    @app.api_route("/", methods=["GET", "HEAD"])
    async def show(client: Annotated[Ideogram, Depends(get_client)]) -> Response:
        response = image_response(client, image)
        response.headers.update(headers)
        return response

    return app


@asynccontextmanager
async def request_image(url: str, method: str = "GET", **headers: str) -> AsyncGenerator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as http, http.request(method, url, headers=headers) as response:
        yield response


async def test_headers(client: Ideogram, fox: Any, sandbox: Sandbox) -> None:
    """An image has its type, its length, private caching, and no content sniffing."""
    expected = await client.fetch(fox)
    async with serving(app_of(client, fox)) as url, request_image(url) as response:
        body = await response.read()
        headers = response.headers

    assert expected == body
    assert ("image/png", str(len(body))) == (headers["Content-Type"], headers["Content-Length"])
    assert "private, max-age=86400, immutable" == headers["Cache-Control"]
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert "sig" not in str(headers)
    assert "Transfer-Encoding" not in headers


async def test_a_link(client: Ideogram, fox: Any) -> None:
    """A link is accepted instead of an image, and has the same tag."""
    async with serving(app_of(client, fox)) as url, request_image(url) as response:
        tag = response.headers["ETag"]

    async with serving(app_of(client, fox.url)) as url, request_image(url) as response:
        assert (200, tag) == (response.status, response.headers["ETag"])


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}'])
async def test_not_modified(client: Ideogram, fox: Any, sandbox: Sandbox, form: str) -> None:
    """A request with the tag returns 304, without a request to the image host."""
    async with serving(app_of(client, fox)) as url:
        async with request_image(url) as response:
            tag = response.headers["ETag"]
            await response.read()

        requests = len(sandbox.image_requests)
        async with request_image(url, **{"If-None-Match": form.format(tag)}) as response:
            known = response.status, await response.read(), response.headers["ETag"]

        async with request_image(url, **{"If-None-Match": '"other"'}) as response:
            unknown = response.status

    assert ((304, b"", tag), 200) == (known, unknown)
    assert requests + 1 == len(sandbox.image_requests)


async def test_headers_of_the_app(client: Ideogram, fox: Any) -> None:
    """A handler can change the headers of the response."""
    async with serving(app_of(client, fox, **{"Cache-Control": "no-store"})) as url, request_image(url) as response:
        assert ("no-store", "image/png") == (response.headers["Cache-Control"], response.headers["Content-Type"])


async def test_head(client: Ideogram, fox: Any) -> None:
    """HEAD returns type and length, and no body."""
    async with serving(app_of(client, fox)) as url, request_image(url, "HEAD") as response:
        assert b"" == await response.read()
        assert ("image/png", True) == (response.headers["Content-Type"], int(response.headers["Content-Length"]) > 0)


async def test_without_a_length(client: Ideogram, fox: Any, sandbox: Sandbox) -> None:
    """An image without a length is sent in chunks. If it is truncated, so is the response."""
    sandbox.fail("images", fault=Fault.cut_without_length, times=5)
    async with serving(app_of(client, fox)) as url, request_image(url) as response:
        has_length = "Content-Length" in response.headers
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()

    assert not has_length


async def test_a_truncated_image(client: Ideogram, fox: Any, sandbox: Sandbox, large: None) -> None:
    """An error after the first byte truncates the response."""
    sandbox.fail("images", fault=Fault.cut)
    async with serving(app_of(client, fox)) as url, request_image(url) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()

    assert 200 == response.status


async def test_a_withheld_image(client: Ideogram, sandbox: Sandbox) -> None:
    """A withheld image returns 404, without a tag."""
    sandbox.fail("generate", fault=Fault.unsafe())
    image = (await client.generate("a fox")).data[0]
    async with serving(app_of(client, image)) as url, request_image(url) as response:
        assert (404, "WithheldImageError") == (response.status, (await response.json(content_type=None))["type"][19:])
        assert "ETag" not in response.headers


async def test_disconnect_during_an_image(client: Ideogram, fox: Any, sandbox: Sandbox, large: None) -> None:
    """A disconnect in the middle of an image closes the connection to the image host."""
    sandbox.fail("images", fault=Fault.endless)
    ended = asyncio.Event()
    app = app_of(client, fox)

    async def with_event(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if scope["type"] == "http":
            ended.set()

    async with serving(with_event) as url:
        browser = await SocketClient.request(url, "/")
        await browser.reader.readuntil(b"\r\n\r\n")
        streams = client._pipeline.config.sessions.current().streams
        was_open = len(streams)
        await browser.disconnect()
        async with asyncio.timeout(20):
            await ended.wait()

        still_open = [stream for stream in streams if not stream._is_closed]

    assert (1, []) == (was_open, still_open)


async def pass_through(request: Request, call_next: Any) -> Any:
    return await call_next(request)


@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_disconnect_before_the_first_byte(
    client: Ideogram, fox: Any, sandbox: Sandbox, caplog: pytest.LogCaptureFixture, is_wrapped: bool
) -> None:
    """A disconnect while the image host is silent ends the response, without an error in the log."""
    sandbox.fail("images", fault=Fault.hang)
    before = len(sandbox.image_requests)
    ended = asyncio.Event()
    app = app_of(client, fox)
    if is_wrapped:
        app.add_middleware(BaseHTTPMiddleware, dispatch=pass_through)

    async def with_event(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if scope["type"] == "http":
            ended.set()

    async with serving(with_event) as url:
        browser = await SocketClient.request(url, "/")
        async with asyncio.timeout(20):
            while len(sandbox.image_requests) == before:
                await asyncio.sleep(0)

            await browser.disconnect()
            await ended.wait()

    sandbox.release()

    assert before + 1 == len(sandbox.image_requests)
    assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_backpressure(client: Ideogram, fox: Any, sandbox: Sandbox) -> None:
    """An endless image is read only as fast as the client reads it."""
    sandbox.fail("images", fault=Fault.endless)
    taken = 0
    app = app_of(Ideogram(CANARY, base_url=sandbox.url, max_image_bytes=2**40), fox)

    async def with_count(scope: Any, receive: Any, send: Any) -> None:
        async def counting(message: Any) -> None:
            nonlocal taken
            taken += len(message.get("body", b""))
            await send(message)

        await app(scope, receive, counting if scope["type"] == "http" else send)

    async with serving(with_count) as url:
        browser = await SocketClient.request(url, "/")
        await browser.reader.readuntil(b"\r\n\r\n")
        # Until all socket buffers are full; their size is bounded.
        last = -1
        while last != taken:
            last = taken
            await asyncio.sleep(0.2)

        await browser.disconnect()

    assert 0 < taken < 16 * 2**20


async def test_through_a_middleware(client: Ideogram, fox: Any) -> None:
    """The response works behind Starlette's own middleware, and its background task runs."""
    done: list[str] = []

    async def show(request: Request) -> Response:
        response = image_response(await get_client(request), fox)
        response.background = BackgroundTask(done.append, "done")
        return response

    app = Starlette(routes=[Route("/", show)], lifespan=partial(lifespan, client=client))
    app.add_middleware(BaseHTTPMiddleware, dispatch=pass_through)
    async with serving(app) as url, request_image(url) as response:
        body = await response.read()

    assert (int(response.headers["Content-Length"]), ["done"]) == (len(body), done)


async def test_disconnect_as_an_error(client: Ideogram, fox: Any) -> None:
    """The response ends without an error if the server reports a disconnect by raising `OSError`."""

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        raise OSError("gone")

    scope = {"type": "http", "method": "GET", "headers": [], "asgi": {"spec_version": "2.4"}}
    await image_response(client, fox)(scope, receive, send)

    assert [] == [stream for stream in client._pipeline.config.sessions.current().streams if not stream._is_closed]
