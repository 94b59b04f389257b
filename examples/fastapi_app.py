"""A small studio in a browser: a prompt, images as they come, and bulk runs to watch.

python examples/fastapi_app.py --sandbox     buys nothing
python examples/fastapi_app.py               needs IDEOGRAM_API_KEY, and buys

It needs the extras `fastapi` and `sandbox`, and uvicorn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext, suppress
from decimal import Decimal
from pathlib import Path
from tempfile import mkdtemp
from typing import Annotated, Any
from uuid import uuid4

import uvicorn
from fastapi import Depends, FastAPI, Form, Header, HTTPException, Request, UploadFile
from fastapi.responses import FileResponse, HTMLResponse, StreamingResponse

from ideogram_async import (
    Generate,
    Ideogram,
    ImageGenerationObjectV3,
    ImageGenerationResponseV3,
    Job,
    JobResult,
    JobStarted,
    Remix,
    Report,
    RunningCall,
)
from ideogram_async.events import Event
from ideogram_async.integrations.fastapi import get_client, image_response, install_error_handlers, lifespan
from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox.thread import running_in_thread

PAGE = Path(__file__).with_suffix(".html")
PATIENCE = 30.0
"""Seconds that runs have to end when the app ends."""

Client = Annotated[Ideogram, Depends(get_client)]


class Run:
    """A bulk run, and everything that was told of it: whoever comes later, or again, hears it from where they were."""

    def __init__(self, jobs: list[Job], folder: Path, budget: Decimal) -> None:
        self.jobs = jobs
        self.folder = folder
        self.budget = budget
        self.is_leaving = False
        self._told: list[str] = []
        self._is_over = False
        self._news = asyncio.Event()
        self._started = 0

    async def go(self, client: Ideogram) -> None:
        """Run it to its end, or until the app ends: the folder then knows how far it came."""
        self._tell("begun", jobs=len(self.jobs))
        try:
            self._tell("done", report=str(await self._done(client)))
        except Exception as error:
            self._tell("done", report=f"The run failed: {error}")
            raise
        finally:
            self._is_over = True

    async def events(self, heard: int) -> AsyncIterator[str]:
        """Give what was told after so many events, and then what is told, as it is."""
        while True:
            news = self._news
            while heard < len(self._told):
                heard += 1
                yield f"id: {heard}\n{self._told[heard - 1]}"

            if self._is_over:
                return

            await news.wait()

    async def _done(self, client: Ideogram) -> Report:
        async with client.batch(self.jobs, self.folder, max_cost_usd=self.budget, on_event=self._hear) as batch:
            settled = 0
            async for result in batch:
                settled += 1
                self._tell("settled", settled=settled, spent=str(batch.report().spent_usd), **self._shown(result))
                if self.is_leaving:
                    break

        return batch.report()

    def _hear(self, event: Event) -> None:
        if isinstance(event, JobStarted):
            self._started += 1
            self._tell("started", job=event.job_id, started=self._started)

    def _tell(self, name: str, **facts: Any) -> None:
        self._told.append(f"event: {name}\ndata: {json.dumps(facts)}\n\n")
        self._news.set()
        self._news = asyncio.Event()

    def _shown(self, result: JobResult) -> dict[str, Any]:
        names = [image.path.name for image in result.images if image.path]
        images = [{"address": f"/runs/{self.folder.name}/{name}", "caption": result.request.prompt} for name in names]
        return {"job": result.id, "state": result.state, "images": images}


class Studio:
    """What the app remembers while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: dict[str, ImageGenerationObjectV3] = {}
        self.runs: dict[str, Run] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def keep(self, call: RunningCall[ImageGenerationResponseV3]) -> None:
        """Keep the images of a call that has ended, also when the browser has left."""
        if call.error is None:
            self.images.update({image_id(image): image for image in call.result()})

    def begin(self, client: Ideogram, prompts: list[str], budget: Decimal) -> str:
        """Begin a run, and return its id."""
        name = uuid4().hex[:8]
        jobs = [Job(Generate(prompt, rendering_speed="TURBO"), id=f"row-{n}") for n, prompt in enumerate(prompts, 1)]
        self.runs[name] = Run(jobs, self.folder / name, budget)
        task = asyncio.create_task(self.runs[name].go(client))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return name

    async def aclose(self) -> None:
        """Send nothing more, and wait for what is on its way."""
        for run in self.runs.values():
            run.is_leaving = True

        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=PATIENCE)
            for task in late:
                task.cancel()


