"""Measures how long `from ideogram_async import Ideogram, Generate` takes, and how many modules it loads.

Fair because all start from the same bare interpreter, with bytecode compiled, take turns, and are timed inside it. What
a client loads when it is first used comes on top, for ours as for the others.

    python benchmarks/import_time.py
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from harness import Figures, keep, machine

ROUNDS = 15
CONTENDERS = {
    "ideogram_async": "from ideogram_async import Ideogram, Generate",
    "aiohttp": "import aiohttp",
    "requests": "import requests",
    "httpx": "import httpx",
    "openai": "from openai import AsyncOpenAI",
}
TIMER = """
import sys, time
before, began = len(sys.modules), time.perf_counter()
{statement}
print(time.perf_counter() - began, len(sys.modules) - before)
"""


def measured(statement: str) -> tuple[float, float]:
    """Run a statement in a fresh interpreter, and return its seconds and how many modules it has loaded."""
    script = TIMER.format(statement=statement)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    seconds, modules = map(float, done.stdout.split())
    return seconds, modules


def main() -> None:
    """Let the contenders take turns, and print medians and ratios."""
    print(machine())
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(ROUNDS):
        for name, statement in CONTENDERS.items():
            taken[name].append(measured(statement))

    kept: dict[str, Figures] = {}
    for name, times in taken.items():
        seconds, modules = map(median, zip(*times, strict=True))
        kept[name] = {"seconds": seconds, "modules": modules}

    base = kept["aiohttp"]["seconds"]
    print("\nimport               time            modules")
    for name, figures in kept.items():
        seconds, modules = figures["seconds"], figures["modules"]
        print(f"{name:16} {1000 * seconds:6.1f} ms {seconds / base:5.2f} x {modules:6.0f}")

    keep("import_time", kept)


if __name__ == "__main__":
    main()
