"""A sandbox in a process of its own: whatever happens to a batch, its ledger stands.

Run as a script it serves, prints its address, and answers each line of its input with a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

__all__ = ["Judge"]


class Judge:
    """The other process, seen from here."""

    def __init__(self, **options: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url: str = self._read()["url"]

    def ledger(self) -> dict[str, Any]:
        """Return what was billed: `images`, `calls`, `duplicates`, and the `prompts` of every request."""
        return self._ask("ledger")

    def reset(self) -> None:
        """Forget everything."""
        self._ask("reset")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def _ask(self, word: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


async def serve(options: dict[str, Any]) -> None:
    from ideogram_async.sandbox import Sandbox
    from ideogram_async.sandbox import images as origin

    origin.draw = small
    if "latency" in options and isinstance(options["latency"], list):
        options["latency"] = tuple(options["latency"])

    loop = asyncio.get_running_loop()
    async with Sandbox(**options) as box:
        say({"url": box.url})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.strip() == "reset":
                box.reset()

            await box.wait_idle()
            answer = {
                "calls": len(box.ledger.entries),
                "images": box.ledger.billed_images,
                "duplicates": len(box.ledger.duplicates),
                "requests": len(box.requests),
                "image_requests": len(box.image_requests),
                "peak": box.peak_in_flight,
            }
            say(answer)


def say(answer: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


def small(recipe: Any, _: str) -> bytes:
    """Draw next to nothing, another image for each seed."""
    from support.pictures import picture

    # What follows the image in its file belongs to nobody, and makes each file another.
    return picture(size=(64 + recipe.seed % 64, 48))


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
