"""Several processes make images on one account, and keep to its limit together. Buys nothing: a sandbox serves them.

    python examples/workers.py                                  one limit, kept in Redis
    python examples/workers.py --redis redis://localhost:6379   in a Redis of yours
    python examples/workers.py --share                          without Redis: a part of the limit for each

Without `--redis` it starts a redis-server of its own, where one is installed. It needs the extras `redis` and
`sandbox`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from ideogram_async import Ideogram
from ideogram_async.integrations.redis import RedisLimiter
from ideogram_async.sandbox import Sandbox

PLACES = 10
LATENCY = (0.2, 0.6)
"""Seconds the sandbox takes for a call; the service takes some more."""


async def work(name: str, base_url: str, calls: int, redis: str, places: int) -> dict[str, float | str]:
    """Be one worker: this is what a process of yours would do."""
    limiter = RedisLimiter(redis, account="example", max_in_flight=PLACES) if redis else None
    began = time.monotonic()
    async with Ideogram("sandbox", base_url=base_url, limiter=limiter, max_in_flight=places) as client:
        prompts = [f"postcard {n} from {name}" for n in range(calls)]
        await asyncio.gather(*(client.generate(prompt, num_images=1 + n % 3) for n, prompt in enumerate(prompts)))
        refused = client.limiter.statistics().rejected

    return {"name": name, "calls": calls, "refused": refused, "seconds": time.monotonic() - began}


async def run(workers: int, calls: int, redis: str) -> int:
    """Start the workers beside a sandbox, and say what came of it."""
    places = PLACES if redis else max(1, PLACES // workers)
    async with Sandbox(max_in_flight=PLACES, latency=LATENCY) as box:
        names = [f"worker-{n + 1}" for n in range(workers)]
        counts = await asyncio.gather(*(start(name, box.url, str(calls), redis, str(places)) for name in names))
        print("worker          calls    429s   seconds")
        for count in counts:
            print(f"{count['name']:<12} {count['calls']:>8} {count['refused']:>7} {count['seconds']:>9.1f}")

        print(f"\nimages billed            {box.ledger.billed_images}")
        print(f"calls billed twice       {len(box.ledger.duplicates)}")
        print(f"most images in progress  {box.peak_in_flight} of {PLACES}")
        return 0 if len(box.ledger.entries) == workers * calls else 1


async def start(*words: str) -> dict[str, float | str]:
    """Run one worker in a process of its own, and return its counts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--as-worker", *words, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return dict(json.loads(said))


@contextmanager
def redis_server() -> Generator[str]:
    """Start a redis-server on a socket of its own, and give its URL."""
    command = shutil.which("redis-server")
    if command is None:
        sys.exit("there is no redis-server here: pass --redis URL, or --share to do without")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "redis.sock"
        words = [command, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
            try:
                any("eady to accept connections" in line for line in server.stdout or ())
                yield f"unix://{path}"
            finally:
                server.terminate()
                server.communicate()


def main() -> int:
    """Read the command line, and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=3, help="processes (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=20, help="calls of each (default: %(default)s)")
    parser.add_argument("--redis", metavar="URL", help="a Redis that is there already")
    parser.add_argument("--share", action="store_true", help="give each worker its part of the limit, without Redis")
    options = parser.parse_args()
    if options.share or options.redis:
        return asyncio.run(run(options.workers, options.calls, "" if options.share else options.redis))

    with redis_server() as url:
        return asyncio.run(run(options.workers, options.calls, url))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-worker"]:
        name, base_url, calls, redis, places = sys.argv[2:]
        print(json.dumps(asyncio.run(work(name, base_url, int(calls), redis, int(places)))))
    else:
        sys.exit(main())
