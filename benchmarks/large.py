"""Measures a batch of very many jobs against a service that answers at once: time, memory, open files.

Memory is compared between a batch's 1,000th job and its last. Then the same call is made three times more: everything
is told from the journal, and nothing is sent. Of these the median counts.

    python benchmarks/large.py [JOBS]
"""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Iterator
from operator import attrgetter
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import asdict, define
from harness import keep, resident, serving

from ideogram_async import Generate, Ideogram

JOBS = 100_000
WARM = 1000
SAMPLE = 500
RESUMED = 3


@define
class Figures:
    """What was measured."""

    at_first: float = 0.0
    at_most: float = 0.0
    files: int = 0
    seconds: float = 0.0


def open_files() -> int:
    """Count the open files."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def run(url: str, count: int, folder: Path) -> Figures:
    """Run the batch, and look at it now and then."""

    def jobs() -> Iterator[Generate]:
        for n in range(count):
            yield Generate(f"fox {n}")

    figures, seen, began = Figures(), 0, time.perf_counter()
    async with Ideogram("key", base_url=url) as client, client.batch(jobs(), folder) as batch:
        async for _ in batch:
            seen += 1
            if seen == WARM:
                gc.collect()
                figures.at_first = resident()
            elif seen % SAMPLE == 0:
                figures.at_most = max(figures.at_most, resident())
                figures.files = max(figures.files, open_files())

    assert count == seen, batch.report()
    figures.seconds = time.perf_counter() - began
    return figures


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    kept: dict[str, object] = {"jobs": count}
    with TemporaryDirectory() as folder, serving() as url:
        runs = [asyncio.run(run(url, count, Path(folder))) for _ in range(1 + RESUMED)]

    resumed = sorted(runs[1:], key=attrgetter("seconds"))[RESUMED // 2]
    for what, figures in {"first run": runs[0], "resumed": resumed}.items():
        kept[what] = asdict(figures)
        print(
            f"{what:10} {count:,} jobs in {figures.seconds:.1f} s, {count / figures.seconds:,.0f} a second,"
            f" {1e6 * figures.seconds / count:,.0f} µs each;"
            f" memory grew by {figures.at_most - figures.at_first:.1f} MB after the first {WARM:,},"
            f" {figures.files} files open at most"
        )

    keep("large", kept)


if __name__ == "__main__":
    main()
