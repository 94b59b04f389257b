"""Comparison of contenders that take turns against one server, each run in a fresh process.

A contender is a coroutine function of a URL, a count and keywords. It runs with a small count before it is measured, so
that imports and first connections do not count.
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

from nginx import is_installed, nginx_server, nginx_version

Contender = Callable[..., Coroutine[Any, Any, "dict[str, float] | None"]]
Figures = dict[str, float]

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
IMAGE_BYTES = 2_000
LIBRARIES = ("ideogram_async", "aiohttp", "httpx", "requests", "openai", "uvloop")


def fast_server() -> AbstractContextManager[str]:
    """Run a server that responds at once during the block, and return its URL."""
    return nginx_server(IMAGE_BYTES) if is_installed() else slow_server()


@contextmanager
def slow_server(*, image_bytes: int = IMAGE_BYTES, image_seconds: float = 0.0) -> Iterator[str]:
    """Run a server that delays each response as requested during the block, and return its URL.

    Args:
        image_bytes: The approximate size of an image.
        image_seconds: The delay of an image. Without one, nginx serves the images if it is installed.
    """
    with ExitStack() as stack:
        command = [sys.executable, str(HERE / "server.py"), f"--image-bytes={image_bytes}"]
        if image_seconds:
            command.append(f"--image-seconds={image_seconds}")
        elif is_installed():
            command.append(f"--images-at={stack.enter_context(nginx_server(image_bytes))}")

        server = stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        stack.callback(server.terminate)
        assert server.stdout is not None
        yield server.stdout.readline().strip()


def disk_folder() -> TemporaryDirectory[str]:
    """Create a temporary folder next to the code: the system's temporary folder is often not on a disk.

    Its files are removed at the end of all runs, because on some file systems creating a file is slow just after others
    were removed.
    """
    return TemporaryDirectory(dir=HERE.parent, prefix=".bench-")


async def run_workers(workers: int, count: int, work: Callable[[int], Coroutine[Any, Any, None]]) -> None:
    """Run `work(0)` to `work(count - 1)` in concurrent workers: the leanest loop there is."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await work(number)

    await asyncio.gather(*(worker() for _ in range(workers)))


def compare(
    script: str, contenders: Mapping[str, Contender], url: str, *, rounds: int, warmup: int, **options: object
) -> dict[str, Figures]:
    """Run all contenders once a round, in rotating order, and return the medians of each.

    Args:
        script: The script that defines the contenders.
        contenders: The contenders by name.
        url: The URL of the server.
        rounds: The number of runs of each contender.
        warmup: The count of the run before the measured one; 0 for none.
        **options: The keywords of the contenders.
    """
    options |= {"warmup": warmup}
    names, runs = list(contenders), {name: list[Figures]() for name in contenders}
    for number in range(rounds):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            runs[name].append(measure_in_process(script, name, url, options))

    return {name: {key: median(run[key] for run in each) for key in each[0]} for name, each in runs.items()}


def measure_in_process(script: str, name: str, url: str, options: Mapping[str, object]) -> Figures:
    """Measure one contender in a fresh process."""
    command = [sys.executable, script, "--contender", name, "--url", url, "--options", json.dumps(options)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(f"{name} failed:\n{process.stderr}")

    figures: Figures = json.loads(process.stdout)
    return figures


def run_script(contenders: Mapping[str, Contender], main: Callable[[int], None], *, rounds: int) -> None:
    """Measure the contender that the command line names; without one, compare all in `main(rounds)`."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--contender", choices=contenders)
    parser.add_argument("--url")
    parser.add_argument("--options", type=json.loads, default={})
    parser.add_argument("--rounds", type=int, default=rounds)
    arguments = parser.parse_args()
    if arguments.contender is None:
        main(arguments.rounds)
    else:
        print(json.dumps(measure(contenders[arguments.contender], arguments.url, arguments.options)))


def measure(contender: Contender, url: str, options: dict[str, Any]) -> Figures:
    """Run a contender, and return its seconds by the clock and of CPU time, and its memory in MB."""
    warmup = options.pop("warmup")

    async def run() -> Figures:
        if warmup:
            await contender(url, **options | {"count": warmup})

        memory, started, cpu = resident(), time.perf_counter(), time.process_time()
        figures = await contender(url, **options)
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu
        measured = {"count": options["count"], "wall": wall, "cpu": cpu, "grown": peak() - memory, "peak": peak()}
        return {**measured, **(figures or {})}

    with asyncio.Runner(loop_factory=loop_factory_of(contender)) as runner:
        return runner.run(run())


def loop_factory_of(contender: Contender) -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return the factory of a contender's event loop: uvloop's if its name ends with `uvloop`."""
    if not contender.__name__.endswith("uvloop"):
        return None

    import uvloop

    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def resident() -> float:
    """Return the resident memory in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def peak() -> float:
    """Return the peak of the resident memory in MB."""
    # Not `getrusage`, whose peak starts with that of the parent process.
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6


def describe_machine() -> str:
    """Return the versions of Python, the libraries and nginx, the number of cores and the system."""
    parts = [f"Python {platform.python_version()}", f"{os.cpu_count()} cores", platform.system()]
    return ", ".join(part for part in [*parts, *map(library_version, LIBRARIES), nginx_version()] if part)


def library_version(library: str) -> str:
    """Return a library's name and version; an empty string if it is not installed."""
    try:
        return f"{library} {version(library.replace('_', '-'))}"
    except PackageNotFoundError:
        return ""


def write_results(benchmark: str, figures: object) -> None:
    """Write the figures of a benchmark, and the machine, to the file of all results."""
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    results[benchmark] = figures
    results["machines"] = {**results.get("machines", {}), benchmark: describe_machine()}
    RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
