"""Plain and started calls when the client disconnects, as the page on web apps documents."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, TypeVar

import pytest
from attrs import define, field
from fastapi import Depends, FastAPI, HTTPException, Request
from support.clients import CANARY, Events
from support.pages import fenced
from support.paths import ROOT
from support.serving import SocketClient, serving

from ideogram_async import Billed, Generate, Ideogram, RunningCall
from ideogram_async.events import Answered, Failed
from ideogram_async.integrations.fastapi import get_client, lifespan
from ideogram_async.sandbox import Sandbox

PAGE = ROOT / "docs" / "web.md"
Client = Annotated[Ideogram, Depends(get_client)]


def shown(name: str) -> Callable[..., Any]:
    """Return a function defined in a code block of the page."""
    blocks = fenced(PAGE.read_text(), "python")
    code = next(block for block in blocks if f"def {name}(" in block).split("\n\n\n@app")[0]
    names: dict[str, Any] = {
        "asyncio": asyncio,
        "Request": Request,
        "HTTPException": HTTPException,
        "Coroutine": Coroutine,
        "Any": Any,
        "T": TypeVar("T"),
    }
    exec(code, names)
    function: Callable[..., Any] = names[name]
    return function


cancel_on_disconnect = shown("cancel_on_disconnect")


@define
class Scene:
    """An app whose routes make one call each, a client with one slot, and a sandbox that holds calls."""

    sandbox: Sandbox
    client: Ideogram
    events: Events
    disconnected: asyncio.Event = field(factory=asyncio.Event)
    ended: int = 0
    kept: list[RunningCall[Any]] = field(factory=list)

    def app(self) -> FastAPI:
        app = FastAPI(lifespan=partial(lifespan, client=self.client))

        @app.post("/plain")
        async def plain(request: Request, client: Client) -> int:
            watching = asyncio.create_task(self.watch(request))
            try:
                return len((await client.generate("a fox")).data)
            finally:
                self.ended += 1
                watching.cancel()

        @app.post("/cancelled")
        async def cancelled(request: Request, client: Client) -> int:
            try:
                return len((await cancel_on_disconnect(request, client.generate("a fox"))).data)
            finally:
                self.ended += 1
                self.disconnected.set()

        @app.post("/started")
        async def start(request: Request, client: Client) -> int:
            async def wait() -> int:
                return len((await call).data)

            call = await client.start(Generate("a fox"), on_done=self.kept.append)
            try:
                return int(await cancel_on_disconnect(request, wait()))
            finally:
                self.ended += 1
                self.disconnected.set()

        return app

    async def watch(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

        self.disconnected.set()

    async def disconnect(self, path: str, phase: str) -> None:
        """Request a path, and disconnect when the call is queued or sent."""
        self.sandbox.hold()
        async with serving(self.app()) as url:
            if phase == "queued":
                first = await self.client.start(Generate("a hen"))
                await self.sandbox.wait_for_requests(1)

            browser = await SocketClient.request(url, path, method="POST")
            await (self.queued() if phase == "queued" else self.sandbox.wait_for_requests(1))
            await browser.disconnect()
            await self.disconnected.wait()
            self.sandbox.release()
            if phase == "queued":
                await first

        await self.sandbox.wait_idle()

    async def queued(self) -> None:
        while self.client.limiter.statistics().waiting == 0:
            await asyncio.sleep(0)


@pytest.fixture
def scene(sandbox: Sandbox) -> Scene:
    events = Events()
    return Scene(sandbox, Ideogram(CANARY, base_url=sandbox.url, max_in_flight=1, on_event=events), events)


@pytest.mark.parametrize(("phase", "billed"), [("queued", 2), ("sent", 1)])
async def test_a_plain_call_continues(scene: Scene, phase: str, billed: int) -> None:
    """Starlette does not cancel the handler on disconnect: the call succeeds and is billed."""
    await scene.disconnect("/plain", phase)

    assert (1, billed, billed) == (scene.ended, scene.sandbox.ledger.billed_images, len(scene.events.of(Answered)))
    assert [] == scene.events.of(Failed)


@pytest.mark.parametrize(("phase", "billed", "reported"), [("queued", 1, Billed.NO), ("sent", 1, Billed.UNKNOWN)])
async def test_a_cancelled_plain_call_reports_its_cost(scene: Scene, phase: str, billed: int, reported: Billed) -> None:
    """A queued call is free. A sent one is billed, and its event reports an unknown outcome."""
    await scene.disconnect("/cancelled", phase)
    failed = [(event.error, event.billed) for event in scene.events.of(Failed)]

    assert [("CancelledError", reported)] == failed
    assert (1, billed) == (scene.ended, scene.sandbox.ledger.billed_images)
    assert 0 == scene.client.limiter.statistics().in_flight


@pytest.mark.parametrize(("phase", "billed"), [("queued", 2), ("sent", 1)])
async def test_a_started_call_continues(scene: Scene, phase: str, billed: int) -> None:
    """A started call continues when the handler is cancelled, and its callback receives the answer."""
    await scene.disconnect("/started", phase)

    assert [1] == [len(call.result().data) for call in scene.kept]
    assert (1, billed, billed) == (scene.ended, scene.sandbox.ledger.billed_images, len(scene.events.of(Answered)))
    assert [] == scene.events.of(Failed)


@pytest.mark.parametrize("path", ["/plain", "/cancelled", "/started"])
async def test_a_connected_client_gets_its_answer(scene: Scene, path: str) -> None:
    """All three routes return the same answer to a client that stays connected."""
    async with serving(scene.app()) as url:
        browser = await SocketClient.request(url, path, method="POST")
        head = await browser.reader.readuntil(b"\r\n\r\n")
        body = await browser.reader.readexactly(1)
        await browser.disconnect()

    assert (b"HTTP/1.1 200", b"1") == (head[:12], body)
