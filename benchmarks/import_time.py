"""How long `from ideogram_async import Ideogram, Generate` takes beside `import aiohttp`, each in a fresh interpreter.

Fair because both start from the same bare interpreter, with bytecode compiled, take turns, and are timed inside it. The
goal is a ratio of 0.5 or less: reading the names must cost little where nothing is sent.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from harness import keep

ROUNDS = 21
CONTENDERS = {
    "ideogram_async": "from ideogram_async import Ideogram, Generate",
    "aiohttp": "import aiohttp",
}
TIMER = "import time; began = time.perf_counter(); {statement}; print(time.perf_counter() - began)"


def seconds(statement: str) -> float:
    """Run a statement in a fresh interpreter."""
    script = TIMER.format(statement=statement)
    return float(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, text=True).stdout)


def main() -> None:
    """Let the contenders take turns, and print medians and their ratio."""
    times: dict[str, list[float]] = {name: [] for name in CONTENDERS}
    for _ in range(ROUNDS):
        for name, statement in CONTENDERS.items():
            times[name].append(seconds(statement))

    medians = {name: statistics.median(taken) for name, taken in times.items()}
    for name, median in medians.items():
        print(f"{name:<16} {median * 1000:7.1f} ms")

    least = {name: min(taken) for name, taken in times.items()}
    for word, figures in (("medians", medians), ("least", least)):
        print(f"ratio of {word:<8} {figures['ideogram_async'] / figures['aiohttp']:.2f} (goal: at most 0.50)")

    keep("import_time", {"medians": medians, "least": least})


if __name__ == "__main__":
    main()
