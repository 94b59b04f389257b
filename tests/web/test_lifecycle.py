"""Lifecycle of an app's client: created at its start, available to its handlers, closed at its end."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import APIRouter, Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route
from support.batches import make_jobs
from support.clients import CANARY, Events, fast_limiter
from support.serving import serving

from ideogram_async import AmbiguousError, Generate, Ideogram, JobState, RunningCall
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async.events import BatchStopped, Event, Failed
from ideogram_async.integrations.fastapi import get_client, lifespan
from ideogram_async.sandbox import Sandbox

Client = Annotated[Ideogram, Depends(get_client)]


async def fox(client: Client) -> int:
    return len((await client.generate("a fox")).data)


async def get_json(url: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        response.raise_for_status()
        return await response.json()


async def test_default_client(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default client has the settings of the environment, and is closed at the end of the app."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", CANARY)
    monkeypatch.setenv("IDEOGRAM_BASE_URL", sandbox.url)
    app = FastAPI(lifespan=lifespan)
    app.get("/fox")(fox)
    async with serving(app) as url:
        counts = [await get_json(f"{url}/fox") for _ in range(2)]
        sessions = app.state.ideogram._pipeline.config.sessions
        was_open = len(sessions._states)

    assert [1, 1] == counts
    assert (1, 0) == (was_open, len(sessions._states))


async def test_custom_client(sandbox: Sandbox) -> None:
    """A client can be passed to `lifespan`, with its own options and limiter."""
    limiter = ImageLimiter(3)
    client = Ideogram(CANARY, base_url=sandbox.url, limiter=limiter)
    app = FastAPI(lifespan=partial(lifespan, client=client))
    clients: list[Ideogram] = []

    @app.get("/fox")
    async def find(client: Client) -> int:
        clients.append(client)
        return await fox(client)

    async with serving(app) as url:
        await get_json(f"{url}/fox")

    assert [client] == clients
    assert limiter is client.limiter


async def test_inside_another_lifespan(sandbox: Sandbox) -> None:
    """`lifespan` can be opened inside the app's own lifespan, and adds to its state."""
    steps: list[str] = []

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        steps.append("database opened")
        async with lifespan(app, Ideogram(CANARY, base_url=sandbox.url)) as state:
            yield {**state, "answer": 42}

        steps.append("database closed")

    app = FastAPI(lifespan=own)

    @app.get("/both")
    async def both(request: Request, client: Client) -> list[int]:
        return [request.state.answer, await fox(client)]

    async with serving(app) as url:
        answer = await get_json(f"{url}/both")

    assert [42, 1] == answer
    assert ["database opened", "database closed"] == steps


async def test_without_state(sandbox: Sandbox) -> None:
    """The client is available if the app's own lifespan yields no state."""

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[None]:
        async with lifespan(app, Ideogram(CANARY, base_url=sandbox.url)):
            yield

    app = FastAPI(lifespan=own)
    app.get("/fox")(fox)
    async with serving(app) as url:
        assert 1 == await get_json(f"{url}/fox")


async def test_router_lifespan(sandbox: Sandbox) -> None:
    """The lifespan of an included router provides the client to the whole app."""
    router = APIRouter(lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=sandbox.url)))
    app = FastAPI()
    app.get("/fox")(fox)
    app.include_router(router)
    async with serving(app) as url:
        assert 1 == await get_json(f"{url}/fox")


async def starlette_fox(request: Request) -> JSONResponse:
    return JSONResponse(await fox(await get_client(request)))


async def test_starlette(sandbox: Sandbox) -> None:
    """A Starlette app and an app mounted in it have the client."""
    inner = Starlette(routes=[Route("/fox", starlette_fox)])
    app = Starlette(
        routes=[Route("/fox", starlette_fox), Mount("/inner", inner)],
        lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=sandbox.url)),
    )
    async with serving(app) as url:
        assert [1, 1] == [await get_json(f"{url}/fox"), await get_json(f"{url}/inner/fox")]


def test_import_without_fastapi() -> None:
    """The integration can be imported without FastAPI and its form parser."""
    script = """
import sys
sys.modules["fastapi"] = sys.modules["python_multipart"] = sys.modules["multipart"] = None
from ideogram_async.integrations.fastapi import get_client, image_response, install_error_handlers, lifespan
"""
    run = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)

    assert 0 == run.returncode, run.stderr


async def test_missing_lifespan() -> None:
    """An app without the lifespan raises an error that names it."""
    app = Starlette()
    connection = Request({"type": "http", "app": app, "headers": []})
    with pytest.raises(RuntimeError, match="lifespan=lifespan"):
        await get_client(connection)


