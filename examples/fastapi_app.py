"""Image studio for the browser: a prompt, images as they arrive, and bulk runs with live progress.

python examples/fastapi_app.py --sandbox     costs nothing
python examples/fastapi_app.py               needs IDEOGRAM_API_KEY and costs money

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
SHUTDOWN_TIMEOUT = 30.0
"""Seconds that bulk runs get to finish when the app shuts down."""

Client = Annotated[Ideogram, Depends(get_client)]


class BulkRun:
    """A bulk run and the events that it has published. A browser that reconnects receives those it missed."""

    def __init__(self, client: Ideogram, jobs: list[Job], folder: Path, budget: Decimal) -> None:
        self.folder = folder
        self.image_names: set[str] = set()
        self._jobs = len(jobs)
        self._batch = client.batch(jobs, folder, max_cost_usd=budget, on_event=self._on_event)
        self._started = 0
        self._events: list[str] = []
        self._is_finished = False
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Run the batch to its end and publish its progress."""
        self._publish("run_started", jobs=self._jobs)
        try:
            self._publish("run_finished", report=str(await self._run_batch()))
        except Exception as error:
            self._publish("run_finished", report=f"The run failed: {error}")
            raise
        finally:
            self._is_finished = True

    def stop(self) -> None:
        """Send nothing new. Calls in flight finish."""
        self._batch.stop("the app is shutting down")

    async def events(self, last_id: int) -> AsyncIterator[str]:
        """Yield the events after `last_id`, then new ones as they are published."""
        while True:
            changed = self._changed
            while last_id < len(self._events):
                last_id += 1
                yield f"id: {last_id}\n{self._events[last_id - 1]}"

            if self._is_finished:
                return

            await changed.wait()

    async def _run_batch(self) -> Report:
        async with self._batch as batch:
            finished = 0
            async for result in batch:
                finished += 1
                spent = str(batch.report().spent_usd)
                self._publish("job_finished", finished=finished, spent=spent, **self._describe(result))

        return batch.report()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, JobStarted):
            self._started += 1
            self._publish("job_started", job=event.job_id, started=self._started)

    def _publish(self, name: str, **fields: Any) -> None:
        self._events.append(f"event: {name}\ndata: {json.dumps(fields)}\n\n")
        self._changed.set()
        self._changed = asyncio.Event()

    def _describe(self, result: JobResult) -> dict[str, Any]:
        captions = {image.path.name: image.prompt for image in result.images if image.path}
        self.image_names.update(captions)
        images = [{"url": f"/runs/{self.folder.name}/{name}", "caption": text} for name, text in captions.items()]
        return {"job": result.id, "state": result.state, "images": images}


class Studio:
    """State of the app: the images of single calls, and the bulk runs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.images: dict[str, ImageGenerationObjectV3] = {}
        self.runs: dict[str, BulkRun] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def keep_images(self, call: RunningCall[ImageGenerationResponseV3]) -> None:
        """Keep the images of a finished call, also after its browser has disconnected."""
        if call.error is None:
            self.images.update({image_id(image): image for image in call.result()})

    def start_run(self, client: Ideogram, prompts: list[str], budget: Decimal) -> str:
        """Start a bulk run and return its id."""
        name = uuid4().hex[:8]
        jobs = [Job(Generate(prompt, rendering_speed="TURBO"), id=f"row-{n}") for n, prompt in enumerate(prompts, 1)]
        self.runs[name] = BulkRun(client, jobs, self.folder / name, budget)
        task = asyncio.create_task(self.runs[name].run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return name

    async def aclose(self) -> None:
        """Stop all runs and wait for their calls in flight."""
        for run in self.runs.values():
            run.stop()

        if self._tasks:
            _, unfinished = await asyncio.wait(self._tasks, timeout=SHUTDOWN_TIMEOUT)
            for task in unfinished:
                task.cancel()


def image_id(image: ImageGenerationObjectV3) -> str:
    """Return the last part of an image's link without its extension."""
    return Path((image.url or "").partition("?")[0]).stem


