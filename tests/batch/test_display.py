"""Progress of `run_batch` on the screen: a tqdm bar, or a line of text, that never affects the batch."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from support.batches import make_jobs, run_batch
from tqdm import tqdm

from ideogram_async import Ideogram, JobState
from ideogram_async._batch import display
from ideogram_async.sandbox import Sandbox


class Screen(StringIO):
    """A terminal that keeps what is written to it."""

    def isatty(self) -> bool:
        return True


class Closed(StringIO):
    """A stream whose reader has left."""

    def write(self, text: str) -> int:
        raise BrokenPipeError


@pytest.fixture(params=["tqdm", "text"])
def meter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Install or remove tqdm."""
    monkeypatch.setattr(display, "INTERVAL", 0.001)
    if request.param == "text":
        # An import of it fails.
        monkeypatch.setitem(sys.modules, "tqdm.auto", None)

    return str(request.param)


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch) -> Callable[[StringIO], StringIO]:
    """Make a stream the standard error stream."""

    def replace(stream: StringIO) -> StringIO:
        monkeypatch.setattr(sys, "stderr", stream)
        return stream

    return replace


async def test_progress_in_a_terminal(client: Ideogram, tmp_path: Path, meter: str, show: Any) -> None:
    """The last line has the jobs of all, and the cost; the total is known if the input has a length."""
    screen = show(Screen())
    await run_batch(client, make_jobs(3), tmp_path, progress=True)
    last = screen.getvalue().split("\r")[-1].strip()

    assert ("3/3 [" if meter == "tqdm" else "3/3 jobs, ") in last
    assert "0.18 USD spent, 0 images in flight" in last
    assert screen.getvalue().endswith("\n")


async def test_a_failed_bar_blocks_no_other(client: Ideogram, tmp_path: Path, meter: str, show: Any) -> None:
    """After an output that failed, the bars of the program can be drawn: tqdm's lock is free."""
    show(Closed())
    await run_batch(client, make_jobs(1), tmp_path, progress=True)
    own = threading.Thread(target=lambda: tqdm(total=1, file=StringIO()).close(), daemon=True)
    own.start()
    own.join(5)

    assert not own.is_alive()


async def test_progress_in_a_file(client: Ideogram, tmp_path: Path, meter: str, show: Any) -> None:
    """Without tqdm, a file or pipe gets a line at most every ten seconds and at the end, not one for each update."""
    stream = show(StringIO())
    await run_batch(client, iter(make_jobs(3)), tmp_path, progress=True)

    assert "0.18 USD spent" in stream.getvalue()
    assert meter == "tqdm" or "3 jobs, 0.18 USD spent, 0 images in flight\n" == stream.getvalue()


@pytest.mark.parametrize("stream", [Closed(), None], ids=["broken pipe", "none"])
async def test_progress_without_an_output(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, meter: str, show: Any, stream: StringIO | None
) -> None:
    """An output that fails ends the display and not the batch."""
    show(stream)
    report = await run_batch(client, make_jobs(30), tmp_path, progress=True)

    assert ({JobState.DONE: 30}, 30) == (report.by_state, len(sandbox.ledger.entries))


@pytest.fixture
def full_pipe() -> Iterator[Any]:
    """A stream to a pipe that is full, which has no reader until the test is over."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with pytest.raises(BlockingIOError):
        while True:
            os.write(writer, bytes(4096))

    os.set_blocking(writer, True)
    stream = os.fdopen(writer, "w")
    yield stream
    # The thread that waits in `write` ends with an error, and is waited for so that it disturbs no other test.
    os.close(reader)
    for thread in threading.enumerate():
        if thread.name == "ideogram-progress":
            thread.join()

    with suppress(BrokenPipeError):
        stream.close()


async def test_progress_to_a_reader_that_stands_still(
    client: Ideogram, tmp_path: Path, meter: str, show: Any, full_pipe: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An output that blocks, such as a pager, does not hold the event loop, so that no call times out."""
    monkeypatch.setattr(display, "MAX_WAIT", 0.0)
    show(full_pipe)
    report = await run_batch(client, make_jobs(30), tmp_path, progress=True)

    assert {JobState.DONE: 30} == report.by_state


async def test_progress_of_a_drain(client: Ideogram, sandbox: Sandbox, tmp_path: Path, meter: str, show: Any) -> None:
    """A cancellation drains as ever, and the display says that the batch is stopping until it is over."""
    screen = show(Screen())
    sandbox.hold()
    task = asyncio.create_task(client.run_batch(make_jobs(20), tmp_path, progress=True))
    await sandbox.wait_for_requests(10)
    task.cancel()
    sandbox.release()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert "stopping: the block was left early" in screen.getvalue()
    assert 10 == len(sandbox.ledger.entries) == len(list(tmp_path.glob("*.png")))


async def test_an_invalid_option_draws_nothing(client: Ideogram, tmp_path: Path, meter: str, show: Any) -> None:
    """A batch with an invalid option is refused before the display draws anything."""
    screen = show(Screen())
    with pytest.raises(ValueError, match="max_downloads"):
        await run_batch(client, make_jobs(1), tmp_path, progress=True, max_downloads=0)

    assert "" == screen.getvalue()
