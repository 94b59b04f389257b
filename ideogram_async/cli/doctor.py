"""A look around before money is spent: key, host, clock, disk. Buys nothing, and sends no key."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from ideogram_async.cli.exits import Exit
from ideogram_async.cli.options import Json
from ideogram_async.cli.say import console, safe, say_json
from ideogram_async.cli.visits import Finding, look_at_clock, look_at_disk, look_at_extras, look_at_key, visit

__all__ = ["doctor"]

SIGNS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "yellow")}


def doctor(
    folder: Path = Path(),
    *,
    json: Json = False,
) -> int:
    """Look whether all is well: key, host, clock, disk. Buys nothing, and shows no key.

    Args:
        folder: Where images are to go.
    """
    findings = list(_look_around(folder))
    is_well = all(finding.is_well is not False for finding in findings)
    code = Exit.OK if is_well else Exit.FAILED
    if json:
        say_json({"event": "Doctor", "findings": findings, "exit": code})
        return code

    for finding in findings:
        sign, colour = SIGNS[finding.is_well]
        told = Text.assemble((f"{sign} ", colour), (f"{finding.name:<8}", "bold"), safe(finding.told))
        console().print(told)

    return code


def _look_around(folder: Path) -> Iterator[Finding]:
    yield look_at_key()
    visited, host_time = asyncio.run(visit())
    yield visited
    yield look_at_clock(host_time)
    yield look_at_disk(folder)
    yield look_at_extras()
