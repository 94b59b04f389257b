"""Export of a batch folder: CSV for spreadsheets, JSON lines for programs. Either can be run again as a jobs file."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ideogram_async._batch.costs import cost_of
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.reader import read_snapshot
from ideogram_async._batch.journal.rows import Entry, ImageRow, JobRow, read_texts
from ideogram_async._batch.journal.schema import HIDDEN
from ideogram_async._download.atomic import atomic_write, remove_stale_files
from ideogram_async._download.hosts import scrub
from ideogram_async._ledger.serialization import request_class_of
from ideogram_async._rows.exported import (
    RESULT_COLUMNS,
    dump_json,
    escape_cell,
    name_carried,
    write_cell,
    write_name,
    write_text,
)
from ideogram_async._rows.fields import UNCHECKED, AnyRequest, fields_of, image_operations
from ideogram_async._rows.options import row_operation
from ideogram_async.errors import JournalError


class _NewColumnError(Exception):
    """A job has a column that the table lacks: a running batch has recorded it meanwhile."""


def export_csv(folder: Path, entries: Callable[[], Iterable[Entry]], path: Path) -> Path:
    """Write a row for each image, atomically. Blocks."""
    remove_stale_files(path.parent)
    while True:
        try:
            return _write_table(folder, entries(), path)
        except _NewColumnError:
            continue


def export_jsonl(folder: Path, entries: Iterable[Entry], path: Path) -> Path:
    """Write a line for each job, atomically. Blocks."""
    remove_stale_files(path.parent)
    with atomic_write(path) as file:
        for entry in entries:
            file.write(dump_json(_to_object(entry, folder)).encode() + b"\n")

    return path


def _write_table(folder: Path, entries: Iterable[Entry], path: Path) -> Path:
    fields, carried = read_snapshot(folder, queries.column_names)
    known = dict.fromkeys(name for request in image_operations().values() for name in fields_of(request))
    columns = ["operation", "id", *(name for name in known if name in fields), *RESULT_COLUMNS]
    names = name_carried(carried)
    with atomic_write(path) as file:
        # With a mark: without it, Excel takes the file for another encoding.
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        table = csv.writer(text)
        table.writerow([*columns, *map(write_name, names.values())])
        for entry in entries:
            job = _job_cells(entry.job, folder)
            texts = read_texts(entry.job, "carried")
            if not (job.keys() <= {*columns} and texts.keys() <= names.keys()):
                raise _NewColumnError

            own = [write_text(texts.get(name, "")) for name in names]
            table.writerows([*map((job | result).get, columns), *own] for result in _result_cells(entry))

        text.flush()
        text.detach()

    return path


def _job_cells(job: JobRow, folder: Path) -> dict[str, object]:
    request, values = _read_request(job, folder)
    fields, (operation, named) = fields_of(request), row_operation(request, values)
    cells = {name: write_cell(fields[name], value) for name, value in named.items()}
    return {"operation": operation, "id": None if job.id is None else write_name(job.id), **cells}


def _result_cells(entry: Entry) -> Iterator[dict[str, object]]:
    job = entry.job
    price = cost_of(job.state, job.usd, job.resends)
    common = {"state": str(job.state), "error": _error(job), "key": job.key}
    images: Sequence[ImageRow | None] = entry.images or [None]
    for image in images:
        # The price is in the first row only, so that the column adds up.
        cells = {**common, "price_usd": price, **({} if image is None else _image_cells(image))}
        yield {f"result_{name}": _escaped(cell) for name, cell in cells.items()}
        price = None


def _escaped(cell: object) -> object:
    return escape_cell(cell) if isinstance(cell, str) else cell


def _image_cells(image: ImageRow) -> dict[str, object]:
    fields = _image_fields(image)
    fields["image_state"] = fields.pop("state")
    del fields["size"]
    return fields


def _to_object(entry: Entry, folder: Path) -> dict[str, object]:
    job = entry.job
    operation, values = row_operation(*_read_request(job, folder))
    price = cost_of(job.state, job.usd, job.resends)
    result = {
        "state": str(job.state),
        "price_usd": None if price is None else str(price),
        "error": _error(job),
        "key": job.key,
        "number": job.number,
        "images": [_image_fields(image) for image in entry.images],
    }
    name = {} if job.id is None else {"id": job.id}
    carried = read_texts(job, "carried")
    own = {"carried": carried} if carried else {}
    return {"operation": operation, **name, **values, **own, "result": result}


def _image_fields(image: ImageRow) -> dict[str, object]:
    return {
        "index": image.number,
        "state": str(image.state),
        "problem": image.problem,
        "tried_at": image.tried_at,
        "path": image.path if image.uri is None else None,
        "uri": image.uri,
        "url": None if image.url is None else scrub(image.url),
        "seed": image.seed,
        "prompt": image.prompt,
        "resolution": image.resolution,
        "sha256": image.sha256,
        "size": image.size,
    }


def _read_request(job: JobRow, folder: Path) -> tuple[type[AnyRequest], dict[str, object]]:
    """Return the operation of a job, and its fields as a jobs file has them."""
    try:
        data = json.loads(job.request)
        request = request_class_of(data)
        inputs = folder.absolute() / HIDDEN / "inputs"
        values = data["fields"] | data.get("mode", {})
        values = {name: _row_value(value, inputs) for name, value in values.items()}
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError):
        raise JournalError(f"the request of job {job.key} cannot be read") from None

    # In the order of the signature, and only fields that the request has.
    return request, {name: values[name] for name in fields_of(request) if name in values}


def _row_value(value: object, inputs: Path) -> object:
    match value:
        case {"file": {"path": str(path)}}:
            return path
        case {"file": {"sha256": str(digest)}}:
            return str(inputs / digest)
        case {"palette": list(members)}:
            return [_color(_row_value(color, inputs), weight) for color, weight in members]
        case {"palette": name}:
            return _row_value(name, inputs)
        case {"unchecked": str(text)}:
            return UNCHECKED + text
        case {"asset": dict(asset)}:
            return asset
        case {"json": str(text)} | {"json_prompt": str(text)}:
            return json.loads(text)
        case [{"field": str()}, *_]:
            return _named_files(value, inputs)
        case list():
            return [_row_value(item, inputs) for item in value]
        case {"job": str(id), "index": int(index)}:
            return {"job": id, "index": index}
        case str() | int():
            return value
        case _:
            raise ValueError(f"{value!r} is not a value of a request")


def _named_files(files: Iterable[Any], inputs: Path) -> dict[object, object]:
    named: dict[object, list[object]] = {}
    for file in files:
        named.setdefault(file["field"], []).append(_row_value(file, inputs))

    return {name: values[0] if len(values) == 1 else values for name, values in named.items()}


def _color(color: object, weight: float | None) -> object:
    return color if weight is None else {"color_hex": color, "color_weight": weight}


def _error(job: JobRow) -> str | None:
    """Return the error of a job, or the beginning of the service's response."""
    if (accepted := job.accepted) is not None:
        return f"the generation {accepted} has not ended yet"

    if job.error is not None or job.raw is None:
        return job.error

    return f"{job.status}: {job.raw[:300].decode(errors='replace')}"
