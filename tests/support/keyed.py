"""Processes that buy keys, started by a server that has loaded the package already."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from ideogram_async import Generate, Ideogram, IdeogramError, Retry, v2
from support.ledgers import Store

__all__ = ["Process", "buying"]

Process = multiprocessing.process.BaseProcess
UNSAFE = "unsafe-prompt"
context = multiprocessing.get_context("forkserver")
# Modules that a process would load at its first call.
context.set_forkserver_preload(
    [
        "support.keyed",
        "ideogram_async._download.downloader",
        "ideogram_async._ledger.once",
        "ideogram_async._pipeline.pipeline",
        "ideogram_async._transport.http",
        "ideogram_async.ledger",
        "ideogram_async.v2.images",
        "psycopg_pool",
    ]
)


@contextmanager
def buying(url: str, store: Store, keys: list[str], **settings: Any) -> Iterator[tuple[Process, Connection]]:
    """Start a process that buys all keys at once, and yield it with the end of a pipe.

    It sends "started", then the outcome of each key: the link of an image, or the name of an error. A key with `unsafe`
    is refused by the service; one that begins with `v2` is of a call that the service accepts first.
    """
    results, sender = context.Pipe(duplex=False)
    process = context.Process(target=_run, args=(sender, url, store, keys, settings))
    process.start()
    sender.close()
    try:
        yield process, results
    finally:
        process.kill()
        process.join()
        process.close()
        results.close()


def _run(sender: Connection, url: str, store: Store, keys: list[str], settings: dict[str, Any]) -> None:
    # The results report a ledger that is unavailable.
    logging.disable()
    sender.send(asyncio.run(_buy_all(sender, url, store, keys, settings)))


async def _buy_all(sender: Connection, url: str, store: Store, keys: list[str], settings: dict[str, Any]) -> list[str]:
    async with Ideogram("sandbox", base_url=url, ledger=store(**settings), retry=Retry(base=0.05)) as client:
        sender.send("started")
        return await asyncio.gather(*(_buy(client, key) for key in keys))


async def _buy(client: Ideogram, key: str) -> str:
    prompt = UNSAFE if "unsafe" in key else f"picture {key}"
    request = v2.Generate46(prompt) if key.startswith("v2") else Generate(prompt)
    try:
        answer = await client.once(key, request)
    except IdeogramError as error:
        return type(error).__name__

    return str(answer.images[0].url)
