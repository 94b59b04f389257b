"""A sandbox in a thread of its own, for code that has no event loop or several."""

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
def running_in_thread(sandbox: Sandbox) -> Generator[Sandbox]:
    """Run a sandbox in a thread with its own event loop; leaving the block closes it.

    Raises:
        ImportError: If Pillow is not installed.
        OSError: If the port is in use.
    """
    started: Future[Callable[[], object]] = Future()
    thread = threading.Thread(target=_serve, args=(sandbox, started), name="ideogram-sandbox", daemon=True)
    thread.start()
    try:
        stop = started.result()
        try:
            yield sandbox
        finally:
            stop()
    finally:
        thread.join()


def _serve(sandbox: Sandbox, started: Future[Callable[[], object]]) -> None:
    try:
        asyncio.run(_run(sandbox, started))
    except Exception as error:
        if started.done():
            raise

        started.set_exception(error)


async def _run(sandbox: Sandbox, started: Future[Callable[[], object]]) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with sandbox:
        started.set_result(partial(loop.call_soon_threadsafe, stopping.set))
        await stopping.wait()
