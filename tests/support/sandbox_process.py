"""A sandbox in its own process, whose ledger outlives the processes that use it.

As a program it serves, prints its address, and answers each line of its input with a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

__all__ = ["SandboxProcess"]


class SandboxProcess:
    """A running sandbox process, and a context manager that ends it."""

    def __init__(self, **options: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.url: str = self._read()["url"]

    def ledger(self) -> dict[str, Any]:
        """Return what was billed: the numbers of `calls`, `images` and `duplicates`."""
        return self._request("ledger")

    def reset(self) -> None:
        """Reset the sandbox."""
        self._request("reset")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()

    def _request(self, command: str) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


async def serve(options: dict[str, Any]) -> None:
    from ideogram_async.sandbox import Sandbox
    from ideogram_async.sandbox import images as origin

    origin.draw = draw_small
    if isinstance(options.get("latency"), list):
        options["latency"] = tuple(options["latency"])

    loop = asyncio.get_running_loop()
    async with Sandbox(**options) as sandbox:
        write({"url": sandbox.url})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            if line.strip() == "reset":
                sandbox.reset()

            await sandbox.wait_idle()
            ledger = sandbox.ledger
            write(
                {
                    "calls": len(ledger.entries),
                    "images": ledger.billed_images,
                    "duplicates": len(ledger.duplicates),
                }
            )


def write(answer: dict[str, Any]) -> None:
    sys.stdout.write(f"{json.dumps(answer)}\n")
    sys.stdout.flush()


def draw_small(recipe: Any, _: str) -> bytes:
    """Draw a small image of its own size for each seed."""
    from support.pictures import picture

    return picture(size=(64 + recipe.seed % 64, 48))


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
