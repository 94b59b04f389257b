"""Memory and time of uploading an image of 10 MB by its path.

Every contender posts the same form with the file, one call after the other. Memory is the growth of the peak after
calls of the same client without a file.

    python benchmarks/upload.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from harness import Figures, compare, describe_machine, fast_server, peak, run_script, write_results
from server import draw_noise

PATH = "/v1/ideogram-v3/remix"
FIELDS = {"prompt": "a red fox"}
COUNT = 10
IMAGE_BYTES = 10 * 2**20 - 50_000


async def bare(url: str, *, count: int, file: str) -> Figures:
    """Upload with aiohttp alone."""
    from aiohttp import ClientSession, FormData

    async with ClientSession() as session:

        async def post(image: str | None) -> None:
            form = FormData(FIELDS, default_to_multipart=True)
            if image is None:
                await (await session.post(url + PATH, data=form)).read()
                return

            with Path(image).open("rb") as handle:
                form.add_field("image", handle, filename="image.png", content_type="image/png")
                await (await session.post(url + PATH, data=form)).read()

        return await measure_growth(post, count, file)


async def ours(url: str, *, count: int, file: str) -> Figures:
    """Upload with the client."""
    from ideogram_async import Ideogram

    async with Ideogram("key", base_url=url) as client:

        async def post(image: str | None) -> None:
            await (client.generate("a red fox") if image is None else client.remix(image, "a red fox"))

        return await measure_growth(post, count, file)


async def httpx_loop(url: str, *, count: int, file: str) -> Figures:
    """Upload with httpx."""
    import httpx

    async with httpx.AsyncClient() as client:

        async def post(image: str | None) -> None:
            texts = {name: (None, text) for name, text in FIELDS.items()}
            if image is None:
                await client.post(url + PATH, files=texts)
                return

            # An async client refuses files that it would have to read in the thread of the event loop.
            content = await asyncio.to_thread(Path(image).read_bytes)
            await client.post(url + PATH, files={**texts, "image": ("image.png", content, "image/png")})

        return await measure_growth(post, count, file)


async def requests_loop(url: str, *, count: int, file: str) -> Figures:
    """Upload with requests, which reads the whole file."""
    import requests

    with requests.Session() as session:

        async def post(image: str | None) -> None:
            texts = {name: (None, text) for name, text in FIELDS.items()}
            if image is None:
                session.post(url + PATH, files=texts)
                return

            with Path(image).open("rb") as handle:
                session.post(url + PATH, files={**texts, "image": ("image.png", handle, "image/png")})

        return await measure_growth(post, count, file)


async def measure_growth(post: Callable[[str | None], Awaitable[None]], count: int, file: str) -> Figures:
    """Post without a file, then `count` times with it, and return the growth of the memory's peak in MB."""
    for _ in range(20):
        await post(None)

    before = peak()
    for _ in range(count):
        await post(file)

    return {"memory": peak() - before}


CONTENDERS = {"aiohttp": bare, "ideogram_async": ours, "httpx": httpx_loop, "requests": requests_loop}


def main(rounds: int) -> None:
    """Print the table."""
    print(describe_machine())
    with TemporaryDirectory() as folder, fast_server() as url:
        file = Path(folder, "image.png")
        file.write_bytes(draw_noise(IMAGE_BYTES))
        options = {"count": COUNT, "file": str(file)}
        medians = compare(__file__, CONTENDERS, url, rounds=rounds, warmup=0, **options)

    print(f"\nupload of {IMAGE_BYTES / 2**20:.1f} MiB      memory           time of one")
    for name, figures in medians.items():
        ratio = figures["wall"] / medians["aiohttp"]["wall"]
        print(f"{name:22} {figures['memory']:6.1f} MB   {1000 * figures['wall'] / COUNT:7.1f} ms {ratio:5.2f} x")

    write_results("upload", medians)


if __name__ == "__main__":
    run_script(CONTENDERS, main, rounds=3)