async def test_restart(sandbox: Sandbox) -> None:
    """An app can be started again with the same client."""
    app = FastAPI(lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=sandbox.url)))
    app.get("/fox")(fox)
    for _ in range(2):
        async with serving(app) as url:
            assert 1 == await get_json(f"{url}/fox")


@pytest.mark.parametrize("grace", [1000.0, 0.0])
async def test_shutdown_waits_for_started_calls(sandbox: Sandbox, grace: float) -> None:
    """Started calls finish within the grace period. After it their outcome is unknown, and reported."""
    calls: list[RunningCall[Any]] = []
    events, ending = Events(), asyncio.Event()
    client = Ideogram(CANARY, base_url=sandbox.url, on_event=events)

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[None]:
        async with lifespan(app, client, grace=grace):
            yield
            ending.set()

    app = FastAPI(lifespan=own)

    @app.get("/start")
    async def start(client: Client) -> str:
        await client.start(Generate("a fox"), on_done=calls.append)
        return "started"

    async def release() -> None:
        await ending.wait()
        sandbox.release()

    sandbox.hold()
    releasing = asyncio.create_task(release()) if grace else None
    async with serving(app) as url:
        assert "started" == await get_json(f"{url}/start")
        await sandbox.wait_for_requests(1)

    sandbox.release()
    await sandbox.wait_idle()

    assert [type(None) if grace else AmbiguousError] == [type(call.error) for call in calls]
    assert (0 if grace else 1, 1) == (len(events.of(Failed)), sandbox.ledger.billed_images)
    assert releasing is None or await releasing is None


@pytest.mark.parametrize("grace", [1000.0, 0.0])
async def test_shutdown_drains_batches(sandbox: Sandbox, tmp_path: Path, grace: float) -> None:
    """A batch in a background task stops; its calls in flight finish in the grace period, or are listed."""

    def on_event(event: Event) -> None:
        if isinstance(event, BatchStopped) and grace:
            sandbox.release()

    client = Ideogram(CANARY, base_url=sandbox.url)
    sandbox.hold()
    app = FastAPI(lifespan=partial(lifespan, client=client, grace=grace))
    async with serving(app):
        running = asyncio.create_task(client.run_batch(make_jobs(30), tmp_path, on_event=on_event))
        await sandbox.wait_for_requests(10)

    sandbox.release()
    report = await running
    await sandbox.wait_idle()

    assert {JobState.DONE if grace else JobState.AMBIGUOUS: 10} == report.by_state
    assert (10, "the client was closed") == (len(sandbox.ledger.entries), report.stopped)


async def test_servers_keep_signal_handlers() -> None:
    """Two overlapping servers of a test leave the signal handlers unchanged."""
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    async with AsyncExitStack() as second, serving(Starlette()):
        await second.enter_async_context(serving(Starlette()))

    assert before == (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT))


@pytest.mark.parametrize("workers", [2, 5])
async def test_workers_with_shares(sandbox: Sandbox, workers: int) -> None:
    """Workers with equal shares of the limit use all slots of the account without a 429."""
    apps = [
        FastAPI(lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=sandbox.url, max_in_flight=10 // workers)))
        for _ in range(workers)
    ]
    sandbox.hold()
    async with asyncio.TaskGroup() as group:
        for app in apps:
            app.get("/fox")(fox)
            group.create_task(_request_foxes(app, 40 // workers, sandbox))

        await sandbox.wait_for_requests(10)
        sandbox.release()

    assert (40, 10) == (sandbox.ledger.billed_images, sandbox.peak_in_flight)
    assert 0 == sum(app.state.ideogram.limiter.statistics().rejected for app in apps)


async def _request_foxes(app: FastAPI, count: int, sandbox: Sandbox) -> None:
    async with serving(app) as url:
        await asyncio.gather(*(get_json(f"{url}/fox") for _ in range(count)))


async def test_workers_with_too_large_shares(sandbox: Sandbox) -> None:
    """Workers that each use the whole limit get 429s; all images are generated, and billed once."""
    clients = [Ideogram(CANARY, base_url=sandbox.url, limiter=fast_limiter()) for _ in range(2)]
    apps = [FastAPI(lifespan=partial(lifespan, client=client)) for client in clients]
    for app in apps:
        app.get("/fox")(fox)

    sandbox.hold()
    async with asyncio.TaskGroup() as group:
        for app in apps:
            group.create_task(_request_foxes(app, 15, sandbox))

        await sandbox.wait_for_requests(11)
        sandbox.release()

    assert 30 == sandbox.ledger.billed_images
    assert sum(client.limiter.statistics().rejected for client in clients) > 0
