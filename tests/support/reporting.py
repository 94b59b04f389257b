"""Reports of a program that a test has started, as lines of its output."""

from __future__ import annotations

import sys
from typing import Any

from ideogram_async import Ideogram

__all__ = ["ReportingClient", "report"]


class ReportingClient(Ideogram):
    """A client that reports its keyed calls."""

    async def once(self, *arguments: Any, **options: Any) -> Any:
        report("call")
        return await super().once(*arguments, **options)


def report(line: str) -> None:
    """Write a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
