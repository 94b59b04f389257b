"""One client for a process: made with the app, found by its handlers, closed with it."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from support.clients import CANARY, Events, impatient
from support.serving import serving

from ideogram_async import AmbiguousError, Generate, Ideogram, RunningCall
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async.events import Failed
from ideogram_async.integrations.fastapi import get_client, lifespan
from ideogram_async.sandbox import Sandbox

Client = Annotated[Ideogram, Depends(get_client)]


async def fox(client: Client) -> int:
    return len((await client.generate("a fox")).data)


async def told(url: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        response.raise_for_status()
        return await response.json()


async def test_the_app_owns_a_client_of_the_environment(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """`FastAPI(lifespan=lifespan)` is all: key and address come from the environment, and the end closes the client."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", CANARY)
    monkeypatch.setenv("IDEOGRAM_BASE_URL", box.url)
    app = FastAPI(lifespan=lifespan)
    app.get("/fox")(fox)
    async with serving(app) as url:
        counts = [await told(f"{url}/fox") for _ in range(2)]
        sessions = app.state.ideogram._pipeline.config.sessions
        was_open = len(sessions._states)

    assert [1, 1] == counts
    assert (1, 0) == (was_open, len(sessions._states))


async def test_the_client_may_be_ones_own(box: Sandbox) -> None:
    """A client with options of its own is passed along; it may share a limiter."""
    limiter = ImageLimiter(3)
    client = Ideogram(CANARY, base_url=box.url, limiter=limiter)
    app = FastAPI(lifespan=partial(lifespan, client=client))
    found: list[Ideogram] = []

    @app.get("/fox")
    async def find(client: Client) -> int:
        found.append(client)
        return await fox(client)

    async with serving(app) as url:
        await told(f"{url}/fox")

    assert [client] == found
    assert limiter is client.limiter


async def test_it_composes_with_a_lifespan_of_the_app(box: Sandbox) -> None:
    """Opened in the app's own lifespan it adds to its state, and ends inside it."""
    steps: list[str] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        steps.append("database opened")
        async with lifespan(app, Ideogram(CANARY, base_url=box.url)) as state:
            yield {**state, "answer": 42}

        steps.append("database closed")

    app = FastAPI(lifespan=own)

    @app.get("/both")
    async def both(request: Request, client: Client) -> list[int]:
        return [request.state.answer, await fox(client)]

    async with serving(app) as url:
        answer = await told(f"{url}/both")

    assert [42, 1] == answer
    assert ["database opened", "database closed"] == steps


async def test_state_need_not_be_passed_on(box: Sandbox) -> None:
    """A lifespan that yields nothing has a client too."""

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[None]:
        async with lifespan(app, Ideogram(CANARY, base_url=box.url)):
            yield

    app = FastAPI(lifespan=own)
    app.get("/fox")(fox)
    async with serving(app) as url:
        assert 1 == await told(f"{url}/fox")


async def test_a_router_may_bring_the_client(box: Sandbox) -> None:
    """The lifespan of an included router serves the whole app."""
    router = APIRouter(lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=box.url)))
    app = FastAPI()
    app.get("/fox")(fox)
    app.include_router(router)
    async with serving(app) as url:
        assert 1 == await told(f"{url}/fox")


async def starlette_fox(request: Request) -> JSONResponse:
    return JSONResponse(await fox(await get_client(request)))


async def test_bare_starlette_has_it_too(box: Sandbox) -> None:
    """Nothing wants FastAPI; an app that is mounted in the owner finds the client as well."""
    inner = Starlette(routes=[Route("/fox", starlette_fox)])
    app = Starlette(
        routes=[Route("/fox", starlette_fox), Mount("/inner", inner)],
        lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=box.url)),
    )
    async with serving(app) as url:
        assert [1, 1] == [await told(f"{url}/fox"), await told(f"{url}/inner/fox")]


