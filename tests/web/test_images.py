"""Images on their way to the browser: with the right headers, never whole in memory, cut off where they should be."""

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
from support.serving import Visitor, serving

from ideogram_async import Ideogram, ImageGenerationObjectV3, Retry
from ideogram_async.integrations.fastapi import get_client, image_response, install_error_handlers, lifespan
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox import images as origin

LARGE = 5_000_000


@pytest.fixture
def client(box: Sandbox) -> Ideogram:
    return Ideogram(CANARY, base_url=box.url, retry=Retry(base=0.0))


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
async def asked(url: str, method: str = "GET", **headers: str) -> AsyncGenerator[aiohttp.ClientResponse]:
    async with aiohttp.ClientSession() as http, http.request(method, url, headers=headers) as response:
        yield response


async def test_an_image_comes_whole_with_its_headers(client: Ideogram, fox: Any, box: Sandbox) -> None:
    """Type by the bytes, length as the host tells, private caching, and no guessing."""
    expected = await client.fetch(fox)
    async with serving(app_of(client, fox)) as url, asked(url) as response:
        body = await response.read()
        headers = response.headers

    assert expected == body
    assert ("image/png", str(len(body))) == (headers["Content-Type"], headers["Content-Length"])
    assert "private, max-age=86400, immutable" == headers["Cache-Control"]
    assert "nosniff" == headers["X-Content-Type-Options"]
    assert "sig" not in str(headers)
    assert "Transfer-Encoding" not in headers


async def test_a_link_serves_as_well(client: Ideogram, fox: Any) -> None:
    """A link that was kept is an image too, and has the same tag."""
    async with serving(app_of(client, fox)) as url, asked(url) as response:
        tag = response.headers["ETag"]

    async with serving(app_of(client, fox.url)) as url, asked(url) as response:
        assert (200, tag) == (response.status, response.headers["ETag"])


@pytest.mark.parametrize("form", ["{}", "W/{}", '"other", {}'])
async def test_a_browser_that_has_it_is_told_so(client: Ideogram, fox: Any, box: Sandbox, form: str) -> None:
    """An image never changes: with its tag the answer is 304, and the image host is not asked."""
    async with serving(app_of(client, fox)) as url:
        async with asked(url) as response:
            tag = response.headers["ETag"]
            await response.read()

        asks = len(box.image_requests)
        async with asked(url, **{"If-None-Match": form.format(tag)}) as response:
            known = response.status, await response.read(), response.headers["ETag"]

        async with asked(url, **{"If-None-Match": '"other"'}) as response:
            unknown = response.status

    assert ((304, b"", tag), 200) == (known, unknown)
    assert asks + 1 == len(box.image_requests)


async def test_headers_are_the_apps_to_change(client: Ideogram, fox: Any) -> None:
    """What a handler sets on the response stands."""
    async with serving(app_of(client, fox, **{"Cache-Control": "no-store"})) as url, asked(url) as response:
        assert ("no-store", "image/png") == (response.headers["Cache-Control"], response.headers["Content-Type"])


async def test_a_look_at_the_headers_alone(client: Ideogram, fox: Any) -> None:
    """HEAD tells type and length, and sends no byte."""
    async with serving(app_of(client, fox)) as url, asked(url, "HEAD") as response:
        assert b"" == await response.read()
        assert ("image/png", True) == (response.headers["Content-Type"], int(response.headers["Content-Length"]) > 0)


async def test_a_host_that_tells_no_length(client: Ideogram, fox: Any, box: Sandbox) -> None:
    """Without a length the image is sent in chunks; one that is cut ends in a broken answer, not in a whole one."""
    box.fail("images", fault=Fault.cut_without_length, times=5)
    async with serving(app_of(client, fox)) as url, asked(url) as response:
        has_length = "Content-Length" in response.headers
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()

    assert not has_length


async def test_a_cut_image_is_cut_for_the_browser(client: Ideogram, fox: Any, box: Sandbox, large: None) -> None:
    """What breaks after the first byte cannot become a problem document: the answer breaks as well."""
    box.fail("images", fault=Fault.cut)
    async with serving(app_of(client, fox)) as url, asked(url) as response:
        with pytest.raises(aiohttp.ClientPayloadError):
            await response.read()

    assert 200 == response.status


