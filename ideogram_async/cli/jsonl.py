"""JSON lines: an object a line, and what is wrong with one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ideogram_async.cli.row import RowError

__all__ = ["objects_in", "parsed"]

ALONE = "each line holds one object, without brackets around them or commas between"


def objects_in(path: Path) -> Iterator[tuple[int, dict[str, Any] | RowError]]:
    """Go over the lines of a file that are not empty, each with its number.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as opened:
        for number, raw in enumerate(opened, 1):
            if raw.strip():
                try:
                    yield number, parsed(raw)
                except RowError as error:
                    yield number, error


def parsed(raw: bytes) -> dict[str, Any]:
    """Read a line.

    Raises:
        RowError: If it is no JSON object.
    """
    try:
        text = raw.decode("utf-8-sig").strip()
        row = json.loads(text, object_pairs_hook=_once)
    except UnicodeDecodeError as error:
        raise RowError(("", f"is no UTF-8 text: byte {error.start + 1}")) from None
    except json.JSONDecodeError as error:
        raise RowError(("", f"is no JSON: {_fault(error)}")) from None
    except (RecursionError, ValueError) as error:
        raise RowError(("", f"is no JSON: {error}")) from None

    if not isinstance(row, dict):
        hint = f"; {ALONE}" if isinstance(row, list) else ""
        raise RowError(("", f"must be a JSON object, not {type(row).__name__}{hint}"))

    return row


def _fault(error: json.JSONDecodeError) -> str:
    if error.doc.startswith("[") or error.doc[error.pos :].strip() in (",", "]"):
        return ALONE

    is_cut = error.pos >= len(error.doc)
    return f"{error.msg} at column {error.colno}{'; an object stands on one line' if is_cut else ''}"


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise RowError((twice, "is given twice"))

    return row
