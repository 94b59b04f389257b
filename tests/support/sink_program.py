"""Program that runs a batch whose images go to a bucket of moto.

python sink_program.py URL FOLDER JOBS ENDPOINT BUCKET
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from ideogram_async import Ideogram, Report, Retry
from ideogram_async.integrations.objects import ObjectSink
from support.batch_program import make_jobs
from support.objectstores import bucket_of

__all__ = ["run"]


async def run(url: str, folder: Path, count: int, endpoint: str, bucket: str) -> Report:
    """Run a batch to its end."""
    sink = ObjectSink(bucket_of(endpoint, bucket), "run-7")
    async with Ideogram("sandbox", base_url=url, retry=Retry(base=0.05)) as client:
        return await client.run_batch(make_jobs(count), folder, sink=sink)


if __name__ == "__main__":
    url, folder, count, endpoint, bucket = sys.argv[1:]
    asyncio.run(run(url, Path(folder), int(count), endpoint, bucket))
