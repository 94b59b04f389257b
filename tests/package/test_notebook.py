"""Notebooks in a real kernel: the example, an interrupt of a batch, and a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from support.batches import count_images
from support.paths import ROOT
from support.sandbox_process import SandboxProcess

from ideogram_async import JobState
from ideogram_async._batch.folder import Folder

pytestmark = pytest.mark.programs

TIMEOUT = 60
IN_FLIGHT = 10
SETUP = """
from ideogram_async import Generate, Ideogram, Job
jobs = [Job(Generate(f"a fox, study {{n}}"), id=f"fox-{{n}}") for n in range(30)]
client = Ideogram("sandbox", base_url={url!r})
"""
RUN = 'str(await client.run_batch(jobs, "out", progress=True))'


class Kernel:
    """A running kernel of a notebook."""

    def __init__(self, manager: AsyncKernelManager, client: Any) -> None:
        self.manager = manager
        self.is_stopping = asyncio.Event()
        """Whether a batch has shown that it is stopping."""
        self._client = client

    def run(self, code: str) -> Awaitable[dict[str, Any]]:
        """Run a cell, and return its reply."""
        return asyncio.ensure_future(
            self._client.execute_interactive(code, timeout=TIMEOUT, output_hook=self._read_output)
        )

    def _read_output(self, message: dict[str, Any]) -> None:
        if "stopping" in message["content"].get("text", ""):
            self.is_stopping.set()


@asynccontextmanager
async def open_kernel(folder: Path) -> AsyncGenerator[Kernel]:
    """Start a kernel in a folder, and end it."""
    manager = AsyncKernelManager(kernel_name="python3")
    await manager.start_kernel(cwd=str(folder))
    client = manager.client()
    client.start_channels()
    try:
        await client.wait_for_ready(timeout=TIMEOUT)
        yield Kernel(manager, client)
    finally:
        client.stop_channels()
        await manager.shutdown_kernel(now=True)


async def test_the_example_runs(tmp_path: Path) -> None:
    """Each cell of the example runs, and shows a table, pictures and a report, without a working link."""
    notebook = nbformat.read(ROOT / "examples" / "notebook.ipynb", 4)
    resources = {"metadata": {"path": str(tmp_path)}}
    await NotebookClient(notebook, timeout=TIMEOUT, resources=resources).async_execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    shown = [output["data"] for output in outputs if "data" in output]
    html = "".join(data.get("text/html", "") for data in shown)
    text = "".join(output["text"] for output in outputs if output.output_type == "stream")

    assert "20/20" in text
    assert "20 jobs in " in html
    assert (1, 3) == (sum("image/png" in data for data in shown), html.count('src="data:image/png;base64,'))
    assert "sig=" not in html
    assert 40 == count_images(tmp_path / "studies")


async def test_an_interrupt_and_the_next_cells(tmp_path: Path) -> None:
    """An interrupt finishes what is in flight. The next cell resumes with the same client; so does another kernel."""
    with SandboxProcess() as sandbox:
        setup = SETUP.format(url=sandbox.url)
        async with open_kernel(tmp_path) as kernel:
            assert "ok" == (await kernel.run(setup))["content"]["status"]
            sandbox.control("hold")
            cell = kernel.run(RUN)
            await asyncio.to_thread(sandbox.control, "wait", requests=IN_FLIGHT)
            await kernel.manager.interrupt_kernel()
            await kernel.is_stopping.wait()
            sandbox.control("release")
            interrupted = await cell
            first = Folder(tmp_path / "out").report()
            resumed = await kernel.run(RUN)

        async with open_kernel(tmp_path) as kernel:
            again = await kernel.run(setup + RUN)

        ledger = sandbox.ledger()

    report = Folder(tmp_path / "out").report()

    assert "error" == interrupted["content"]["status"]
    assert (IN_FLIGHT, ()) == (first.by_state[JobState.DONE], first.ambiguous)
    assert ["ok", "ok"] == [reply["content"]["status"] for reply in (resumed, again)]
    assert (30, 0, {JobState.DONE: 30}) == (ledger["calls"], ledger["duplicates"], report.by_state)
