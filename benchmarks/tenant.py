"""Slot use of the limiter next to another client of the account, which it cannot see.

For an hour of virtual time the other client takes 0, 6, 2, 8 and 0 of the account's 10 slots, twelve minutes each. Ours
always has calls waiting, with one image each that takes 5 to 15 seconds. The service responds 429 when all slots are
taken. The figures are the number of images, relative to those that fit into the free slots, and the number of 429s.

    python benchmarks/tenant.py
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from statistics import fmean

from attrs import define
from harness import write_results

from ideogram_async._limiter.limiter import ImageLimiter

SLOTS = 10
TAKEN_BY_OTHER = (0, 6, 2, 8, 0)
MEAN_SECONDS = 10.0
ANSWER_SECONDS = 0.2
CALLERS = 32
SEEDS = range(8)


@define
class Service:
    """The service that both clients use. It counts our images and refusals."""

    rng: random.Random
    seconds: float
    in_progress: int = 0
    completed: int = 0
    refused: int = 0

    def taken_by_other(self, now: float) -> int:
        """Return the number of slots that the other client holds. The changes are evenly spaced."""
        return TAKEN_BY_OTHER[min(int(now / self.seconds * len(TAKEN_BY_OTHER)), len(TAKEN_BY_OTHER) - 1)]

    async def generate(self) -> bool:
        """Generate an image. Return `False` if all slots are taken."""
        await asyncio.sleep(ANSWER_SECONDS)
        if self.in_progress + self.taken_by_other(asyncio.get_running_loop().time()) >= SLOTS:
            self.refused += 1
            return False

        self.in_progress += 1
        await asyncio.sleep(self.rng.uniform(0.5, 1.5) * MEAN_SECONDS)
        self.in_progress -= 1
        self.completed += 1
        return True

    @property
    def throughput(self) -> float:
        """The number of images, relative to those that fit into the free slots."""
        free = SLOTS - fmean(TAKEN_BY_OTHER)
        return self.completed / (free * self.seconds / MEAN_SECONDS)

    @property
    def refused_percent(self) -> float:
        """The number of 429s for 100 images."""
        return 100 * self.refused / self.completed


async def share(limiter: ImageLimiter, *, seconds: float = 3600.0, seed: int = 0) -> Service:
    """Send calls for `seconds` next to the other client, and return the service with its counts."""
    service = Service(random.Random(seed), seconds)

    async def send_calls() -> None:
        while True:
            async with limiter.acquire(1):
                if await service.generate():
                    limiter.note_accepted(1)
                else:
                    limiter.note_rejected(None, None)

    callers = [asyncio.create_task(send_calls()) for _ in range(CALLERS)]
    await asyncio.sleep(seconds)
    for caller in callers:
        caller.cancel()

    await asyncio.wait(callers)
    return service


def main() -> None:
    """Print the means of several hours."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from support.virtual import run

    hours = [run(share(ImageLimiter(rng=random.Random(seed)), seed=seed)) for seed in SEEDS]
    figures = {
        "share": fmean(hour.throughput for hour in hours),
        "refused_percent": fmean(hour.refused_percent for hour in hours),
    }
    print(f"share of ideal throughput  {figures['share']:6.1%}")
    print(f"429s per 100 images        {figures['refused_percent']:6.1f}")
    write_results("tenant", figures)


if __name__ == "__main__":
    main()
