"""Rows of an export of a batch folder. They can be run again: a row is the job as it was, and its result.

A cell is what a person would type, as long as that reads back as the same value. Otherwise it is JSON after `json:`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from hashlib import blake2b
from pathlib import Path

from ideogram_async._rows.columns import known_columns, plain_name
from ideogram_async._rows.fields import Field
from ideogram_async._rows.values import FAILED_FORMULA, parse_json, parse_text

CARRIED_FIELD = "carried"
RESULT_FIELD = "result"

RESULT_COLUMNS = (
    "result_state",
    "result_price_usd",
    "result_error",
    "result_index",
    "result_image_state",
    "result_problem",
    "result_tried_at",
    "result_path",
    "result_uri",
    "result_seed",
    "result_prompt",
    "result_resolution",
    "result_url",
    "result_sha256",
    "result_key",
)
"""Columns that describe the result of a job. They are skipped when its table is run again."""

CARRIED = "carried_"
"""Start of the name of a carried column whose own name would mean something else."""

EXACT = "json:"
"""Start of a cell that is JSON."""

# A spreadsheet treats these, also in full width, as the start of a formula. An escaped one is escaped once more.
FORMULA = re.compile(r"'*\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")

# JSON permits these unescaped, but some readers end a line at them.
LINE_BREAK = re.compile(r"[\x7f-\x9f\u2028\u2029]")

# Half a surrogate pair cannot be encoded, and a byte order mark may be removed.
LOST = re.compile(r"[\ud800-\udfff\ufeff]")

# A longer text is none of what follows.
MAX_CHANGED = 40

# A spreadsheet shows, and saves, a number of up to eleven digits unchanged.
UNCHANGED_NUMBER = re.compile(r"0|[1-9]\d{0,10}")

# What a spreadsheet takes for another number, for a date, a time or a truth value: 007, 2E5, 1-2, May 5, 10:30, 5%.
MONTH = r"jan[a-z]*|feb[a-z]*|mar[a-z]*|apr[a-z]*|may|june?|july?|aug[a-z]*|sep[a-z]*|oct[a-z]*|nov[a-z]*|dec[a-z]*"
CHANGED = re.compile(
    rf"(?=.*\d)[\d\W]*({MONTH})?[\d\W]*|\W*\d[\d\W]*([ap]m?|e)[\d\W]*|true|false", re.IGNORECASE | re.DOTALL
)


def write_cell(request_field: Field, value: object) -> object:
    """Return the cell of a field's value, which is a JSON value of a jobs file."""
    if type(value) is int:
        return value

    text = _as_text(value)
    is_exact = _is_plain(text) and _is_read_as(request_field, text, value)
    is_exact = is_exact and (isinstance(value, bool) or _is_kept(text))
    return escape_cell(text) if is_exact else EXACT + dump_json(value)


def write_text(text: str) -> str:
    """Return the cell of a text that is used as it is."""
    return escape_cell(text) if not text or _is_plain(text) else EXACT + dump_json(text)


def write_name(name: str) -> str:
    """Return the cell of an id or of a column's name. What a reader would take for another name is JSON."""
    return write_text(name) if name.strip() == name and _is_kept(name) else EXACT + dump_json(name)


def name_carried(names: Iterable[str]) -> dict[str, str]:
    """Return the column of each carried name."""
    taken = {*known_columns(None), *RESULT_COLUMNS}
    columns: dict[str, str] = {}
    for name in names:
        plain = plain_name(re.sub(r"\.\d+$", "", name))
        is_free = plain and plain not in taken and not plain.startswith(CARRIED)
        columns[name] = name if is_free else CARRIED + name
        taken.add(plain)

    return columns


def escape_cell(text: str) -> str:
    """Escape text that a spreadsheet would run, or that would control a terminal."""
    text = CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)
    return f"'{text}" if FORMULA.match(text) else text


def asset_text(kind: str, id: str, collection: object = None) -> str:
    """Return an asset that the service stores as text: `asset:UPLOAD:ID`, with its collection if it is in one."""
    return ":".join(["asset", kind, id, *([] if collection is None else [str(collection)])])