def test_it_needs_starlette_alone() -> None:
    """Where FastAPI and its form parser are not installed, everything can be imported."""
    script = """
import sys
sys.modules["fastapi"] = sys.modules["python_multipart"] = sys.modules["multipart"] = None
from ideogram_async.integrations.fastapi import get_client, image_response, install_error_handlers, lifespan
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)

    assert (0, "") == (run.returncode, run.stderr)


async def test_an_app_without_a_client_says_what_is_missing() -> None:
    """Whoever forgot the lifespan is told so."""
    app = Starlette()
    connection = Request({"type": "http", "app": app, "headers": []})
    with pytest.raises(RuntimeError, match="lifespan=lifespan"):
        await get_client(connection)


async def test_an_app_starts_again_with_the_same_client(box: Sandbox) -> None:
    """A client that was closed opens again: an app may start as often as a test wants."""
    app = FastAPI(lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=box.url)))
    app.get("/fox")(fox)
    for _ in range(2):
        async with serving(app) as url:
            assert 1 == await told(f"{url}/fox")


@pytest.mark.parametrize("grace", [1000.0, 0.0])
async def test_the_end_of_the_app_waits_for_detached_calls(box: Sandbox, grace: float) -> None:
    """Inside the grace period they end as they would; after it they are in doubt, and that is told."""
    taken: list[RunningCall[Any]] = []
    events, ending = Events(), asyncio.Event()
    client = Ideogram(CANARY, base_url=box.url, on_event=events)

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[None]:
        async with lifespan(app, client, grace=grace):
            yield
            ending.set()

    app = FastAPI(lifespan=own)

    @app.get("/start")
    async def start(client: Client) -> str:
        await client.start(Generate("a fox"), on_done=taken.append)
        return "started"

    async def release() -> None:
        await ending.wait()
        box.release()

    box.hold()
    releasing = asyncio.create_task(release()) if grace else None
    async with serving(app) as url:
        assert "started" == await told(f"{url}/start")
        await box.wait_for_requests(1)

    box.release()
    await box.wait_idle()

    assert [type(None) if grace else AmbiguousError] == [type(call.error) for call in taken]
    assert (0 if grace else 1, 1) == (len(events.of(Failed)), box.ledger.billed_images)
    assert releasing is None or await releasing is None


async def test_servers_leave_the_signals_alone() -> None:
    """Two servers that overlap in a test keep nobody from ending the tests."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with AsyncExitStack() as second, serving(Starlette()):
        await second.enter_async_context(serving(Starlette()))

    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


@pytest.mark.parametrize("workers", [2, 5])
async def test_several_workers_divide_the_limit(box: Sandbox, workers: int) -> None:
    """Each worker with its share of the limit: together they fill the account's places, and are never refused."""
    apps = [
        FastAPI(lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=box.url, max_in_flight=10 // workers)))
        for _ in range(workers)
    ]
    box.hold()
    async with asyncio.TaskGroup() as group:
        for app in apps:
            app.get("/fox")(fox)
            group.create_task(_visited(app, 40 // workers, box))

        await box.wait_for_requests(10)
        box.release()

    assert (40, 10) == (box.ledger.billed_images, box.peak_in_flight)
    assert 0 == sum(app.state.ideogram.limiter.statistics().rejected for app in apps)


async def _visited(app: FastAPI, visits: int, box: Sandbox) -> None:
    async with serving(app) as url:
        await asyncio.gather(*(told(f"{url}/fox") for _ in range(visits)))


async def test_shares_that_are_too_large_cost_429s_alone(box: Sandbox) -> None:
    """Workers that forgot to divide are refused at times; everything is made all the same, and paid for once."""
    clients = [Ideogram(CANARY, base_url=box.url, limiter=impatient()) for _ in range(2)]
    apps = [FastAPI(lifespan=partial(lifespan, client=client)) for client in clients]
    for app in apps:
        app.get("/fox")(fox)

    box.hold()
    async with asyncio.TaskGroup() as group:
        for app in apps:
            group.create_task(_visited(app, 15, box))

        await box.wait_for_requests(11)
        box.release()

    assert 30 == box.ledger.billed_images
    assert sum(client.limiter.statistics().rejected for client in clients) > 0
