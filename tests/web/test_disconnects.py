"""Browsers that leave: what the page on web apps says of plain and of detached calls is what happens."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, TypeVar

import pytest
from attrs import define, field
from fastapi import Depends, FastAPI, HTTPException, Request
from support.clients import CANARY, Events
from support.paths import ROOT
from support.serving import Visitor, serving

from ideogram_async import Billed, Generate, Ideogram, RunningCall
from ideogram_async.events import Answered, Failed
from ideogram_async.integrations.fastapi import get_client, lifespan
from ideogram_async.sandbox import Sandbox

PAGE = ROOT / "docs" / "web.md"
Client = Annotated[Ideogram, Depends(get_client)]


def shown(name: str) -> Callable[..., Any]:
    """Take a function from the page, so that what stands there is what is tested."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
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
    found: Callable[..., Any] = names[name]
    return found


cancel_on_disconnect = shown("cancel_on_disconnect")


@define
class Scene:
    """An app with a call for each visitor, one place, and a sandbox that holds."""

    box: Sandbox
    client: Ideogram
    events: Events
    left: asyncio.Event = field(factory=asyncio.Event)
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
                self.left.set()

        @app.post("/detached")
        async def start(request: Request, client: Client) -> int:
            async def wait() -> int:
                return len((await call).data)

            call = await client.start(Generate("a fox"), on_done=self.kept.append)
            try:
                return int(await cancel_on_disconnect(request, wait()))
            finally:
                self.ended += 1
                self.left.set()

        return app

    async def watch(self, request: Request) -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

        self.left.set()

    async def someone_leaves(self, path: str, phase: str) -> None:
        """Let a visitor ask, and leave when the call is in line, or sent."""
        self.box.hold()
        async with serving(self.app()) as url:
            if phase == "queued":
                first = await self.client.start(Generate("a hen"))
                await self.box.wait_for_requests(1)

            visitor = await Visitor.asking(url, path, method="POST")
            await (self.queued() if phase == "queued" else self.box.wait_for_requests(1))
            await visitor.leave()
            await self.left.wait()
            self.box.release()
            if phase == "queued":
                await first

        await self.box.wait_idle()

    async def queued(self) -> None:
        while self.client.limiter.statistics().waiting == 0:
            await asyncio.sleep(0)


@pytest.fixture
def scene(box: Sandbox) -> Scene:
    events = Events()
    return Scene(box, Ideogram(CANARY, base_url=box.url, max_in_flight=1, on_event=events), events)


@pytest.mark.parametrize(("phase", "billed"), [("queued", 2), ("sent", 1)])
async def test_a_plain_call_goes_on_and_nobody_gets_it(scene: Scene, phase: str, billed: int) -> None:
    """Starlette lets a handler run on when the browser leaves: the call ends well, and is paid for."""
    await scene.someone_leaves("/plain", phase)

    assert (1, billed, billed) == (scene.ended, scene.box.ledger.billed_images, len(scene.events.of(Answered)))
    assert [] == scene.events.of(Failed)


@pytest.mark.parametrize(("phase", "billed", "told"), [("queued", 1, Billed.NO), ("sent", 1, Billed.UNKNOWN)])
async def test_a_plain_call_that_is_cancelled_tells_what_it_may_have_cost(
    scene: Scene, phase: str, billed: int, told: Billed
) -> None:
    """In line it costs nothing; once sent it is paid for, and its event says that nobody knows."""
    await scene.someone_leaves("/cancelled", phase)
    failed = [(event.error, event.billed) for event in scene.events.of(Failed)]

    assert [("CancelledError", told)] == failed
    assert (1, billed) == (scene.ended, scene.box.ledger.billed_images)
    assert 0 == scene.client.limiter.statistics().in_flight


@pytest.mark.parametrize(("phase", "billed"), [("queued", 2), ("sent", 1)])
async def test_a_detached_call_goes_on_and_is_handed_on(scene: Scene, phase: str, billed: int) -> None:
    """Whenever the browser leaves and the handler is cancelled: the answer comes, and is kept."""
    await scene.someone_leaves("/detached", phase)

    assert [1] == [len(call.result().data) for call in scene.kept]
    assert (1, billed, billed) == (scene.ended, scene.box.ledger.billed_images, len(scene.events.of(Answered)))
    assert [] == scene.events.of(Failed)


@pytest.mark.parametrize("path", ["/plain", "/cancelled", "/detached"])
async def test_a_browser_that_stays_gets_its_answer(scene: Scene, path: str) -> None:
    """All three ways give the same to whoever waits."""
    async with serving(scene.app()) as url:
        visitor = await Visitor.asking(url, path, method="POST")
        head = await visitor.reader.readuntil(b"\r\n\r\n")
        body = await visitor.reader.readexactly(1)
        await visitor.leave()

    assert (b"HTTP/1.1 200", b"1") == (head[:12], body)