def dump_json(value: object) -> str:
    """Return JSON on one line, for every reader."""
    text = json.dumps(value, ensure_ascii=False)
    for characters in (LINE_BREAK, LOST):
        text = characters.sub(lambda match: f"\\u{ord(match[0]):04x}", text)

    return text


def is_exported(names: Collection[str]) -> bool:
    """Return whether the columns of a table are those of an export. Some of them may have been removed."""
    return not set(RESULT_COLUMNS).isdisjoint(map(plain_name, names))


class ExportedRows:
    """The rows of an exported table.

    Args:
        chosen: The columns that the user has chosen for fields, by their plain names.
    """

    def __init__(self, chosen: Collection[str] = ()) -> None:
        self._chosen = chosen
        self._seen: set[bytes] = set()

    def read(self, cells: Mapping[str, object]) -> Mapping[str, object] | None:
        """Return a row as a line of a jobs file would have it; `None` for a further image of an earlier row's job.

        Raises:
            ValueError: If a cell is not valid JSON.
        """
        job: dict[str, object] = {}
        chosen: dict[str, object] = {}
        carried: dict[str, str] = {}
        for name, cell in cells.items():
            column, text = plain_name(name), str(cell)
            if (column in RESULT_COLUMNS and column not in self._chosen) or not text.strip():
                continue

            value = _read_cell(column, text)
            if column in self._chosen:
                chosen[name] = value
            elif column in known_columns(None):
                job[column] = value
            else:
                carried[str(_read_cell("a column", name)).removeprefix(CARRIED)] = str(value)

        key = next((cell for name, cell in cells.items() if plain_name(name) == "result_key"), "")
        return None if key and self._is_repeated(f"{key} {job!r}") else {**job, **chosen, CARRIED_FIELD: carried}

    def _is_repeated(self, row: str) -> bool:
        digest = blake2b(row.encode(errors="surrogatepass"), digest_size=16).digest()
        is_repeated = digest in self._seen
        self._seen.add(digest)
        return is_repeated


class ExactText(str):
    """Text that is not interpreted as a cell."""


def unescape(cell: str) -> str:
    """Return the text of a cell before it was escaped."""
    return cell[1:] if cell.startswith("'") and FORMULA.match(cell) else cell


def _read_cell(column: str, cell: str) -> object:
    text = unescape(cell)
    if not text.startswith(EXACT):
        return text

    try:
        value: object = json.loads(text.removeprefix(EXACT))
    except (RecursionError, ValueError) as error:
        raise ValueError(f"{column} is not valid JSON after {EXACT!r}: {error}") from None

    return ExactText(value) if isinstance(value, str) else value


def _is_plain(text: str) -> bool:
    """Return whether a text can be a cell as it is. A space before a cell is skipped, and a CR may become a LF."""
    is_special = text.startswith((EXACT, " ")) or "\r" in text
    return bool(text.strip()) and not (is_special or CONTROL.search(text) or LOST.search(text))


def _is_kept(text: str) -> bool:
    """Return whether a spreadsheet saves a text as it was. A job with another id or prompt would be a new one."""
    if len(text) > MAX_CHANGED or FORMULA.match(text) or UNCHANGED_NUMBER.fullmatch(text):
        return True

    return not (CHANGED.fullmatch(text) or FAILED_FORMULA.fullmatch(text.strip()))


def _as_text(value: object) -> str:
    """Return a JSON value as a person would type it; empty if there is no such form."""
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case {"job": id, "index": index}:
            return f"job:{id}#{index}"
        case {"asset_id": str(id), "asset_type": str(kind), **rest}:
            return asset_text(kind, id, rest.get("collection_id"))
        case {"color_hex": color, "color_weight": weight}:
            return f"{color}:{weight}"
        case list():
            return ";".join(map(_as_text, value))
        case _:
            return ""


def _is_read_as(request_field: Field, text: str, value: object) -> bool:
    try:
        parsed = parse_text(request_field, text, Path())
        return parsed == parse_json(request_field, value, Path())
    except (TypeError, ValueError):
        return False
