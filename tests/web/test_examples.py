"""The examples, run from the command line, and their page in a browser."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from support.browser import browsing
from support.paths import ROOT
from support.pictures import picture

pytestmark = pytest.mark.programs

EXAMPLES = ROOT / "examples"
TIMEOUT = 120
RECORD_PROGRESS = """
    window.seen = [];
    const record = () => seen.push(`${$("bar").value} of ${$("bar").max}`);
    addEventListener("DOMContentLoaded", () =>
        new MutationObserver(record).observe($("finished"), {childList: true}));
"""
"""Script that records every value of the progress bar."""


class Studio:
    """The app in its own process."""

    def __init__(self, process: asyncio.subprocess.Process, url: str) -> None:
        self.process = process
        self.url = url
        self.output = ""
        self.errors: list[str] = []

    async def end(self) -> None:
        """End it with SIGTERM, as a process manager does, and read its output."""
        self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(TIMEOUT):
            output, errors = await self.process.communicate()

        self.output = output.decode()
        # On a busy machine asyncio's debug mode logs slow steps.
        self.errors = [line for line in errors.decode().splitlines() if not line.startswith("Executing <")]


@asynccontextmanager
async def studio(folder: Path) -> AsyncGenerator[Studio]:
    command = [sys.executable, "-X", "dev", "-W", "error", EXAMPLES / "fastapi_app.py", "--sandbox", "--port", "0"]
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        "--folder",
        str(folder),
        env=os.environ | {"IDEOGRAM_API_KEY": "", "TMPDIR": str(folder.parent)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            assert process.stdout is not None
            line = (await process.stdout.readline()).decode()
            match = re.fullmatch(r"Open (http://127.0.0.1:\d+) \(Ctrl-C to stop\)\n", line)
            assert match, line
            yield Studio(process, match[1])
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def test_the_page_in_a_browser(tmp_path: Path) -> None:
    """A prompt shows its images, a bulk run shows its progress, and the app ends without errors."""
    async with studio(tmp_path / "runs") as app, browsing(tmp_path / "profile") as page:
        await page.run_at_start(RECORD_PROGRESS)
        await page.open(app.url)
        await page.run("document.querySelector('#draw button').click()")
        await page.until("document.querySelector('#draw + .problem')")
        refused = await page.run("document.querySelector('.problem').innerText")
        await page.type("#prompt", "a red fox in fresh snow, morning light")
        await page.run("document.querySelector('#draw button').click()")
        await page.until("[...document.querySelectorAll('#gallery img')].filter(i => i.naturalWidth > 100).length == 2")
        captions = await page.run("[...document.querySelectorAll('#gallery figcaption')].map(c => c.textContent)")
        await page.picture(tmp_path / "home.png")

        await page.type("#prompts", "a whale above the rooftops\nan owl reading a newspaper\na paper boat")
        await page.run("document.querySelector('#bulk button').click()")
        await page.until("location.pathname.startsWith('/runs/') && document.title == 'Studio: done'")
        await page.until("[...document.querySelectorAll('#images img')].filter(i => i.naturalWidth > 100).length == 3")
        numbers = await page.run("['finished', 'started', 'stored', 'spent'].map(id => $(id).textContent)")
        progress = await page.run("seen")
        await page.picture(tmp_path / "run.png")
        await app.end()

    assert "prompt: must not be empty" in refused
    assert refused.endswith("Billed: no.")
    assert ["a red fox in fresh snow, morning light"] * 2 == captions
    assert (["3", "3", "3", "0.09"], ["1 of 3", "2 of 3", "3 of 3"]) == (numbers, progress)
    assert (0, []) == (app.process.returncode, app.errors)
    assert "The sandbox billed 5 images, 0 calls twice." in app.output


async def test_the_app_without_a_browser(tmp_path: Path) -> None:
    """An upload, an invalid form, events resumed from the last id, and stored files work over plain HTTP."""
    async with studio(tmp_path / "runs") as app:
        async with aiohttp.ClientSession(app.url) as http:
            form = aiohttp.FormData({"prompt": "a blue fox", "num_images": "1", "rendering_speed": "TURBO"})
            form.add_field("image", picture(), filename="fox.png")
            async with http.post("/images", data=form) as response:
                image = (await response.json())["images"][0]

            async with http.get(image["url"]) as response:
                first = response.status, response.headers["Content-Type"], len(await response.read()) > 1000

            bad = {"prompt": "", "num_images": "9", "rendering_speed": "TURBO"}
            async with http.post("/images", data=bad) as response:
                problems = response.status, set((await response.json(content_type=None))["problems"])

            async with http.post("/runs", data={"prompts": "a fox\n\n a hen ", "budget": "0.03"}) as response:
                run = (await response.json())["url"]

            async with http.get(f"{run}/events") as response:
                events = (await response.text()).split("\n\n")[:-1]

            async with http.get(f"{run}/events", headers={"Last-Event-ID": str(len(events) - 1)}) as response:
                resumed = (await response.text()).split("\n\n")[:-1]

            missing = []
            for path in ("/images/none", "/runs/none/events", f"{run}/none.png", f"{run}/.ideogram"):
                async with http.get(path) as response:
                    missing.append(response.status)

        await app.end()

    names = [event.split("\n")[1] for event in events]

    assert (200, "image/png", True) == first
    assert (422, {"prompt", "num_images"}) == problems
    assert ("event: run_started", "event: run_finished", events[-1:]) == (names[0], names[-1], resumed)
    assert "0.03 USD spent" in events[-1]
    assert [404] * 4 == missing
    assert (0, []) == (app.process.returncode, app.errors)


async def test_the_app_ends_while_a_run_is_watched(tmp_path: Path) -> None:
    """On SIGTERM in the middle of a run, the app finishes the calls in flight and exits with 0."""
    async with studio(tmp_path / "runs") as app, aiohttp.ClientSession(app.url) as http:
        prompts = "\n".join(f"fox {n}" for n in range(200))
        async with http.post("/runs", data={"prompts": prompts, "budget": "100"}) as response:
            run = (await response.json())["url"]

        async with http.get(f"{run}/events") as response:
            async for line in response.content:
                if line == b"event: job_finished\n":
                    break

            await app.end()

    billed = re.search(r"billed (\d+) images, 0 calls", app.output)

    assert 0 == app.process.returncode
    assert billed
    assert 0 < int(billed[1]) < 200
    assert int(billed[1]) == len(list((tmp_path / "runs").glob("*/row-*.png")))


async def bulk(folder: Path, *arguments: str) -> tuple[int | None, list[str], str]:
    """Run the bulk example, and return its exit code, the lines of its output, and its errors."""
    command = [
        sys.executable,
        "-X",
        "dev",
        "-W",
        "error",
        str(EXAMPLES / "bulk.py"),
        str(folder),
        "--sandbox",
        *arguments,
    ]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(TIMEOUT):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()

    lines = [line for line in errors.decode().splitlines() if not line.startswith("Executing <")]
    return process.returncode, output.decode().splitlines(), "\n".join(lines)


async def test_a_bulk_run(tmp_path: Path) -> None:
    """Images are generated, remixed and upscaled. The same command again sends nothing."""
    code, first, errors = await bulk(tmp_path / "out", "--count", "11")
    second_code, second, _ = await bulk(tmp_path / "out", "--count", "11")

    assert (0, "", 0) == (code, errors, second_code)
    assert "15 jobs, 15 images, 0.51 USD; budget 2.50 USD" == first[0]
    assert "15 images stored, 0 withheld, 0 lost" == first[-3] == second[-3]
    assert "the sandbox billed 0.51 USD, 0 calls twice" == first[-1]
    assert "the sandbox billed 0 USD, 0 calls twice" == second[-1]
    assert 15 == len(list((tmp_path / "out").glob("*.png")))


async def test_a_bulk_run_keeps_its_budget(tmp_path: Path) -> None:
    """At the budget the run stops, prints the reason, and exits with 1."""
    code, output, errors = await bulk(tmp_path / "out", "--count", "30", "--budget", "0.25")

    assert (1, "") == (code, errors)
    assert output[-2].startswith("stopped: budget of 0.25 USD reached: 0.24 USD spent, 0.00 USD in doubt")
    assert "the sandbox billed 0.24 USD, 0 calls twice" == output[-1]
