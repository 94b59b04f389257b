"""The example of a batch behind a button, run by uvicorn with one or two workers that are terminated and killed."""

from __future__ import annotations

import asyncio
import json
import os
import re
import runpy
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.browser import browsing
from support.clients import CANARY
from support.paths import ROOT

from ideogram_async.sandbox import Sandbox

pytestmark = pytest.mark.programs

ID = "0" * 32
TIMEOUT = 60
"""Seconds after which a test has hung."""
JOBS = 24
WARNING = re.compile(r"Warning|Traceback|ERROR|CRITICAL|was destroyed|never retrieved|never awaited|Unclosed")


class Site:
    """The running app, as a browser sees it."""

    def __init__(self, url: str, process: asyncio.subprocess.Process) -> None:
        self.url = url
        self.process = process
        self.log: list[str] = []

    async def post(self, path: str, **form: str) -> tuple[int, Any]:
        """Send a form over a new connection, which any worker may accept."""
        async with aiohttp.ClientSession(self.url) as http, http.post(path, data=form) as response:
            return response.status, await response.json(content_type=None) if response.status != 204 else None

    async def get(self, path: str) -> tuple[int, Any]:
        """Return a status and the body."""
        async with aiohttp.ClientSession(self.url) as http, http.get(path) as response:
            is_json = "json" in response.headers["Content-Type"]
            return response.status, await response.json() if is_json else await response.read()

    async def start(self, jobs: int = JOBS, budget: str = "9") -> None:
        """Start a batch."""
        prompts = "\n".join(f"fox {number}" for number in range(jobs))
        assert (202, {"batch": ID}) == await self.post("/batches", batch=ID, prompts=prompts, budget=budget)

    async def until_ended(self) -> dict[str, Any]:
        """Return the progress once the batch has ended."""
        while True:
            _, progress = await self.get(f"/batches/{ID}")
            if progress["ended"] is not None:
                return progress

            await asyncio.sleep(0.05)

    async def until_logged(self, text: str) -> None:
        """Wait for a line of the server's log."""
        assert self.process.stderr is not None
        while not any(text in line for line in self.log):
            line = await self.process.stderr.readline()
            assert line, self.log
            self.log.append(line.decode())

    async def terminate(self, release: Sandbox | None = None) -> list[str]:
        """End the app with SIGTERM and return the warnings of its log. Calls are held until it shuts down."""
        self.process.terminate()
        if release:
            await self.until_logged("Waiting for application shutdown")
            release.release()

        _, output = await self.process.communicate()
        # A single worker ends with the signal, which uvicorn raises again.
        assert self.process.returncode in (0, -signal.SIGTERM)
        return [line for line in [*self.log, *output.decode().splitlines()] if WARNING.search(line)]


@asynccontextmanager
async def site(sandbox: Sandbox, folder: Path, *, workers: int = 1) -> AsyncGenerator[Site]:
    """Run the app with its batches in a folder."""
    settings = {"IDEOGRAM_BASE_URL": sandbox.url, "IDEOGRAM_API_KEY": CANARY, "BATCHES": str(folder)}
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "fastapi_batch:app", "--app-dir", str(ROOT / "examples")),
            *("--fd", str(listener.fileno()), "--lifespan", "on"),
            env=os.environ | settings | {"WEB_CONCURRENCY": str(workers)},
            stderr=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(TIMEOUT):
                yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", process)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                _, output = await process.communicate()
                sys.stderr.write(output.decode())


def owner_of(folder: Path) -> int:
    """Return the process that runs the batch."""
    match = re.match(r"process (\d+) on", (folder / ID / ".ideogram" / "lock").read_text())
    assert match
    return int(match[1])


async def test_a_batch_from_start_to_end(sandbox: Sandbox, tmp_path: Path) -> None:
    """A form that is sent twice starts one batch, whose progress, images and table are available."""
    async with site(sandbox, tmp_path) as app:
        refused = await app.post("/batches", batch=ID, prompts=" ", budget="1")
        await app.start(jobs=4)
        await app.start(jobs=4)
        conflict, _ = await app.post("/batches", batch=ID, prompts="another", budget="9")
        await app.until_ended()
        await app.post(f"/batches/{ID}/stop")
        _, progress = await app.get(f"/batches/{ID}")
        _, images = await app.get(f"/batches/{ID}/images")
        pictures = [(await app.get(image["url"]))[1] for image in images]
        _, table = await app.get(f"/batches/{ID}/results.csv")
        hidden = [
            await app.get(f"/batches/{path}")
            for path in ("1" * 32, f"{ID}/images/input.json", f"{ID}/images/.ideogram")
        ]
        warnings = await app.terminate()

    assert (422, {"prompts": ["must not be empty"]}) == (refused[0], refused[1]["problems"])
    assert 409 == conflict
    assert {
        "total": 4,
        "finished": 4,
        "images": 4,
        "spent_usd": "0.12",
        "ended": "finished",
    }.items() <= progress.items()
    assert ["fox 0", "fox 1", "fox 2", "fox 3"] == [image["caption"] for image in images]
    assert {b"\x89PNG"} == {picture[:4] for picture in pictures}
    assert 5 == len(table.decode().splitlines())
    assert not [status for status, _ in hidden if status == 200]
    assert (4, [], []) == (sandbox.ledger.billed_images, sandbox.ledger.duplicates, warnings)


