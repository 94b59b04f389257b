"""Images into an object store, next to the same images into a folder: 200 images of 1.5 MB, 16 at a time.

Both download, verify and hash each image with `client.keep`. The folder syncs it to the disk. The store, a server of
moto in its own process, receives it in one PUT. The last contender limits the memory of the sink to 16 MiB. Memory is
the growth of the peak in a run after a first one of a tenth of the images.

    python benchmarks/objects.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING
from uuid import uuid4

from harness import compare, describe_machine, disk_folder, run_script, run_workers, slow_server, write_results

if TYPE_CHECKING:
    from ideogram_async.sinks import Sink

COUNT = 200
AT_ONCE = 16
IMAGE_BYTES = 1_500_000
MAX_MEMORY = 256 * 2**20
LITTLE_MEMORY = 16 * 2**20


async def keep_all(url: str, sink: Sink, count: int) -> None:
    """Keep images with a client."""
    from ideogram_async import Ideogram

    async with Ideogram("key", base_url=url) as client:

        async def keep(number: int) -> None:
            await client.keep(f"{url}/a.png", sink, name=str(number))

        await run_workers(AT_ONCE, count, keep)


async def folder(url: str, *, count: int, folder: str, store: str) -> None:  # noqa: ARG001
    """Keep images in a folder."""
    from ideogram_async.sinks import FolderSink

    await keep_all(url, FolderSink(Path(mkdtemp(dir=folder))), count)


async def objects(url: str, *, count: int, folder: str, store: str, max_memory: int = MAX_MEMORY) -> None:  # noqa: ARG001
    """Keep images in an object store."""
    from obstore.store import S3Store

    from ideogram_async.integrations.objects import ObjectSink

    settings = {"endpoint": store, "access_key_id": "a", "secret_access_key": "b", "region": "us-east-1"}
    bucket = S3Store("images", **settings, client_options={"allow_http": True})
    await keep_all(url, ObjectSink(bucket, uuid4().hex, max_memory=max_memory), count)


async def objects_in_little_memory(url: str, *, count: int, folder: str, store: str) -> None:
    """Keep images in an object store with 16 MiB of memory."""
    await objects(url, count=count, folder=folder, store=store, max_memory=LITTLE_MEMORY)


CONTENDERS = {"folder": folder, "object store": objects, "object store, 16 MiB": objects_in_little_memory}


def main(rounds: int) -> None:
    """Print the table."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    # Not above: a contender would load it, too.
    from support.objectstores import moto, new_bucket

    print(describe_machine())
    with disk_folder() as disk, slow_server(image_bytes=IMAGE_BYTES) as url, moto() as store:
        new_bucket(store, "images")
        options = {"count": COUNT, "folder": disk, "store": store}
        medians = compare(__file__, CONTENDERS, url, rounds=rounds, warmup=COUNT // 10, **options)

    base = medians["folder"]["cpu"]
    for name, figures in medians.items():
        milliseconds = 1000 * figures["cpu"] / COUNT
        row = f"{milliseconds:5.2f} ms CPU an image ({figures['cpu'] / base:.2f})"
        print(f"{name:22} {row}, {figures['wall']:5.2f} s, memory +{figures['grown']:.0f} MB, {figures['peak']:.0f} MB")

    write_results("objects", medians)


if __name__ == "__main__":
    run_script(CONTENDERS, main, rounds=3)
