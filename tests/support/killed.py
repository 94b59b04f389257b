"""Program with a batch that is killed: at a random moment from outside, or by itself at its n-th step on disk.

    python killed.py URL FOLDER JOBS [STEP | again | both]

Without a step it runs to the end, and prints the number of steps. With `again` it resends ambiguous jobs once. With
`both` it runs two batches of one client at once, in the folders `a` and `b` of the folder.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

from ideogram_async import Generate, Ideogram, Job, Report, Retry
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._download import atomic

STEPS = ((Journal, "_commit"), (atomic.PartFile, "open"), (atomic.PartFile, "write"), (atomic.PartFile, "_publish"))


def jobs(count: int, name: str = "job") -> list[Job]:
    """Return jobs of 1 to 3 images, each with its own prompt."""
    return [Job(Generate(f"{name} {n}", num_images=1 + n % 3, seed=n), id=f"{name}-{n}") for n in range(count)]


async def run(url: str, folder: Path, count: int, *, again: bool = False) -> Report:
    """Run the batch."""
    async with Ideogram("sandbox", base_url=url, retry=Retry(base=0.05)) as client:
        return await client.run_batch(jobs(count), folder, retry_ambiguous=again)


async def run_both(url: str, folder: Path, count: int) -> tuple[Report, Report]:
    """Run two batches of one client at once."""
    async with Ideogram("sandbox", base_url=url, retry=Retry(base=0.05)) as client:
        return await asyncio.gather(*(client.run_batch(jobs(count, name), folder / name) for name in ("a", "b")))


class Steps:
    """Counts steps, and dies before or after one of them."""

    def __init__(self, fatal: int | None) -> None:
        self.fatal = fatal
        self.count = 0

    def watch(self, owner: Any, name: str) -> None:
        original = getattr(owner, name)

        def step(*args: Any, **kwargs: Any) -> Any:
            self.tick()
            result = original(*args, **kwargs)
            self.tick()
            return result

        setattr(owner, name, step)

    def tick(self) -> None:
        self.count += 1
        if self.count == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def main() -> None:
    url, folder, count, *how = sys.argv[1:]
    if how == ["both"]:
        asyncio.run(run_both(url, Path(folder), int(count)))
        return

    again = how == ["again"]
    steps = Steps(int(how[0]) if how and not again else None)
    for owner, name in STEPS:
        steps.watch(owner, name)

    asyncio.run(run(url, Path(folder), int(count), again=again))
    sys.stdout.write(str(steps.count))


if __name__ == "__main__":
    main()
