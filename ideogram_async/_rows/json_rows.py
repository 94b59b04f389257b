"""JSON lines, and arrays of objects."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import TextIO

from ideogram_async._rows.layout import Item, Layout
from ideogram_async._rows.problems import RowError
from ideogram_async._rows.text import (
    BOM,
    MAX_LINE_LENGTH,
    NOT_UTF_16,
    TOO_LONG,
    open_text,
    read_lines,
    text_fault,
)

ONE_OBJECT = "each line is one object, without enclosing brackets or separating commas, or the file is named .json"
MAX_ARRAY_LENGTH = 64 * 2**20


def read_json_lines(path: Path, layout: Layout) -> Iterator[tuple[int, Item]]:
    """Yield the objects of lines, each with its line. Blank lines are skipped.

    Raises:
        OSError: If the file cannot be read.
    """
    layout.format = "JSON lines"
    with open_text(path, layout) as file:
        yield from _parse_lines(read_lines(file))


def read_json(path: Path, layout: Layout) -> Iterator[tuple[int, Item]]:
    """Yield the objects of an array, or of lines if the file contains none, each with its line.

    Raises:
        OSError: If the file cannot be read.
    """
    with open_text(path, layout) as file:
        try:
            yield from _parse_text(file, layout)
        except UnicodeDecodeError:
            yield 1, RowError(("", NOT_UTF_16))
        except RowError as error:
            yield 1, error


def _parse_text(file: TextIO, layout: Layout) -> Iterator[tuple[int, Item]]:
    start = file.read(1)
    while start.isspace() and (character := file.read(1)):
        start += character

    if start.endswith("["):
        layout.format = "JSON array"
        yield from _parse_array(start + file.read(MAX_ARRAY_LENGTH))
    else:
        layout.format = "JSON lines"
        lines = read_lines(file)
        yield from _parse_lines(chain((start + next(lines, "")).splitlines(keepends=True), lines))


def _parse_lines(lines: Iterator[str]) -> Iterator[tuple[int, Item]]:
    number = 0
    try:
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield number, _parse_or_fault(line)
    except RowError as error:
        yield number + 1, error


def _parse_or_fault(line: str) -> Item:
    try:
        return parse_line(line)
    except RowError as error:
        return error


def parse_line(line: str) -> Mapping[str, object]:
    """Parse a line.

    Raises:
        RowError: If it is not a JSON object, or too long.
    """
    if len(line) > MAX_LINE_LENGTH:
        raise RowError(("", f"a line is {TOO_LONG}"))

    if fault := text_fault(line):
        raise RowError(("", fault))

    try:
        row: object = json.loads(line.strip().lstrip(BOM), object_pairs_hook=_unique_names)
    except json.JSONDecodeError as error:
        raise RowError(("", f"invalid JSON: {_json_fault(error)}")) from None
    except (RecursionError, ValueError) as error:
        raise RowError(("", f"invalid JSON: {error}")) from None

    return _to_object(row)


def _parse_array(text: str) -> Iterator[tuple[int, Item]]:
    if len(text) > MAX_ARRAY_LENGTH:
        yield 1, RowError(("", "the array is longer than 64 MiB; write one object per line, in a file named .jsonl"))
        return

    decoder = json.JSONDecoder(object_pairs_hook=_unique_names)
    line, counted, position = 1, 0, text.index("[") + 1
    while (position := _skip_space(text, position)) < len(text) and text[position] != "]":
        line += text.count("\n", counted, position)
        counted = position
        try:
            row, position = decoder.raw_decode(text, position)
            if fault := text_fault(text[counted:position]):
                raise RowError(("", fault))

            yield line, _to_object(row)
        except (RecursionError, RowError, ValueError) as error:
            yield line, _array_fault(error)
            return

        position = _skip_space(text, position)
        if text[position : position + 1] == ",":
            position += 1
        elif text[position : position + 1] != "]":
            break

    if text[position:].strip() != "]":
        line += text.count("\n", counted, position)
        yield line, RowError(("", "invalid JSON: expected a comma, or ] at the end"))


def _array_fault(error: Exception) -> RowError:
    match error:
        case RowError():
            return error
        case json.JSONDecodeError():
            return RowError(("", f"invalid JSON: {error.msg} at line {error.lineno}, column {error.colno}"))
        case _:
            return RowError(("", f"invalid JSON: {error}"))


def _skip_space(text: str, position: int) -> int:
    while text[position : position + 1].isspace():
        position += 1

    return position


def _to_object(row: object) -> Mapping[str, object]:
    if not isinstance(row, dict):
        hint = f"; {ONE_OBJECT}" if isinstance(row, list) else ""
        raise RowError(("", f"must be a JSON object, not {type(row).__name__}{hint}"))

    return row


def _unique_names(pairs: list[tuple[str, object]]) -> dict[str, object]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        raise RowError((next(name for name in names if names.count(name) > 1), "appears twice"))

    return row


def _json_fault(error: json.JSONDecodeError) -> str:
    if error.doc.startswith("[") or error.doc[error.pos :].strip() in (",", "]"):
        return ONE_OBJECT

    if error.pos == 0 and error.doc[0] not in '{}]"':
        return "expected an object; the name of a table ends in .csv, that of a list of prompts in .txt"

    is_truncated = error.pos >= len(error.doc)
    return f"{error.msg} at column {error.colno}{'; an object must be on one line' if is_truncated else ''}"
