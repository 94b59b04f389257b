"""A small bulk run against the sandbox: generate, remix, upscale, and download every image. Costs nothing."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeAlias

from ideogram_async import (
    Generate,
    GenerateImageResponse,
    Ideogram,
    ImageGenerationObjectV3,
    ImageGenerationResponseV3,
    Remix,
    Upscale,
)
from ideogram_async.sandbox import Sandbox

__all__ = ["main"]

PROMPTS = (
    "a red fox in fresh snow, morning light",
    "a lighthouse in a storm, oil on canvas",
    "the word HELLO made of wild flowers",
    "a paper boat on a sea of stars",
    "a quiet street in Lisbon after rain",
    "a map of an island that does not exist",
    "an owl reading a newspaper, woodcut",
    "a glass teapot with a garden inside",
    "a train crossing a valley of clouds",
    "a bicycle leaning on a yellow wall",
    "a whale above the rooftops at dusk",
    "a still life with seven lemons",
)

# Seconds that the sandbox takes for a call; the service takes longer.
LATENCY = (0.1, 0.5)
INTERRUPTED = 130  # exit code
ImageResponse: TypeAlias = ImageGenerationResponseV3 | GenerateImageResponse


class Demo:
    """A run of the demo: sends requests, downloads the images, and counts."""

    def __init__(self, client: Ideogram, folder: Path) -> None:
        self.client = client
        self.folder = folder
        self.stored: Counter[str] = Counter()
        self.usd: Decimal = Decimal(0)

    async def run(self) -> None:
        """Generate from all prompts, remix and upscale some of the results."""
        requests = [Generate(prompt, num_images=1 + n % 3) for n, prompt in enumerate(PROMPTS)]
        answers = await self.make_all("generate", requests)
        first: list[ImageGenerationObjectV3] = [answer.data[0] for answer in answers]
        await asyncio.gather(
            self.make_all("remix", [Remix(image, f"{image.prompt}, at night") for image in first[:4]]),
            self.make_all("upscale", [Upscale(image, prompt=image.prompt, resemblance=70) for image in first[4:7]]),
        )

    async def make_all(self, stage: str, requests: Iterable[Any]) -> list[Any]:
        """Send all requests concurrently, as far as the client's limiter allows."""
        return await asyncio.gather(*(self.make(stage, request) for request in requests))

    async def make(self, stage: str, request: Any) -> ImageResponse:
        """Send one request and download its images concurrently."""
        answer: ImageResponse = await self.client.send(request)
        self.usd += self.client.estimate(request).usd or 0
        paths = await asyncio.gather(
            *(self.client.download(image, f"{self.folder / stage}/") for image in answer if image.url)
        )
        self.stored[stage] += len(paths)
        print(f"  {stage:<9} {len(paths)} x {self.title(answer)}", flush=True)
        return answer

    def title(self, answer: ImageResponse) -> str:
        """Describe an answer by its first image."""
        image = answer.data[0]
        return f"{image.prompt[:56]:<58}{image.upscaled_resolution or image.resolution!s:>10}  seed {image.seed}"


def main(argv: Sequence[str] | None = None, *, prog: str = "python -m ideogram_async demo") -> int:
    """Run the demo and return an exit code."""
    parser = argparse.ArgumentParser(prog=prog, description=__doc__, epilog=f"example: {prog} --folder foxes")
    parser.add_argument(
        "--folder", type=Path, default=Path("images"), help="folder for the images (default: %(default)s)"
    )
    folder: Path = parser.parse_args(argv).folder
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"cannot create the folder {folder}: {error.strerror}")

    try:
        asyncio.run(_show(folder))
    except KeyboardInterrupt:
        print("\nInterrupted; nothing was billed, since this is a sandbox.")
        return INTERRUPTED
    except ImportError as error:
        sys.stderr.write(f"{error}\n")
        return 1

    return 0


async def _show(folder: Path) -> None:
    started = time.monotonic()
    async with Sandbox(latency=LATENCY) as sandbox, Ideogram("sandbox", base_url=sandbox.url) as client:
        print(f"A sandbox replaces the service at {sandbox.url}; 10 images may be in progress at once.\n")
        demo = Demo(client, folder)
        await demo.run()
        seconds = time.monotonic() - started
        _print_summary(demo, sandbox, seconds)


def _print_summary(demo: Demo, sandbox: Sandbox, seconds: float) -> None:
    stored = ", ".join(f"{count} by {stage}" for stage, count in demo.stored.items())
    print(f"\n{demo.stored.total()} images ({stored}) in {seconds:.1f} s")
    print(f"  most in progress at once   {sandbox.peak_in_flight}")
    print(f"  rejected with 429          {demo.client.limiter.statistics().rejected}")
    print(f"  would have cost            {demo.usd} USD (the sandbox billed {sandbox.ledger.billed_usd})")
    print(f"  billed twice               {len(sandbox.ledger.duplicates)}")
    print(f"  stored in                  {demo.folder.resolve()}")