@pytest.mark.parametrize("workers", [1, 2])
async def test_sigterm_drains_and_the_next_start_resumes(sandbox: Sandbox, tmp_path: Path, workers: int) -> None:
    """SIGTERM lets the calls in flight finish; the restarted app sends the rest. Nothing is in doubt or paid twice."""
    sandbox.hold()
    async with site(sandbox, tmp_path, workers=workers) as app:
        await app.start()
        await sandbox.wait_for_requests(10 // workers)
        warnings = await app.terminate(release=sandbox)

    stopped_at = len(sandbox.ledger.entries)
    async with site(sandbox, tmp_path, workers=workers) as app:
        progress = await app.until_ended()
        warnings += await app.terminate()

    assert 10 // workers <= stopped_at < JOBS
    assert (JOBS, JOBS, 0) == (progress["finished"], progress["images"], float(progress["in_doubt_usd"]))
    assert (JOBS, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)
    assert [] == warnings


@pytest.mark.parametrize("is_open", [False, True], ids=["before", "while it opens"])
async def test_a_shutdown_as_a_batch_starts(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_open: bool
) -> None:
    """A batch that would start during a shutdown sends nothing, raises nothing, and is left to the next start."""
    for name, value in {"API_KEY": CANARY, "BASE_URL": sandbox.url}.items():
        monkeypatch.setenv(f"IDEOGRAM_{name}", value)

    app = runpy.run_path(str(ROOT / "examples" / "fastapi_batch.py"))
    (tmp_path / "input.json").write_text(json.dumps({"prompts": ["a fox"], "budget": "1"}))
    shutdown = asyncio.Event()
    task = asyncio.create_task(app["run_batch"](tmp_path, shutdown))
    if is_open:
        await asyncio.sleep(0)

    shutdown.set()
    await app["client"].aclose()
    await task

    assert ["input.json"] == [path.name for path in tmp_path.iterdir() if path.is_file()]
    assert 0 == len(sandbox.ledger.entries)


async def test_another_worker_resumes_the_batch_of_a_killed_one(sandbox: Sandbox, tmp_path: Path) -> None:
    """After SIGKILL another worker sends the rest. The calls that were in flight are listed, and not sent again."""
    sandbox.hold()
    async with site(sandbox, tmp_path, workers=2) as app:
        await app.start()
        await sandbox.wait_for_requests(5)
        os.kill(owner_of(tmp_path), signal.SIGKILL)
        sandbox.release()
        progress = await app.until_ended()

    await sandbox.wait_idle()

    assert {"finished": JOBS, "images": JOBS - 5, "in_doubt_usd": "0.15"}.items() <= progress.items()
    assert (JOBS, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_any_worker_stops_and_resumes_a_batch(sandbox: Sandbox, tmp_path: Path) -> None:
    """A stop, accepted by either worker, ends the batch after the calls in flight. It can be resumed."""
    sandbox.hold()
    async with site(sandbox, tmp_path, workers=2) as app:
        await app.start()
        await sandbox.wait_for_requests(5)
        stopped = await app.post(f"/batches/{ID}/stop")
        sandbox.release()
        await sandbox.wait_idle()
        _, progress = await app.get(f"/batches/{ID}")
        billed = len(sandbox.ledger.entries)
        await app.post(f"/batches/{ID}/resume")
        end = await app.until_ended()

    assert (204, None) == stopped
    assert "stopped by a user" == progress["ended"]
    assert 5 <= billed < JOBS
    assert (JOBS, "finished", JOBS) == (end["finished"], end["ended"], len(sandbox.ledger.entries))


async def test_a_budget_ends_a_batch(sandbox: Sandbox, tmp_path: Path) -> None:
    """A batch that its budget ends is not continued."""
    async with site(sandbox, tmp_path) as app:
        await app.start(budget="0.10")
        progress = await app.until_ended()

    assert "budget of 0.10 USD reached" in progress["ended"]
    assert 3 == len(sandbox.ledger.entries)


async def test_the_page_in_a_browser(sandbox: Sandbox, tmp_path: Path) -> None:
    """The button starts a batch; the page shows its progress and images, and so does a second page at its address."""
    async with site(sandbox, tmp_path, workers=2) as app, browsing(tmp_path / "profile") as page:
        await app.until_logged("Application startup complete")
        await page.open(app.url)
        await page.run("document.querySelector('form button').click()")
        await page.until("document.title == 'Done' && document.querySelectorAll('img').length == 4")
        count = await page.run("document.querySelector('#count').textContent")
        address = await page.run("location.href")
        await page.open("about:blank")
        await page.open(address)
        await page.until("[...document.images].filter(image => image.naturalWidth > 100).length == 4")
        facts = await page.run("document.querySelector('#facts').textContent")
        if pictures := os.environ.get("PICTURES"):
            await page.picture(Path(pictures) / "batch.png")

    assert "4 of 4" == count
    assert "4 images, 0.12 USD spent\nfinished" == facts