async def test_a_withheld_image(client: Ideogram, box: Sandbox) -> None:
    """An image without a link is not found, and has no tag."""
    box.fail("generate", fault=Fault.unsafe())
    image = (await client.generate("a fox")).data[0]
    async with serving(app_of(client, image)) as url, asked(url) as response:
        assert (404, "WithheldImageError") == (response.status, (await response.json(content_type=None))["type"][19:])
        assert "ETag" not in response.headers


async def test_when_the_browser_leaves_the_image_host_is_left(
    client: Ideogram, fox: Any, box: Sandbox, large: None
) -> None:
    """A browser that goes away in the middle of an image ends the connection to the image host too."""
    box.fail("images", fault=Fault.endless)
    ended = asyncio.Event()
    app = app_of(client, fox)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if scope["type"] == "http":
            ended.set()

    async with serving(watched) as url:
        visitor = await Visitor.asking(url, "/")
        await visitor.reader.readuntil(b"\r\n\r\n")
        streams = client._pipeline.config.sessions.current().streams
        was_open = len(streams)
        await visitor.leave()
        async with asyncio.timeout(20):
            await ended.wait()

        still_open = [stream for stream in streams if not stream._is_closed]

    assert (1, []) == (was_open, still_open)


async def passed(request: Request, call_next: Any) -> Any:
    return await call_next(request)


@pytest.mark.parametrize("is_wrapped", [False, True])
async def test_when_the_browser_leaves_before_the_first_byte(
    client: Ideogram, fox: Any, box: Sandbox, caplog: pytest.LogCaptureFixture, is_wrapped: bool
) -> None:
    """One that goes away while the image host is silent ends the wait for it; nobody complains of it."""
    box.fail("images", fault=Fault.hang)
    before = len(box.image_requests)
    ended = asyncio.Event()
    app = app_of(client, fox)
    if is_wrapped:
        app.add_middleware(BaseHTTPMiddleware, dispatch=passed)

    async def watched(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)
        if scope["type"] == "http":
            ended.set()

    async with serving(watched) as url:
        visitor = await Visitor.asking(url, "/")
        async with asyncio.timeout(20):
            while len(box.image_requests) == before:
                await asyncio.sleep(0)

            await visitor.leave()
            await ended.wait()

    box.release()

    assert before + 1 == len(box.image_requests)
    assert [] == [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_slow_browser_slows_the_image_host(client: Ideogram, fox: Any, box: Sandbox) -> None:
    """Without end comes from the host only what the browser takes: a chunk more is asked for when there is room."""
    box.fail("images", fault=Fault.endless)
    taken = 0
    app = app_of(Ideogram(CANARY, base_url=box.url, max_image_bytes=2**40), fox)

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        async def counting(message: Any) -> None:
            nonlocal taken
            taken += len(message.get("body", b""))
            await send(message)

        await app(scope, receive, counting if scope["type"] == "http" else send)

    async with serving(counted) as url:
        visitor = await Visitor.asking(url, "/")
        await visitor.reader.readuntil(b"\r\n\r\n")
        # Until nothing moves any more: buffers of sockets are full, and what is in them is bounded.
        last = -1
        while last != taken:
            last = taken
            await asyncio.sleep(0.2)

        await visitor.leave()

    assert 0 < taken < 16 * 2**20


async def test_through_a_middleware(client: Ideogram, fox: Any) -> None:
    """Starlette's own middleware changes nothing; work that follows the response is done."""
    done: list[str] = []

    async def show(request: Request) -> Response:
        response = image_response(await get_client(request), fox)
        response.background = BackgroundTask(done.append, "done")
        return response

    app = Starlette(routes=[Route("/", show)], lifespan=partial(lifespan, client=client))
    app.add_middleware(BaseHTTPMiddleware, dispatch=passed)
    async with serving(app) as url, asked(url) as response:
        body = await response.read()

    assert (int(response.headers["Content-Length"]), ["done"]) == (len(body), done)


async def test_a_server_that_tells_of_the_browser_by_an_error(client: Ideogram, fox: Any) -> None:
    """Where sending fails because the browser has left, the response ends without a word."""

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        raise OSError("gone")

    scope = {"type": "http", "method": "GET", "headers": [], "asgi": {"spec_version": "2.4"}}
    await image_response(client, fox)(scope, receive, send)

    assert [] == [stream for stream in client._pipeline.config.sessions.current().streams if not stream._is_closed]
