"""Time, memory and open files of a large batch against a server that responds at once.

Memory is compared between the 1,000th result and the rest. Then the same batch runs three times more: all results come
from the journal, and nothing is sent. The figures are those of the median run.

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
from harness import fast_server, resident, write_results

from ideogram_async import Generate, Ideogram

JOBS = 100_000
WARMUP = 1000
SAMPLE_INTERVAL = 500
RESUMED_RUNS = 3


@define
class Figures:
    """The figures of one run."""

    memory: float = 0.0
    """MB after the first results."""
    peak_memory: float = 0.0
    """Largest MB after that."""
    files: int = 0
    """Largest number of open files."""
    seconds: float = 0.0


def count_open_files() -> int:
    """Return the number of open files."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def run(url: str, count: int, folder: Path) -> Figures:
    """Run the batch, and sample memory and open files."""

    def jobs() -> Iterator[Generate]:
        for n in range(count):
            yield Generate(f"fox {n}")

    figures, count_seen, started = Figures(), 0, time.perf_counter()
    async with Ideogram("key", base_url=url) as client, client.batch(jobs(), folder) as batch:
        async for _ in batch:
            count_seen += 1
            if count_seen == WARMUP:
                gc.collect()
                figures.memory = resident()
            elif count_seen % SAMPLE_INTERVAL == 0:
                figures.peak_memory = max(figures.peak_memory, resident())
                figures.files = max(figures.files, count_open_files())

    assert count == count_seen, batch.report()
    figures.seconds = time.perf_counter() - started
    return figures


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    results: dict[str, object] = {"jobs": count}
    with TemporaryDirectory() as folder, fast_server() as url:
        runs = [asyncio.run(run(url, count, Path(folder))) for _ in range(1 + RESUMED_RUNS)]

    resumed = sorted(runs[1:], key=attrgetter("seconds"))[RESUMED_RUNS // 2]
    for name, figures in {"first run": runs[0], "resumed": resumed}.items():
        results[name] = asdict(figures)
        print(
            f"{name:10} {count:,} jobs in {figures.seconds:.1f} s, {count / figures.seconds:,.0f} a second,"
            f" {1e6 * figures.seconds / count:,.0f} µs each;"
            f" memory grew by {figures.peak_memory - figures.memory:.1f} MB after the first {WARMUP:,},"
            f" {figures.files} files open at most"
        )

    write_results("large", results)


if __name__ == "__main__":
    main()
