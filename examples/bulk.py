"""Bulk run: images are generated, some are remixed and upscaled, within a budget, with a report.

    python examples/bulk.py --sandbox            costs nothing
    python examples/bulk.py out --budget 5       needs IDEOGRAM_API_KEY and costs up to 5 USD

The same command resumes an unfinished run and pays for nothing twice. `--sandbox` needs the extra `sandbox`.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from decimal import Decimal
from itertools import product
from pathlib import Path

from ideogram_async import FromJob, Generate, Ideogram, Job, JobResult, Remix, Report, Upscale
from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox.thread import running_in_thread

ANIMALS = ("a red fox", "an old owl", "a gray whale", "a young lynx", "a snow hare")
SCENES = ("in fresh snow", "above the rooftops", "in a paper boat", "on a yellow wall")


def make_jobs(count: int) -> Iterator[Job]:
    """Yield jobs lazily, so that memory stays flat. Every tenth image is remixed, and the remix is upscaled."""
    subjects = [f"{animal} {scene}" for animal, scene in product(ANIMALS, SCENES)]
    for n in range(count):
        subject = subjects[n % len(subjects)]
        yield Job(Generate(subject, seed=n, rendering_speed="TURBO"), id=f"image-{n}")
        if n % 10 == 0:
            yield Job(Remix(FromJob(f"image-{n}"), f"{subject}, at night", rendering_speed="TURBO"), id=f"night-{n}")
            yield Job(Upscale(FromJob(f"night-{n}"), resemblance=70), id=f"large-{n}")


async def run(client: Ideogram, count: int, folder: Path, budget: Decimal) -> Report:
    """Run all jobs and print each result."""
    plan = await client.plan(make_jobs(count))
    print(f"{plan.jobs} jobs, {plan.images} images, {plan.usd} USD; budget {budget} USD")
    async with client, client.batch(make_jobs(count), folder, max_cost_usd=budget) as batch:
        async for result in batch:
            print(format_result(result), flush=True)

    return batch.report()


def format_result(result: JobResult) -> str:
    """Return one line about a job: its id, its state, and its images or its error."""
    paths = ", ".join(str(image.path) for image in result.images if image.path)
    return f"  {result.id:<10} {result.state:<10} {paths or result.error or ''}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the batch and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("bulk"), help="folder (default: bulk)")
    parser.add_argument("--count", type=int, default=50, help="images to generate (default: 50)")
    parser.add_argument("--budget", type=Decimal, default=Decimal("2.50"), help="maximum cost in USD (default: 2.50)")
    parser.add_argument("--sandbox", action="store_true", help="use a local sandbox, which bills nothing")
    options = parser.parse_args(argv)
    with running_in_thread(Sandbox(latency=(0.05, 0.2))) if options.sandbox else nullcontext() as box:
        client = Ideogram("sandbox", base_url=box.url) if box else Ideogram()
        report = asyncio.run(run(client, options.count, options.folder, options.budget))
        print(report)
        if box:
            print(f"the sandbox billed {box.ledger.billed_usd} USD, {len(box.ledger.duplicates)} calls twice")

    return 0 if report.stopped is None and not report.failures and not report.ambiguous else 1


if __name__ == "__main__":
    sys.exit(main())
