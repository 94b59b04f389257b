"""A process that makes images. Arguments: name, sandbox URL, Redis URL, number of calls, images per call, lease."""

from __future__ import annotations

import asyncio
import json
import sys

from ideogram_async import Ideogram
from ideogram_async.integrations.redis import RedisLimiter


async def work(name: str, base_url: str, redis: str, calls: int, images: int, lease: float) -> None:
    limiter = RedisLimiter(redis, lease=lease)
    async with Ideogram("sandbox", base_url=base_url, limiter=limiter) as client:
        weights = [images or 1 + n % 3 for n in range(calls)]
        await asyncio.gather(*(client.generate(f"{name} {n}", num_images=w) for n, w in enumerate(weights)))
        sys.stdout.write(json.dumps({"rejected": limiter.statistics().rejected}))


if __name__ == "__main__":
    name, base_url, redis, calls, images, lease = sys.argv[1:]
    asyncio.run(work(name, base_url, redis, int(calls), int(images), float(lease)))
