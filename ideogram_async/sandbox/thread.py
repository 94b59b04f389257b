"""Run a box beside the program, for code that has no event loop or several."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial

from ideogram_async.sandbox.sandbox import Sandbox

__all__ = ["running_in_thread"]


@contextmanager
def running_in_thread(box: Sandbox) -> Generator[Sandbox]:
    """Run a box in a thread and an event loop of its own; leaving the block closes it."""
    started: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=_serve, args=(box, started), name="ideogram-sandbox", daemon=True)
    thread.start()

    try:
        leave = started.result()

        try:
            yield box
        finally:
            leave()
    finally:
        thread.join()


def _serve(box: Sandbox, started: Future[Callable[[], object]]) -> None:
    try:
        asyncio.run(_run(box, started))
    except Exception as error:
        if started.done():
            raise

        started.set_exception(error)


async def _run(box: Sandbox, started: Future[Callable[[], object]]) -> None:
    leaving = asyncio.Event()
    loop = asyncio.get_running_loop()

    async with box:
        started.set_result(partial(loop.call_soon_threadsafe, leaving.set))
        await leaving.wait()
