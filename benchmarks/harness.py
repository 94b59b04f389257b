"""Lets contenders take turns against one server, each time in a fresh process, and compares their medians.

A contender is a coroutine function of an address, a count and keywords. It does some of its work before it is measured,
so that neither imports nor first connections count.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from nginx import is_here, nginx, nginx_version

__all__ = [
    "Contender",
    "Figures",
    "compare",
    "contend",
    "gather",
    "keep",
    "machine",
    "on_disk",
    "peak",
    "resident",
    "serving",
    "serving_slowly",
]

Contender = Callable[..., Coroutine[Any, Any, "dict[str, float] | None"]]
Figures = dict[str, float]

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
IMAGE_BYTES = 2_000
LIBRARIES = ("ideogram_async", "aiohttp", "httpx", "requests", "openai", "uvloop")


def serving() -> AbstractContextManager[str]:
    """Start a server that answers at once, give its address, and end it."""
    return nginx(IMAGE_BYTES) if is_here() else serving_slowly()


@contextmanager
def serving_slowly(*, image_bytes: int = IMAGE_BYTES, image_seconds: float = 0.0) -> Iterator[str]:
    """Start a server that lets calls wait, and images if it is to, give its address, and end it."""
    with ExitStack() as stack:
        command = [sys.executable, str(HERE / "server.py"), f"--image-bytes={image_bytes}"]
        if image_seconds:
            command.append(f"--image-seconds={image_seconds}")
        elif is_here():
            command.append(f"--images-at={stack.enter_context(nginx(image_bytes))}")

        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(server.terminate)
        assert server.stdout is not None
        yield server.stdout.readline().strip()


def on_disk() -> TemporaryDirectory[str]:
    """Make a folder on a disk, which a temporary one often is not.

    What it holds is removed when all is over: on some file systems a file is slow to make when others have just been
    removed.
    """
    return TemporaryDirectory(dir=HERE.parent, prefix=".bench-")


async def gather(workers: int, count: int, work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Do a work so many times, by so many workers that each take the next: the leanest loop there is."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    await asyncio.gather(*(worker() for _ in range(workers)))


def compare(
    script: str, contenders: Mapping[str, Contender], url: str, *, rounds: int, warm: int, **options: object
) -> dict[str, Figures]:
    """Let all contenders run once a round, in an order that turns, and return the medians of each.

    Args:
        script: Where the contenders are.
        contenders: Who takes turns.
        url: Where the server is.
        rounds: How many turns each has.
        warm: With what count each warms up; 0 for not at all.
        **options: What the contenders take.
    """
    options |= {"warm": warm}
    names, taken = list(contenders), {name: list[Figures]() for name in contenders}
    for turn in range(rounds):
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            taken[name].append(run_apart(script, name, url, options))

    return {name: {key: median(each[key] for each in all_) for key in all_[0]} for name, all_ in taken.items()}


def run_apart(script: str, name: str, url: str, options: Mapping[str, object]) -> Figures:
    """Run one contender in a fresh process."""
    command = [sys.executable, script, "--contender", name, "--url", url, "--options", json.dumps(options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name} failed:\n{done.stderr}")

    figures: Figures = json.loads(done.stdout)
    return figures


def contend(contenders: Mapping[str, Contender], main: Callable[[int], None], *, rounds: int) -> None:
    """Be the one contender that the command line names, or compare all of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contender", choices=contenders)
    parser.add_argument("--url")
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--rounds", type=int, default=rounds)
    chosen = parser.parse_args()
    if chosen.contender is None:
        main(chosen.rounds)
    else:
        print(json.dumps(measured(contenders[chosen.contender], chosen.url, chosen.options)))


def measured(contender: Contender, url: str, options: dict[str, Any]) -> Figures:
    """Run a contender, and return its seconds by the clock and of the processor, and the memory it took in MB."""
    warm = options.pop("warm")

    async def work() -> Figures:
        if warm:
            await contender(url, **options | {"count": warm})

        before, began, worked = resident(), time.perf_counter(), time.process_time()
        told = await contender(url, **options)
        wall, processor = time.perf_counter() - began, time.process_time() - worked
        return {"wall": wall, "cpu": processor, "grown": peak() - before, "peak": peak(), **(told or {})}

    with asyncio.Runner(loop_factory=loop_of(contender)) as runner:
        return runner.run(work())


def loop_of(contender: Contender) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return how the event loop of a contender is made: one that is named after uvloop runs on that."""
    if not contender.__name__.endswith("uvloop"):
        return None

    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def resident() -> float:
    """Return the resident memory in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def peak() -> float:
    """Return the most memory that was resident at once, in MB."""
    # Not `getrusage`: its mark begins with the one of the process that started this one.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def machine() -> str:
    """Say on what this runs."""
    parts = [f"Python {platform.python_version()}", f"{os.cpu_count()} cores", platform.system()]
    return ", ".join(told for told in [*parts, *map(versioned, LIBRARIES), nginx_version()] if told)


def versioned(library: str) -> str:
    """Name a library with its version; nothing if it is not there."""
    try:
        return f"{library} {version(library.replace('_', '-'))}"
    except PackageNotFoundError:
        return ""


def keep(measure: str, figures: object) -> None:
    """Write the figures of a measure, and where they are from, beside those of the others."""
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    kept[measure] = figures
    kept["machines"] = {**kept.get("machines", {}), measure: machine()}
    RESULTS.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n")