def image_id(image: ImageGenerationObjectV3) -> str:
    """Name an image by the last part of its link."""
    return Path((image.url or "").partition("?")[0]).stem


async def get_studio(request: Request) -> Studio:
    """Find the studio of the app."""
    studio: Studio = request.state.studio
    return studio


def create_app(client: Ideogram, folder: Path, place: str = "") -> FastAPI:
    """Make the app. The client is owned by it: closed when the app ends."""

    @asynccontextmanager
    async def own_lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
        async with lifespan(app, client) as state:
            studio = Studio(folder)
            try:
                yield {**state, "studio": studio}
            finally:
                await studio.aclose()

    app = FastAPI(lifespan=own_lifespan)
    install_error_handlers(app)

    @app.get("/")
    @app.get("/runs/{run}")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE.read_text(encoding="utf-8").replace("{{place}}", place))

    app.post("/images")(draw)
    app.get("/images/{name}")(show)
    app.post("/runs")(begin)
    app.get("/runs/{run}/events")(watch)
    app.get("/runs/{run}/{name}")(stored)
    return app


async def draw(
    num_images: Annotated[int, Form()],
    rendering_speed: Annotated[str, Form()],
    client: Client,
    studio: Annotated[Studio, Depends(get_studio)],
    prompt: Annotated[str, Form()] = "",
    image: UploadFile | None = None,
) -> Any:
    """Draw, from a prompt alone or from an image that came with it."""
    fields: dict[str, Any] = {"num_images": num_images, "rendering_speed": rendering_speed}
    request = Generate(prompt, **fields) if image is None else Remix(image, prompt, **fields)
    call = await client.start(request, on_done=studio.keep)
    made = [{"address": f"/images/{image_id(image)}", "caption": image.prompt} for image in await call if image.url]
    return {"images": made}


async def show(name: str, client: Client, studio: Annotated[Studio, Depends(get_studio)]) -> Any:
    """Pass an image on to the browser."""
    if name not in studio.images:
        raise HTTPException(404)

    return image_response(client, studio.images[name])


async def begin(
    prompts: Annotated[str, Form()],
    budget: Annotated[Decimal, Form()],
    client: Client,
    studio: Annotated[Studio, Depends(get_studio)],
) -> Any:
    """Begin a bulk run with one prompt a line."""
    lines = [line.strip() for line in prompts.splitlines() if line.strip()]
    return {"address": f"/runs/{studio.begin(client, lines, budget)}"}


async def watch(
    run: str,
    studio: Annotated[Studio, Depends(get_studio)],
    last_event_id: Annotated[int, Header()] = 0,
) -> StreamingResponse:
    """Tell what happens in a run while it happens (server-sent events). A browser that lost the line comes again."""
    if run not in studio.runs:
        raise HTTPException(404)

    events = studio.runs[run].events(last_event_id)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def stored(run: str, name: str, studio: Annotated[Studio, Depends(get_studio)]) -> FileResponse:
    """Give an image of a run, which is on disk."""
    known = run in studio.runs and name in {path.name for path in studio.runs[run].folder.iterdir() if path.is_file()}
    if not known:
        raise HTTPException(404)

    return FileResponse(studio.runs[run].folder / name)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the app until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sandbox", action="store_true", help="use a local sandbox, which costs nothing")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--folder", type=Path, help="where bulk runs go (default: a new temporary folder)")
    options = parser.parse_args(argv)
    folder = options.folder or Path(mkdtemp(prefix="studio-"))
    with running_in_thread(Sandbox(latency=(0.3, 1.5))) if options.sandbox else nullcontext() as box:
        client = Ideogram("sandbox", base_url=box.url) if box else Ideogram()
        listener = socket.create_server(("127.0.0.1", options.port))
        print(f"Open http://127.0.0.1:{listener.getsockname()[1]} (Ctrl-C ends it)", flush=True)
        app = create_app(client, folder, "sandbox: costs nothing" if box else "live: every image is paid for")
        # A page that watches a run would keep the server from ending.
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
        # Once it has ended, uvicorn raises the signal that ended it again.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])

        if box:
            said = f"{box.ledger.billed_images} images; {len(box.ledger.duplicates)} calls were like an earlier one"
            print(f"The sandbox billed {said}.", flush=True)


if __name__ == "__main__":
    main()
