"""A batch behind a button: start it, watch it from any worker, stop it, and resume it after a crash or a deployment.

python -m ideogram_async sandbox --port 8700 &
export IDEOGRAM_API_KEY=sandbox IDEOGRAM_BASE_URL=http://127.0.0.1:8700 WEB_CONCURRENCY=2
uvicorn fastapi_batch:app --app-dir examples

It needs the extras `fastapi` and `sandbox`, and uvicorn. Without the address of the sandbox it costs money. The workers
share the folder of the batches, which `BATCHES` names, on a local disk.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from fastapi import Depends, FastAPI, Form, HTTPException, UploadFile
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse, HTMLResponse

from ideogram_async import (
    BatchError,
    BatchLockedError,
    Generate,
    Ideogram,
    InvalidRequestError,
    Job,
    JobState,
    NotSentError,
)
from ideogram_async.batch import Folder
from ideogram_async.integrations.fastapi import install_error_handlers, lifespan

ROOT = Path(os.environ.get("BATCHES", "batches"))
INPUT = "input.json"
"""File with the prompts and the budget of a batch, written before the batch is accepted."""
ENDED = "ended.txt"
"""File with the reason why a batch ended, or should end. Some worker runs each batch without it."""
STOPPED = "stopped by a user"
SCAN_SECONDS = 1.0
GRACE = 60.0
"""Seconds that calls in flight have to finish at a shutdown."""
PAGE = Path(__file__).with_suffix(".html")
FINISHED = (JobState.DONE, JobState.PARTIAL, JobState.REJECTED, JobState.AMBIGUOUS)

# The service limits the account, so each worker takes its share.
client = Ideogram(max_in_flight=max(1, 10 // int(os.environ.get("WEB_CONCURRENCY", "1"))))


def make_jobs(prompts: list[str]) -> list[Job]:
    """Return the jobs of a batch, always with the same ids: the journal finds them by id."""
    return [Job(Generate(prompt, rendering_speed="TURBO"), id=f"row-{n}") for n, prompt in enumerate(prompts, 1)]


async def run_batch(folder: Path, shutdown: asyncio.Event) -> None:
    """Run or resume a batch to its end. Do nothing if another worker runs it, or this one shuts down."""
    if shutdown.is_set():
        return

    saved = json.loads((folder / INPUT).read_text())
    try:
        async with client.batch(make_jobs(saved["prompts"]), folder, max_cost_usd=saved["budget"]) as batch:
            async for _ in batch:
                if (folder / ENDED).exists():
                    batch.stop(STOPPED)

        reason = batch.report().stopped or "finished"
    except (BatchLockedError, NotSentError):
        # Another worker runs it, or the client was closed before the folder was open.
        return
    except (BatchError, OSError):
        logging.getLogger(__name__).exception("the batch in %s failed", folder)
        reason = "failed, see the log of the server"

    # After a shutdown the batch is unfinished, and the next process resumes it.
    if reason != STOPPED and not shutdown.is_set():
        create_file(folder / ENDED, reason)


async def run_unfinished(shutdown: asyncio.Event) -> None:
    """Run each batch that no worker runs: new ones, and those of a worker that was killed or replaced.

    Every worker does this. A folder is locked by the process that runs its batch, and the lock ends with the process.
    """
    running: dict[Path, asyncio.Task[None]] = {}
    while not shutdown.is_set():
        for folder in await asyncio.to_thread(unfinished_folders):
            if folder not in running or running[folder].done():
                running[folder] = asyncio.create_task(run_batch(folder, shutdown))

        with suppress(TimeoutError):
            await asyncio.wait_for(shutdown.wait(), SCAN_SECONDS)

    # The client drains their batches.
    await asyncio.gather(*running.values())


def unfinished_folders() -> list[Path]:
    """Return the folders of batches that have not ended."""
    return [path.parent for path in sorted(ROOT.glob(f"*/{INPUT}")) if not (path.parent / ENDED).exists()]


@asynccontextmanager
async def own_lifespan(app: FastAPI) -> AsyncGenerator[dict[str, Any]]:
    """Run batches while the app runs, and drain them when it shuts down."""
    shutdown = asyncio.Event()
    async with asyncio.TaskGroup() as group, lifespan(app, client, grace=GRACE) as state:
        group.create_task(run_unfinished(shutdown))
        try:
            yield {**state}
        finally:
            shutdown.set()


app = FastAPI(lifespan=own_lifespan)
install_error_handlers(app)


def find_folder(batch: Annotated[str, PathParameter(pattern="^[0-9a-f]{32}$")]) -> Path:
    """Return the folder of a batch."""
    folder = ROOT / batch
    if not (folder / INPUT).exists():
        raise HTTPException(404)

    return folder


def has_begun(folder: Path) -> bool:
    """Return whether a worker has begun to run a batch."""
    return (folder / ".ideogram" / "journal.sqlite3").exists()


BatchFolder = Annotated[Path, Depends(find_folder)]


@app.get("/")
async def page() -> HTMLResponse:
    """Return the page, with an id for the next batch: a form that is sent twice starts one batch."""
    html = PAGE.read_text(encoding="utf-8").replace("{{id}}", uuid4().hex)
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


@app.post("/batches", status_code=202)
async def start(
    batch: Annotated[str, Form(pattern="^[0-9a-f]{32}$")],
    budget: Annotated[Decimal, Form(gt=0)],
    prompts: Annotated[str, Form()] = "",
    file: UploadFile | None = None,
) -> dict[str, str]:
    """Accept a batch with one prompt per line."""
    try:
        text = prompts if file is None else (await file.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidRequestError([("file", "must be a text file in UTF-8")]) from None

    lines = [line.strip() for line in text.splitlines() if line.strip()]
    plan = await client.plan(make_jobs(lines))
    if plan.problems or not lines:
        problems = [(f"prompt {index + 1}", rule) for index, _, rule in plan.problems]
        raise InvalidRequestError(problems or [("prompts", "must not be empty")])

    content = json.dumps({"prompts": lines, "budget": str(budget)})
    (ROOT / batch).mkdir(parents=True, exist_ok=True)
    create_file(ROOT / batch / INPUT, content)
    if (ROOT / batch / INPUT).read_text() != content:
        raise HTTPException(409, "this id belongs to another batch")

    return {"batch": batch}


def create_file(path: Path, text: str) -> None:
    """Create a file unless it exists. Other workers see all of it or none."""
    part = path.with_name(f".{uuid4().hex}")
    part.write_text(text)
    with suppress(FileExistsError):
        path.hardlink_to(part)

    part.unlink()


@app.get("/batches/{batch}")
def progress(folder: BatchFolder) -> dict[str, Any]:
    """Return the progress of a batch, which this or another worker runs."""
    total = len(json.loads((folder / INPUT).read_text())["prompts"])
    ended = (folder / ENDED).read_text() if (folder / ENDED).exists() else None
    if not has_begun(folder):
        return {"total": total, "finished": 0, "ended": ended}

    report = Folder(folder).report()
    return {
        "total": total,
        "finished": sum(report.by_state.get(state, 0) for state in FINISHED),
        "images": report.images_stored,
        "not_downloaded": report.images_linked,
        "rejected": report.by_state.get(JobState.REJECTED, 0),
        "spent_usd": str(report.spent_usd),
        "in_doubt_usd": str(report.in_doubt_usd),
        "ended": ended,
    }


@app.get("/batches/{batch}/images")
def list_images(folder: BatchFolder, limit: int = 200) -> list[dict[str, str | None]]:
    """Return the stored images, in the order of the prompts."""
    if not has_begun(folder):
        return []

    images = (image for result in Folder(folder).results() for image in result.images if image.path)
    return [
        {"url": f"/batches/{folder.name}/images/{image.path.name}", "caption": image.prompt}
        for image in islice(images, limit)
        if image.path
    ]


@app.get("/batches/{batch}/images/{name}")
def image(folder: BatchFolder, name: Annotated[str, PathParameter(pattern=r"^\w[\w-]*\.(png|jpg|webp)$")]) -> Any:
    """Return a stored image."""
    if not (folder / name).exists():
        raise HTTPException(404)

    return FileResponse(folder / name, headers={"Cache-Control": "private, max-age=86400"})


@app.get("/batches/{batch}/results.csv")
def table(folder: BatchFolder) -> FileResponse:
    """Return a table of all jobs and images."""
    if not has_begun(folder):
        raise HTTPException(404)

    return FileResponse(Folder(folder).export_csv(folder / "results.csv"), filename=f"{folder.name}.csv")


@app.post("/batches/{batch}/stop", status_code=204, response_model=None)
def stop(folder: BatchFolder) -> None:
    """Stop a batch, whichever worker runs it. Its calls in flight finish."""
    create_file(folder / ENDED, STOPPED)


@app.post("/batches/{batch}/resume", status_code=204, response_model=None)
def resume(folder: BatchFolder) -> None:
    """Let a worker resume a batch that has ended early."""
    (folder / ENDED).unlink(missing_ok=True)
