"""Handwritten loop over aiohttp that stores images as durably as a batch, for `durable.py`.

It commits SENDING before the call and the answer before it is parsed. It hashes the image, writes it under a temporary
name, syncs and links it, syncs the folder, and commits that. SQLite has one thread, and files have four. A checksum
replaces our verification of the image, and images stay in the page cache. The loop has no limiter, retries, types or
events, holds whole images in memory, and does not record a cancellation.
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
from harness import run_workers

SCHEMA = """
    PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
    CREATE TABLE job (number INTEGER PRIMARY KEY, state TEXT, raw BLOB, sha256 TEXT, crc32 INTEGER);
"""


async def durable_loop(url: str, seconds: list[str], folder: Path, *, in_flight: int) -> None:
    """Generate, download and store an image for each of these times."""
    loop = asyncio.get_running_loop()
    downloads = asyncio.Semaphore(16)
    database = sqlite3.connect(folder / "journal.sqlite3", isolation_level=None, check_same_thread=False)
    database.executescript(SCHEMA)
    database_thread, file_threads = ThreadPoolExecutor(1), ThreadPoolExecutor(4)

    def execute(statement: str, *values: object) -> asyncio.Future[Any]:
        return loop.run_in_executor(database_thread, database.execute, statement, values)

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

            digest = await loop.run_in_executor(file_threads, store, folder, f"{number}.png", image)
            statement = "UPDATE job SET state = 'done', sha256 = ?, crc32 = ? WHERE number = ?"
            await execute(statement, digest, checksum, number)

        async def call(number: int) -> None:
            form = FormData({"prompt": seconds[number]}, default_to_multipart=True)
            await execute("INSERT INTO job VALUES (?, 'sending', NULL, NULL, NULL)", number)
            async with api.post(url, data=form) as response:
                raw = await response.read()
                answer = await response.json()

            await execute("UPDATE job SET state = 'answered', raw = ? WHERE number = ?", raw, number)
            tasks.create_task(download(number, answer["data"][0]["url"]))

        await run_workers(in_flight, len(seconds), call)

    close(database, database_thread, file_threads)


def store(folder: Path, name: str, image: bytearray) -> str:
    """Write an image atomically, and return its hash."""
    part = folder / f".{name}.part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
    os.write(handle, image)
    os.fsync(handle)
    os.close(handle)
    os.link(part, folder / name)
    part.unlink()
    directory = os.open(folder, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    return hashlib.sha256(image).hexdigest()


def close(database: sqlite3.Connection, *pools: ThreadPoolExecutor) -> None:
    """End the threads, then close the database."""
    for pool in pools:
        pool.shutdown()

    database.close()
