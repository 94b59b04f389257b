"""A folder's jobs as files for other programs: CSV for people with a spreadsheet, JSON lines for the rest."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ideogram_async._batch.costs import cost_of
from ideogram_async._batch.journal.queries import Entry, ImageRow, JobRow
from ideogram_async._download.atomic import atomic_write, remove_stale_files
from ideogram_async._download.hosts import scrub
from ideogram_async.errors import JournalError

COLUMNS = (
    "job",
    "key",
    "operation",
    "state",
    "image_state",
    "index",
    "path",
    "seed",
    "prompt",
    "resolution",
    "price_usd",
    "url",
    "sha256",
    "error",
)

# A spreadsheet takes these, also in their full width, for the beginning of a formula.
FORMULA = re.compile(r"\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")

CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

# JSON may keep these as they are, but some readers end a line at them.
NOT_IN_A_LINE = re.compile(r"[\x7f-\x9f\u2028\u2029]")


def export_csv(entries: Iterable[Entry], path: Path) -> Path:
    """Write a row an image; the file appears whole. Blocks."""
    remove_stale_files(path.parent)
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        table = csv.writer(text)
        table.writerow(COLUMNS)
        for entry in entries:
            table.writerows([defused(cell) for cell in row] for row in _rows(entry))

        text.flush()
        text.detach()

    return path


def export_jsonl(entries: Iterable[Entry], path: Path) -> Path:
    """Write a line a job; the file appears whole. Blocks."""
    remove_stale_files(path.parent)
    with atomic_write(path) as file:
        for entry in entries:
            line = json.dumps(_told(entry), ensure_ascii=False)
            safe = NOT_IN_A_LINE.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
            file.write(safe.encode(errors="backslashreplace") + b"\n")

    return path


def defused(cell: Any) -> Any:
    """Return a cell that no spreadsheet runs, and no terminal obeys. Numbers stay numbers."""
    if not isinstance(cell, str):
        return cell

    shown = CONTROL.sub("\N{REPLACEMENT CHARACTER}", cell)
    return f"'{shown}" if FORMULA.match(shown) else shown


def _rows(entry: Entry) -> Iterator[tuple[Any, ...]]:
    job = entry.job
    asked = _asked(job)
    price = cost_of(job.state, job.usd, job.resends)
    images: Sequence[ImageRow | None] = entry.images or [None]
    for image in images:
        yield (
            job.id or job.key,
            job.key,
            asked["operation"],
            str(job.state),
            *_cells(image, asked["fields"].get("prompt"), price),
            _why(job),
        )
        price = None


def _cells(image: ImageRow | None, prompt: str | None, price: Any) -> tuple[Any, ...]:
    if image is None:
        return (None, None, None, None, prompt, None, price, None, None)

    return (
        str(image.state),
        image.number,
        image.path,
        image.seed,
        image.prompt or prompt,
        image.resolution,
        price,
        _bare(image),
        image.sha256,
    )


def _told(entry: Entry) -> dict[str, Any]:
    job = entry.job
    price = cost_of(job.state, job.usd, job.resends)
    return {
        "job": job.id or job.key,
        "key": job.key,
        "number": job.number,
        "state": str(job.state),
        "price_usd": None if price is None else str(price),
        "error": _why(job),
        "request": _asked(job),
        "images": [_image(image) for image in entry.images],
    }


def _image(image: ImageRow) -> dict[str, Any]:
    return {
        "index": image.number,
        "state": str(image.state),
        "path": image.path,
        "url": _bare(image),
        "seed": image.seed,
        "prompt": image.prompt,
        "resolution": image.resolution,
        "sha256": image.sha256,
        "size": image.size,
    }


def _asked(job: JobRow) -> dict[str, Any]:
    asked = json.loads(job.request)
    if not isinstance(asked, dict) or not {"operation", "fields"} <= set(asked):
        raise JournalError(f"the request of job {job.key} cannot be read")

    return asked


def _why(job: JobRow) -> str | None:
    """Say what went wrong: in our words, or in those of the service."""
    if job.error is not None or job.raw is None:
        return job.error

    return f"{job.status}: {job.raw[:300].decode(errors='replace')}"


def _bare(image: ImageRow) -> str | None:
    return None if image.url is None else scrub(image.url)
