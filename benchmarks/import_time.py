"""Time and number of modules of `from ideogram_async import Ideogram, Generate`.

All contenders take turns, start from the same bare interpreter with compiled bytecode, and are timed inside it. Modules
that a client loads at its first use are not counted, for ours as for the others.

    python benchmarks/import_time.py
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median

from harness import Figures, describe_machine, write_results

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
before, started = len(sys.modules), time.perf_counter()
{statement}
print(time.perf_counter() - started, len(sys.modules) - before)
"""


def measure(statement: str) -> tuple[float, float]:
    """Run a statement in a fresh interpreter, and return its seconds and the number of modules it loaded."""
    script = TIMER.format(statement=statement)
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True)
    seconds, modules = map(float, process.stdout.split())
    return seconds, modules


def main() -> None:
    """Run the contenders in turns, and print medians and ratios."""
    print(describe_machine())
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in CONTENDERS}
    for _ in range(ROUNDS):
        for name, statement in CONTENDERS.items():
            runs[name].append(measure(statement))

    results: dict[str, Figures] = {}
    for name, times in runs.items():
        seconds, modules = map(median, zip(*times, strict=True))
        results[name] = {"seconds": seconds, "modules": modules}

    base = results["aiohttp"]["seconds"]
    print("\nimport               time            modules")
    for name, figures in results.items():
        seconds, modules = figures["seconds"], figures["modules"]
        print(f"{name:16} {1000 * seconds:6.1f} ms {seconds / base:5.2f} x {modules:6.0f}")

    write_results("import_time", results)


if __name__ == "__main__":
    main()
