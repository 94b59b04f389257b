"""Measures how well the limiter shares an account with somebody it cannot see.

For an hour of virtual time another client of the account takes 0, 6, 2, 8 and 0 of its 10 places, twelve minutes
each. Ours always has images to make, one a call, 5 to 15 seconds each. The service answers 429 when all places are
taken. Reported are the images made, against those that would fit into the free places, and the 429s they cost.

    python benchmarks/tenant.py
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from statistics import fmean

from attrs import define
from harness import keep

from ideogram_async._limiter.limiter import ImageLimiter

PLACES = 10
TAKEN = (0, 6, 2, 8, 0)
MEAN_SECONDS = 10.0
ANSWER_SECONDS = 0.2
CALLERS = 32
SEEDS = range(8)


@define
class Service:
    """Makes images for both clients, and counts ours."""

    rng: random.Random
    seconds: float
    busy: int = 0
    made: int = 0
    refused: int = 0

    def taken_by_other(self, now: float) -> int:
        """Return the places of the other client; it keeps each number for an equal part of the time."""
        return TAKEN[min(int(now / self.seconds * len(TAKEN)), len(TAKEN) - 1)]

    async def make(self) -> bool:
        """Make an image, or say no."""
        await asyncio.sleep(ANSWER_SECONDS)
        if self.busy + self.taken_by_other(asyncio.get_running_loop().time()) >= PLACES:
            self.refused += 1
            return False

        self.busy += 1
        await asyncio.sleep(self.rng.uniform(0.5, 1.5) * MEAN_SECONDS)
        self.busy -= 1
        self.made += 1
        return True

    @property
    def throughput(self) -> float:
        """Images made, as a part of those that the free places would have made."""
        free = PLACES - fmean(TAKEN)
        return self.made / (free * self.seconds / MEAN_SECONDS)

    @property
    def refused_percent(self) -> float:
        """How many 429s came on 100 images."""
        return 100 * self.refused / self.made


async def share(limiter: ImageLimiter, *, seconds: float = 3600.0, seed: int = 0) -> Service:
    """Make images for so long beside the other client, and return the service with its counts."""
    service = Service(random.Random(seed), seconds)

    async def ask() -> None:
        while True:
            async with limiter.acquire(1):
                if await service.make():
                    limiter.note_accepted(1)
                else:
                    limiter.note_rejected(None, None)

    callers = [asyncio.create_task(ask()) for _ in range(CALLERS)]
    await asyncio.sleep(seconds)
    for caller in callers:
        caller.cancel()

    await asyncio.wait(callers)
    return service


def main() -> None:
    """Print the mean of several hours."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from support.virtual import run

    hours = [run(share(ImageLimiter(rng=random.Random(seed)), seed=seed)) for seed in SEEDS]
    figures = {
        "share": fmean(hour.throughput for hour in hours),
        "refused_percent": fmean(hour.refused_percent for hour in hours),
    }
    print(f"share of ideal throughput  {figures['share']:6.1%}")
    print(f"429s per 100 images        {figures['refused_percent']:6.1f}")
    keep("tenant", figures)


if __name__ == "__main__":
    main()
