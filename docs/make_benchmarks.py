"""Generator of the tables in `benchmarks.md`: run it after the benchmarks have written new results."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PAGE = Path(__file__).with_name("benchmarks.md")
RESULTS = PAGE.parents[1] / "benchmarks" / "results.json"
TABLE = re.compile(r"(?<=<!-- table: )(\w+) -->\n.*?(?=<!-- end -->)", re.DOTALL)
CALLS = {
    "aiohttp": "aiohttp, bare loop",
    "ideogram_async": "**ideogram_async**, `reuse_connections=True`",
    "ideogram_async, uvloop": "ideogram_async on uvloop, `reuse_connections=True`",
    "requests, threads": "requests in threads",
    "httpx": "httpx",
    "openai": "openai's client",
    "aiohttp, fresh": "aiohttp, bare loop, a new connection for each call",
    "ideogram_async, fresh": "**ideogram_async**, default settings: a new connection for each call",
}
IMAGES = {
    "aiohttp, stores nothing": "aiohttp, no files, no verification",
    "httpx, stores nothing": "httpx under one semaphore, no files, no verification",
    "ideogram_async": "**ideogram_async**, a batch: journal, verification, hash, fsync",
    "ideogram_async, no journal": "the client alone, in a loop: verification, hash, fsync",
    "aiohttp, durable": "aiohttp, a handwritten durable loop",
    "aiohttp, semaphore": "aiohttp under one semaphore, no verification, no fsync",
    "httpx, semaphore": "httpx under one semaphore, no verification, no fsync",
}
OBJECTS = {
    "folder": "`FolderSink`: verification, hash, fsync",
    "object store": "`ObjectSink`: verification, hash, one PUT",
    "object store, 16 MiB": "`ObjectSink(store, max_memory=16 * 2**20)`",
}
LEDGERS = {
    "sqlite, no budget": "`SqliteLedger(path)`",
    "sqlite, budget": "`SqliteLedger(path, max_cost_usd=1000)`",
    "postgres, no budget": "`PostgresLedger(dsn)`",
    "postgres, budget": "`PostgresLedger(dsn, max_cost_usd=1000)`",
}
SLOTS = (
    ("ideal: exactly the drawn times, in the same order", "ideal", "ideal"),
    ("aiohttp in the same order, no journal, no downloads", "bare", None),
    ("**ideogram_async**, a batch", "batch", "layers"),
    ("aiohttp under one semaphore", "semaphore", None),
)


def page(text: str, results: dict[str, Any]) -> str:
    """Return the text of the page with tables of the results."""
    tables = {
        "calls": call_table(results["calls"]),
        "images": image_table(results["durable"]),
        "objects": object_table(results["objects"]),
        "ledgers": ledger_table(results["ledger"]),
        "slots": slot_table(results["slots"]),
        "tenant": tenant_table(results["tenant"]),
        "size": size_table(results),
    }
    return TABLE.sub(lambda match: f"{match[1]} -->\n\n{tables[match[1]]}\n\n", text)


def call_table(results: dict[str, Any]) -> str:
    """Return the CPU of a call, absolute and relative to the bare loop."""
    rows = []
    for name, label in CALLS.items():
        cpu = 1000 * results["10"][name]["cpu"] / results["10"][name]["count"]
        runs = [results[in_flight] for in_flight in ("10", "50", "200")]
        ratios = [f"{run[name]['cpu'] / run['aiohttp']['cpu']:.2f}" for run in runs]
        rows.append([label, f"{cpu:.2f} ms", *ratios])

    return table(["", "CPU, 10 in flight", "relative", "50 in flight", "200 in flight"], rows)


def image_table(results: dict[str, Any]) -> str:
    """Return the time, the CPU and the lag of an image."""
    base, rows = results["aiohttp, stores nothing"], []
    for name, label in IMAGES.items():
        figures = results[name]
        cpu = f"{figures['cpu'] / base['cpu']:.2f} ({1000 * figures['cpu'] / figures['count']:.1f} ms)"
        rows.append([label, f"{figures['wall'] / base['wall']:.2f}", cpu, f"{figures['lag_p99']:.1f} ms"])

    return table(["", "time", "CPU of an image", "lag of the event loop, p99"], rows)


def object_table(results: dict[str, Any]) -> str:
    """Return the CPU of an image and the memory of sinks."""
    rows = []
    for name, label in OBJECTS.items():
        cpu = 1000 * results[name]["cpu"] / results[name]["count"]
        ratio = results[name]["cpu"] / results["folder"]["cpu"]
        rows.append([label, f"{ratio:.2f} ({cpu:.1f} ms)", f"+{results[name]['grown']:.0f} MB"])

    return table(["", "CPU of an image", "memory"], rows)


def ledger_table(results: dict[str, Any]) -> str:
    """Return the time and the CPU of the record of a call."""
    rows = [
        [label, f"{results[name]['median']:.1f} ms", f"{results[name]['cpu']:.1f} ms"]
        for name, label in LEDGERS.items()
    ]
    return table(["", "median", "CPU"], rows)


def slot_table(results: dict[str, Any]) -> str:
    """Return the durations relative to the lower bound."""
    rows = []
    for label, real, virtual in SLOTS:
        cells = [
            results[time][name]["ratio"] if name else None for time, name in (("real", real), ("virtual", virtual))
        ]
        rows.append([label, *("" if ratio is None else f"{ratio:.3f}" for ratio in cells)])

    return table(["", "1 to 3 s, real time", "5 to 15 s, virtual time"], rows)


def tenant_table(results: dict[str, Any]) -> str:
    """Return the slot use next to another client."""
    rows = [
        ["images, relative to those that fit into the free slots", f"{100 * results['share']:.1f} %"],
        ["429s for 100 images", f"{results['refused_percent']:.1f}"],
    ]
    return table(["", ""], rows)


def size_table(results: dict[str, Any]) -> str:
    """Return the figures of large batches, of uploads and of the import."""
    large, upload, imports = results["large"], results["upload"], results["import_time"]
    first, jobs, memory = large["first run"], large["jobs"], {name: each["memory"] for name, each in upload.items()}
    ours, aiohttp = imports["ideogram_async"], imports["aiohttp"]
    ratio = ours["seconds"] / aiohttp["seconds"]
    rows = [
        [f"memory, from the 1,000th to the {jobs:,}th job", f"+{first['peak_memory'] - first['memory']:.1f} MB"],
        ["open files", f"{first['files']}"],
        ["a job, when the service responds at once", f"{1000 * first['seconds'] / jobs:.1f} ms"],
        [f"resuming a folder of {jobs:,} finished jobs", f"{large['resumed']['seconds']:.1f} s"],
        [
            "memory for the upload of 10 MB by its path",
            f"{memory['ideogram_async']:.1f} MB (httpx {memory['httpx']:.0f}, requests {memory['requests']:.0f})",
        ],
        [
            "`from ideogram_async import Ideogram, Generate`",
            f"{ratio:.2f} of `import aiohttp`; {ours['modules']:.0f} modules, aiohttp {aiohttp['modules']:.0f}",
        ],
    ]
    return table(["", ""], rows)


def table(header: list[str], rows: Iterable[list[str]]) -> str:
    """Return a table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("|" + "".join(f" {cell} |" if cell else " |" for cell in line) for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8"), json.loads(RESULTS.read_text())), encoding="utf-8")