async def get_studio(request: Request) -> Studio:
    """Return the state of the app."""
    studio: Studio = request.state.studio
    return studio


def create_app(client: Ideogram, folder: Path, badge: str = "") -> FastAPI:
    """Create the app. It closes the client when it shuts down."""

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
        return HTMLResponse(PAGE.read_text(encoding="utf-8").replace("{{badge}}", badge))

    app.post("/images")(draw)
    app.get("/images/{name}")(image_by_name)
    app.post("/runs")(start_run)
    app.get("/runs/{run}/events")(watch)
    app.get("/runs/{run}/{name}")(stored_image)
    return app


async def draw(
    num_images: Annotated[int, Form()],
    rendering_speed: Annotated[str, Form()],
    client: Client,
    studio: Annotated[Studio, Depends(get_studio)],
    prompt: Annotated[str, Form()] = "",
    image: UploadFile | None = None,
) -> Any:
    """Generate images from a prompt, or remix an uploaded image."""
    fields: dict[str, Any] = {"num_images": num_images, "rendering_speed": rendering_speed}
    request = Generate(prompt, **fields) if image is None else Remix(image, prompt, **fields)
    call = await client.start(request, on_done=studio.keep_images)
    images = [{"url": f"/images/{image_id(image)}", "caption": image.prompt} for image in await call if image.url]
    return {"images": images}


async def image_by_name(name: str, client: Client, studio: Annotated[Studio, Depends(get_studio)]) -> Any:
    """Stream an image to the browser."""
    if name not in studio.images:
        raise HTTPException(404)

    return image_response(client, studio.images[name])


async def start_run(
    prompts: Annotated[str, Form()],
    budget: Annotated[Decimal, Form(gt=0)],
    client: Client,
    studio: Annotated[Studio, Depends(get_studio)],
) -> Any:
    """Start a bulk run with one prompt per line."""
    lines = [line.strip() for line in prompts.splitlines() if line.strip()]
    return {"url": f"/runs/{studio.start_run(client, lines, budget)}"}


async def watch(
    run: str,
    studio: Annotated[Studio, Depends(get_studio)],
    last_event_id: Annotated[int, Header()] = 0,
) -> StreamingResponse:
    """Stream the events of a run (server-sent events). A browser that reconnects sends the id of its last event."""
    if run not in studio.runs:
        raise HTTPException(404)

    events = studio.runs[run].events(last_event_id)
    return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})


def stored_image(run: str, name: str, studio: Annotated[Studio, Depends(get_studio)]) -> FileResponse:
    """Return a stored image of a run."""
    if run not in studio.runs or name not in studio.runs[run].image_names:
        raise HTTPException(404)

    return FileResponse(studio.runs[run].folder / name)


def main(argv: Sequence[str] | None = None) -> None:
    """Serve the app until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sandbox", action="store_true", help="use a local sandbox, which bills nothing")
    parser.add_argument("--port", type=int, default=8000, help="0 selects a free port")
    parser.add_argument("--folder", type=Path, help="folder for bulk runs (default: a new temporary folder)")
    options = parser.parse_args(argv)
    folder = options.folder or Path(mkdtemp(prefix="studio-"))
    with running_in_thread(Sandbox(latency=(0.3, 1.5))) if options.sandbox else nullcontext() as box:
        client = Ideogram("sandbox", base_url=box.url) if box else Ideogram()
        listener = socket.create_server(("127.0.0.1", options.port))
        print(f"Open http://127.0.0.1:{listener.getsockname()[1]} (Ctrl-C to stop)", flush=True)
        app = create_app(client, folder, "sandbox: costs nothing" if box else "live: every image is billed")
        # An open event stream would otherwise keep the server from shutting down.
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
        # After its shutdown, uvicorn raises the signal again.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])

        if box:
            duplicates = len(box.ledger.duplicates)
            print(f"The sandbox billed {box.ledger.billed_images} images, {duplicates} calls twice.", flush=True)


if __name__ == "__main__":
    main()
