"""Images kept as durably as ours, by a loop written by hand over aiohttp: what `durable.py` compares ours with.

It keeps what ours keeps: SENDING is committed before the call, the answer before it is read, the image is hashed, grows
under another name, is synced and linked, its folder synced, and that is committed. SQLite and files have a thread each.
It takes a checksum for our check of the image, and leaves its images in the system's memory, as such a loop would. It
has no limiter, no retries, no types and no events, holds whole images in memory, and loses count when it is cancelled.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, FormData, TCPConnector
from harness import gather

__all__ = ["durable_loop"]

SCHEMA = """
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE job (number INTEGER PRIMARY KEY, state TEXT, raw BLOB, sha256 TEXT, crc32 INTEGER);
"""


async def durable_loop(address: str, seconds: list[str], folder: Path, *, in_flight: int) -> None:
    """Generate, download and keep an image for each of these times."""
    loop = asyncio.get_running_loop()
    downloads = asyncio.Semaphore(16)
    database = sqlite3.connect(folder / "journal.sqlite3", isolation_level=None, check_same_thread=False)
    database.executescript(SCHEMA)
    clerk, packer = ThreadPoolExecutor(1), ThreadPoolExecutor(4)

    def on_record(words: str, *values: object) -> asyncio.Future[Any]:
        return loop.run_in_executor(clerk, database.execute, words, values)

    async with (
        ClientSession(connector=TCPConnector(force_close=True, limit=0)) as api,
        ClientSession(connector=TCPConnector(limit=16)) as images,
        asyncio.TaskGroup() as tasks,
    ):

        async def download(number: int, link: str) -> None:
            async with downloads, images.get(link) as response:
                image, checksum = bytearray(), 0
                async for chunk in response.content.iter_chunked(2**16):
                    checksum = zlib.crc32(chunk, checksum)
                    image += chunk

            digest = await loop.run_in_executor(packer, store, folder, f"{number}.png", image)
            words = "UPDATE job SET state = 'done', sha256 = ?, crc32 = ? WHERE number = ?"
            await on_record(words, digest, checksum, number)

        async def call(number: int) -> None:
            form = FormData({"prompt": seconds[number]}, default_to_multipart=True)
            await on_record("INSERT INTO job VALUES (?, 'sending', NULL, NULL, NULL)", number)
            async with api.post(address, data=form) as response:
                raw = await response.read()
                answer = await response.json()

            await on_record("UPDATE job SET state = 'answered', raw = ? WHERE number = ?", raw, number)
            tasks.create_task(download(number, answer["data"][0]["url"]))

        await gather(in_flight, len(seconds), call)

    close(database, clerk, packer)


def store(folder: Path, name: str, image: bytearray) -> str:
    """Let an image appear whole, or not at all, and return its hash."""
    part = folder / f".{name}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(handle, image)
    os.fsync(handle)
    os.close(handle)
    os.link(part, folder / name)
    part.unlink()
    place = os.open(folder, os.O_RDONLY)
    os.fsync(place)
    os.close(place)
    return hashlib.sha256(image).hexdigest()


def close(database: sqlite3.Connection, *pools: ThreadPoolExecutor) -> None:
    """End the threads, then the database."""
    for pool in pools:
        pool.shutdown()

    database.close()
