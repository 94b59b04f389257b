"""Program that runs a batch until a signal interrupts it.

    python interrupted_program.py URL FOLDER PLACE

The place is where the batch runs: see `PLACES`. It prints `stopped` when the batch stops, and exits with 130.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette

from ideogram_async import Generate, Ideogram, Job
from ideogram_async._transport import tasks
from ideogram_async.events import BatchStopped, Event
from ideogram_async.integrations.fastapi import lifespan

JOBS = [Job(Generate(f"fox {n}", seed=n), id=f"fox-{n}") for n in range(30)]


def on_event(event: Event) -> None:
    if isinstance(event, BatchStopped):
        # Later: a second signal interrupts the event loop, and not this function.
        asyncio.get_running_loop().call_later(0.05, print_stopped)


def print_stopped() -> None:
    sys.stdout.write("stopped\n")
    sys.stdout.flush()


async def run(client: Ideogram, folder: Path) -> None:
    async with client.batch(JOBS, folder, on_event=on_event) as batch:
        async for _ in batch:
            pass


async def in_the_main_task(client: Ideogram, folder: Path) -> None:
    async with client:
        await run(client, folder)


async def in_a_background_task(client: Ideogram, folder: Path) -> None:
    async with client:
        task = asyncio.create_task(run(client, folder))
        await asyncio.Event().wait()
        await task


async def without_a_block_of_the_client(client: Ideogram, folder: Path) -> None:
    task = asyncio.create_task(run(client, folder))
    await asyncio.Event().wait()
    await task


async def with_eager_tasks(client: Ideogram, folder: Path) -> None:
    factory = getattr(asyncio, "eager_task_factory", None)  # since Python 3.12
    asyncio.get_running_loop().set_task_factory(factory)
    await without_a_block_of_the_client(client, folder)


async def with_a_client_in_a_background_task(client: Ideogram, folder: Path) -> None:
    task = asyncio.create_task(in_the_main_task(client, folder))
    await asyncio.Event().wait()
    await task


async def in_a_block_that_is_never_left(client: Ideogram, folder: Path) -> None:
    await client.batch(JOBS, folder, on_event=on_event).__aenter__()
    await asyncio.Event().wait()


async def with_listed_tasks(client: Ideogram, folder: Path) -> None:
    """Run a batch as on an interpreter that cannot keep its tasks from `asyncio.run`."""
    tasks._unregister = lambda _: None
    await without_a_block_of_the_client(client, folder)


PLACES: dict[str, Callable[[Ideogram, Path], Awaitable[None]]] = {
    work.__name__: work
    for work in (
        in_the_main_task,
        in_a_background_task,
        without_a_block_of_the_client,
        with_eager_tasks,
        with_a_client_in_a_background_task,
        in_a_block_that_is_never_left,
    )
}


def run_cell(work: Coroutine[Any, Any, None]) -> None:
    """Run a cell as a notebook does: its event loop outlives the cell, and each interrupt cancels the cell's task."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(work)
    signal.signal(signal.SIGINT, lambda *_: loop.call_soon_threadsafe(task.cancel))
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(task)

    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()
    raise KeyboardInterrupt


def run_app(client: Ideogram, folder: Path) -> None:
    """Serve an app that runs a batch in the background."""

    @asynccontextmanager
    async def own_lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with lifespan(app, client):
            app.state.task = asyncio.create_task(run(client, folder))
            yield

    uvicorn.run(Starlette(lifespan=own_lifespan), port=0, log_config=None)
    raise KeyboardInterrupt  # which uvicorn suppresses


def main() -> None:
    url, folder, place = sys.argv[1:]
    client = Ideogram("sandbox", base_url=url)
    try:
        if place == "with_listed_tasks":
            asyncio.run(with_listed_tasks(client, Path(folder)))
        elif place == "in_a_notebook":
            run_cell(in_the_main_task(client, Path(folder)))
        elif place == "in_an_app":
            run_app(client, Path(folder))
        else:
            asyncio.run(PLACES[place](client, Path(folder)))  # type: ignore[arg-type]
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
