"""Export of a batch folder: CSV for spreadsheets, JSON lines for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
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

# A spreadsheet treats these, also in full width, as the start of a formula.
FORMULA = re.compile(r"\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

# JSON permits these unescaped, but some readers end a line at them.
LINE_BREAK = re.compile(r"[\x7f-\x9f\u2028\u2029]")


def export_csv(entries: Iterable[Entry], path: Path) -> Path:
    """Write a row for each image, atomically. Blocks."""
    remove_stale_files(path.parent)
    with atomic_write(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", errors="backslashreplace", newline="")
        table = csv.writer(text)
        table.writerow(COLUMNS)
        for entry in entries:
            table.writerows([escape_cell(cell) for cell in row] for row in _rows(entry))

        text.flush()
        text.detach()

    return path


def export_jsonl(entries: Iterable[Entry], path: Path) -> Path:
    """Write a line for each job, atomically. Blocks."""
    remove_stale_files(path.parent)
    with atomic_write(path) as file:
        for entry in entries:
            line = json.dumps(_job_fields(entry), ensure_ascii=False)
            escaped = LINE_BREAK.sub(lambda match: f"\\u{ord(match[0]):04x}", line)
            file.write(escaped.encode(errors="backslashreplace") + b"\n")

    return path


def escape_cell(cell: object) -> object:
    """Escape text that a spreadsheet would run or that would control a terminal. Numbers stay numbers."""
    if not isinstance(cell, str):
        return cell

    text = CONTROL.sub("\N{REPLACEMENT CHARACTER}", cell)
    return f"'{text}" if FORMULA.match(text) else text


def _rows(entry: Entry) -> Iterator[tuple[object, ...]]:
    job = entry.job
    request = _request_fields(job)
    price = cost_of(job.state, job.usd, job.resends)
    images: Sequence[ImageRow | None] = entry.images or [None]
    for image in images:
        yield (
            job.id or job.key,
            job.key,
            request["operation"],
            str(job.state),
            *_image_cells(image, request["fields"].get("prompt"), price),
            _error(job),
        )
        # The price is in the first row only, so that the column adds up.
        price = None


def _image_cells(image: ImageRow | None, prompt: str | None, price: Decimal | None) -> tuple[object, ...]:
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
        _unsigned_url(image),
        image.sha256,
    )


def _job_fields(entry: Entry) -> dict[str, object]:
    job = entry.job
    price = cost_of(job.state, job.usd, job.resends)
    return {
        "job": job.id or job.key,
        "key": job.key,
        "number": job.number,
        "state": str(job.state),
        "price_usd": None if price is None else str(price),
        "error": _error(job),
        "request": _request_fields(job),
        "images": [_image_fields(image) for image in entry.images],
    }


def _image_fields(image: ImageRow) -> dict[str, object]:
    return {
        "index": image.number,
        "state": str(image.state),
        "path": image.path,
        "url": _unsigned_url(image),
        "seed": image.seed,
        "prompt": image.prompt,
        "resolution": image.resolution,
        "sha256": image.sha256,
        "size": image.size,
    }


def _request_fields(job: JobRow) -> dict[str, Any]:
    request = json.loads(job.request)
    if not isinstance(request, dict) or not {"operation", "fields"} <= set(request):
        raise JournalError(f"the request of job {job.key} cannot be read")

    return request


def _error(job: JobRow) -> str | None:
    """Return the error of a job, or the beginning of the service's response."""
    if job.error is not None or job.raw is None:
        return job.error

    return f"{job.status}: {job.raw[:300].decode(errors='replace')}"


def _unsigned_url(image: ImageRow) -> str | None:
    return None if image.url is None else scrub(image.url)
