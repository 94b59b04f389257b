"""Several processes that share the limit of one account. They use a sandbox and buy nothing.

    python examples/workers.py                                  one limit in Redis
    python examples/workers.py --redis redis://localhost:6379   one limit in an existing Redis
    python examples/workers.py --share                          a fixed share of the limit each, without Redis

Without `--redis` it starts a temporary `redis-server`, which must be installed. It needs the extras `redis` and
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

MAX_IN_FLIGHT = 10
LATENCY = (0.2, 0.6)
"""Seconds that a call takes in the sandbox; the service takes longer."""


async def work(name: str, base_url: str, calls: int, redis: str, share: int) -> dict[str, float | str]:
    """Run one worker: the part that belongs in your own processes."""
    limiter = RedisLimiter(redis, account="example", max_in_flight=MAX_IN_FLIGHT) if redis else None
    began = time.monotonic()
    async with Ideogram("sandbox", base_url=base_url, limiter=limiter, max_in_flight=share) as client:
        prompts = [f"postcard {n} from {name}" for n in range(calls)]
        await asyncio.gather(*(client.generate(prompt, num_images=1 + n % 3) for n, prompt in enumerate(prompts)))
        refused = client.limiter.statistics().rejected

    return {"name": name, "calls": calls, "refused": refused, "seconds": time.monotonic() - began}


async def run(workers: int, calls: int, redis: str) -> int:
    """Start the workers and a sandbox, and print what they did."""
    share = MAX_IN_FLIGHT if redis else max(1, MAX_IN_FLIGHT // workers)
    async with Sandbox(max_in_flight=MAX_IN_FLIGHT, latency=LATENCY) as box:
        names = [f"worker-{n + 1}" for n in range(workers)]
        counts = await asyncio.gather(*(start(name, box.url, str(calls), redis, str(share)) for name in names))
        print("worker          calls    429s   seconds")
        for count in counts:
            print(f"{count['name']:<12} {count['calls']:>8} {count['refused']:>7} {count['seconds']:>9.1f}")

        print(f"\nimages billed            {box.ledger.billed_images}")
        print(f"calls billed twice       {len(box.ledger.duplicates)}")
        print(f"most images in progress  {box.peak_in_flight} of {MAX_IN_FLIGHT}")
        return 0 if len(box.ledger.entries) == workers * calls else 1


async def start(*arguments: str) -> dict[str, float | str]:
    """Run one worker in its own process and return its counts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--as-worker", *arguments, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    return dict(json.loads(output))


@contextmanager
def redis_server() -> Generator[str]:
    """Run a temporary redis-server on a Unix socket and yield its URL."""
    command = shutil.which("redis-server")
    if command is None:
        sys.exit("redis-server is not installed: pass --redis URL, or --share to run without Redis")

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "redis.sock"
        arguments = [command, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", folder]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as server:
            try:
                any("eady to accept connections" in line for line in server.stdout or ())
                yield f"unix://{path}"
            finally:
                server.terminate()
                server.communicate()


def main() -> int:
    """Parse the command line, run the workers and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=3, help="processes (default: %(default)s)")
    parser.add_argument("--calls", type=int, default=20, help="calls per worker (default: %(default)s)")
    parser.add_argument("--redis", metavar="URL", help="an existing Redis")
    parser.add_argument("--share", action="store_true", help="give each worker a fixed share, without Redis")
    options = parser.parse_args()
    if options.share or options.redis:
        return asyncio.run(run(options.workers, options.calls, "" if options.share else options.redis))

    with redis_server() as url:
        return asyncio.run(run(options.workers, options.calls, url))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-worker"]:
        name, base_url, calls, redis, share = sys.argv[2:]
        print(json.dumps(asyncio.run(work(name, base_url, int(calls), redis, int(share)))))
    else:
        sys.exit(main())
