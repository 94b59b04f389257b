"""Program that runs a batch, and may kill itself before or after a write to the disk, a sync or a link.

    python batch_program.py URL FOLDER JOBS [accept] [STEP | resend | both]

With a step it kills itself there. Otherwise it runs to the end and prints the number of steps. With `resend` it resends
ambiguous jobs once. With `both` it runs two batches of one client at once, in the folders `a` and `b` of the folder.
With `accept` its jobs are those that the service accepts first.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ideogram_async import Generate, Ideogram, Job, Report, Retry, v2
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._download.atomic import PartFile

# SQLite's own writes and syncs happen within a commit.
CALLS = ("fdatasync", "fsync", "link", "mkdir", "pwrite", "rename", "unlink")
WRITES = ((Journal, "_commit"), (PartFile, "write"), *((os, name) for name in CALLS))


def make_jobs(count: int, name: str = "job") -> list[Job]:
    """Return jobs of 1 to 3 images, each with its own prompt."""
    return [Job(Generate(f"{name} {n}", num_images=1 + n % 3, seed=n), id=f"{name}-{n}") for n in range(count)]


def make_accepted_jobs(count: int) -> list[Job]:
    """Return jobs of 1 to 3 images that the service accepts first, each with its own prompt."""
    return [Job(v2.Generate45(f"accepted {n}", num_images=1 + n % 3), id=f"accepted-{n}") for n in range(count)]


async def run(url: str, folder: Path, count: int, *, resend: bool = False, accept: bool = False) -> Report:
    """Run a batch to its end."""
    jobs = make_accepted_jobs(count) if accept else make_jobs(count)
    async with Ideogram("sandbox", base_url=url, retry=Retry(base=0.05)) as client:
        return await client.run_batch(jobs, folder, retry_ambiguous=resend)


async def run_both(url: str, folder: Path, count: int) -> tuple[Report, Report]:
    """Run two batches of one client at once."""
    async with Ideogram("sandbox", base_url=url, retry=Retry(base=0.05)) as client:
        return await asyncio.gather(*(client.run_batch(make_jobs(count, name), folder / name) for name in ("a", "b")))


class StepCounter:
    """Counts the steps before and after each write, and kills the process at one of them."""

    def __init__(self, fatal: int | None) -> None:
        self.fatal = fatal
        self.count = 0

    def wrap(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.count_step()
            result = original(*args, **kwargs)
            self.count_step()
            return result

        setattr(owner, name, counted)

    def count_step(self) -> None:
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    url, folder, count, *mode = sys.argv[1:]
    if mode == ["both"]:
        asyncio.run(run_both(url, Path(folder), int(count)))
        return

    resend, accept = mode == ["resend"], "accept" in mode
    steps = StepCounter(int(mode[-1]) if mode and mode[-1].isdigit() else None)
    for owner, name in WRITES:
        steps.wrap(owner, name)

    asyncio.run(run(url, Path(folder), int(count), resend=resend, accept=accept))
    sys.stdout.write(str(steps.count))


if __name__ == "__main__":
    main()
