"""A sandbox in its own process, whose ledger outlives the processes that use it.

As a program it serves until its input ends.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import urllib.request
from types import TracebackType
from typing import Any, Self

__all__ = ["SandboxProcess"]


class SandboxProcess:
    """A running sandbox process, and a context manager that ends it."""

    def __init__(self, **options: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, json.dumps(options)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.url: str = self._process.stdout.readline().strip()

    def ledger(self) -> dict[str, Any]:
        """Return the `calls`, `images`, `duplicates` and the `peak` in flight, once no call is processed."""
        self.control("wait")
        ledger = self.control("ledger")
        return {
            "calls": len(ledger["entries"]),
            "images": ledger["billed_images"],
            "duplicates": len(ledger["duplicates"]),
            "peak": ledger["peak_in_flight"],
        }

    def reset(self) -> None:
        """Reset the sandbox."""
        self.control("reset")

    def control(self, command: str, **arguments: Any) -> dict[str, Any]:
        """Run a command of the sandbox's control, such as `faults`."""
        body = None if command in {"ledger", "requests"} else json.dumps(arguments).encode()
        # The settings of a proxy do not concern this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url}/sandbox/{command}", body) as reply:
            answer: dict[str, Any] = json.load(reply)
            return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()


async def serve(options: dict[str, Any]) -> None:
    from ideogram_async.sandbox import Sandbox
    from ideogram_async.sandbox import images as origin

    origin.draw = draw_small
    if isinstance(options.get("latency"), list):
        options["latency"] = tuple(options["latency"])

    async with Sandbox(**options, control=True) as sandbox:
        sys.stdout.write(f"{sandbox.url}\n")
        sys.stdout.flush()
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def draw_small(recipe: Any, _: str) -> bytes:
    """Draw a small image of its own size for each seed."""
    from support.pictures import picture

    return picture(size=(64 + recipe.seed % 64, 48))


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
