"""Parser of the rows of lists, which become requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import cast

from attrs import frozen

from ideogram_async._rows.columns import (
    Columns,
    ColumnsError,
    known_columns,
    plain_name,
    quote_names,
    required_fields,
    resolve_columns,
)
from ideogram_async._rows.exported import CARRIED_FIELD, RESULT_FIELD
from ideogram_async._rows.fields import AnyRequest, build_request, fields_of, operation_name
from ideogram_async._rows.layout import Header, Item, Layout
from ideogram_async._rows.options import ListOptions, find_operation, row_operation, unknown_path_rule
from ideogram_async._rows.problems import RowError
from ideogram_async._rows.values import FAILED_FORMULA, parse_json, parse_text
from ideogram_async._scalars import as_scalar, is_absent

MAX_CACHED_LAYOUTS = 1000


@frozen
class Row:
    """A row."""

    request: AnyRequest
    id: str | None
    carried: Mapping[str, str]


class RowParser:
    """Parser of the rows of a list.

    Args:
        options: How to read it.
        folder: The folder for relative paths.
        is_text: Whether strings are cells of a table.
        layout: Filled with the columns by their use.
    """

    def __init__(self, options: ListOptions, folder: Path, layout: Layout, *, is_text: bool) -> None:
        self._options = options
        self._folder = folder
        self._layout = layout
        self._is_text = is_text
        self._columns: dict[tuple[str, ...], Columns] = {}
        self._default, self._named = find_operation(options.operation)
        self._unseen = frozenset(map(plain_name, options.columns.values()))
        layout.chosen = self._unseen
        layout.set = {name: str(value) for name, value in options.set.items()}

    def parse_all(self, items: Iterable[tuple[int, Item]]) -> Iterator[tuple[int, Row | RowError]]:
        """Yield the rows and their faults, each with its line. Ends at a header without the required columns."""
        first: int | None = None
        chosen = self._options.columns.values()
        for line, item in items:
            try:
                if isinstance(item, Header):
                    self._check_header(item.names)
                else:
                    first = line if first is None and isinstance(item, Mapping) else first
                    yield line, self.parse(item)
            except RowError as error:
                yield line, error
                if isinstance(item, Header):
                    return

        if first is not None and (absent := [name for name in chosen if plain_name(name) in self._unseen]):
            yield first, RowError(("", f'no row has a column "{absent[0]}"'))

    def parse(self, item: Mapping[str, object] | RowError) -> Row:
        """Return the request of a row, its id and the columns that it carries.

        Raises:
            RowError: If it is invalid. The rules of the service are checked later.
        """
        if isinstance(item, RowError):
            raise item

        if not isinstance(item, Mapping):
            raise RowError(("", f"must map names to values, not {type(item).__name__}, as df.to_dict('records') does"))

        self._unseen -= self._unseen and frozenset(plain_name(str(name)) for name in item)
        carried, cells = _split(item, is_text=self._is_text)
        columns = self._resolve(tuple(cells))
        values = {field: cells[column] for field, column in columns.fields.items()}
        own = values.pop("operation", None)
        kind, named = (self._default, self._named) if own is None else find_operation(own)
        row_id = values.pop("id", None)
        values |= self._options.set
        misplaced = [column for field, column in columns.fields.items() if field not in known_columns(kind)]
        unknown = [*misplaced, *columns.unknown]
        values = {field: value for field, value in values.items() if columns.fields.get(field) not in misplaced}
        values |= named
        if unknown and named and not self._options.ignore_columns:
            raise RowError(("operation", unknown_path_rule(named)))

        self._check_columns(kind, tuple(cells), unknown, values)
        self._record_layout(columns, carried, unknown)
        carried = {column: _to_text(cells[column]) for column in unknown} | {**carried}
        _check_index(columns, cells)
        if self._is_text:
            _check_formulas({**values, "id": row_id})

        return Row(self._build(kind, values), _to_id(row_id, is_text=self._is_text), carried)

    def _check_header(self, names: Iterable[str]) -> None:
        names = tuple(names)
        columns = resolve_columns(names, self._options.columns, known_columns(None))
        self._layout.fields |= columns.fields
        if absent := [column for field, column in self._options.columns.items() if field not in columns.fields]:
            raise RowError(("", f'no column is named "{absent[0]}"; found {quote_names(names)}'))

        if "operation" in columns.fields:
            if columns.unknown and not self._options.ignore_columns:
                raise ColumnsError(None, names, columns.fields, columns.unknown, None, self._options.advise)

            return

        fields = [name for name in columns.fields if name not in known_columns(self._default)]
        unknown = (*(columns.fields[name] for name in fields), *columns.unknown)
        values = {**columns.fields, **self._options.set, **self._named}
        missing = next((name for name in required_fields(self._default) if name not in values), None)
        if unknown and self._named and not self._options.ignore_columns:
            raise RowError(("operation", unknown_path_rule(self._named)))

        if missing or (unknown and not self._options.ignore_columns):
            raise ColumnsError(self._default, names, values, unknown, missing, self._options.advise)

    def _resolve(self, names: tuple[str, ...]) -> Columns:
        if names not in self._columns:
            if len(self._columns) > MAX_CACHED_LAYOUTS:
                self._columns.clear()

            self._columns[names] = resolve_columns(names, self._options.columns, known_columns(None))

        return self._columns[names]

    def _check_columns(
        self, kind: type[AnyRequest], names: tuple[str, ...], unknown: list[str], values: Mapping[str, object]
    ) -> None:
        if misplaced := [name for name in self._options.set if name not in fields_of(kind)]:
            raise RowError(*((name, f"is set, but is not a field of {operation_name(kind)}") for name in misplaced))

        missing = [name for name in required_fields(kind) if name not in values]
        if chosen := {name: self._options.columns[name] for name in missing if name in self._options.columns}:
            raise RowError(*((name, f'is missing: the row has no "{column}"') for name, column in chosen.items()))

        if unknown and not (self._options.ignore_columns and not missing):
            raise ColumnsError(kind, names, values, tuple(unknown), next(iter(missing), None), self._options.advise)

        if missing:
            raise RowError(*((name, f"is missing; {operation_name(kind)} requires it") for name in missing))

    def _record_layout(self, columns: Columns, carried: Iterable[str], unknown: Iterable[str]) -> None:
        layout = self._layout
        layout.fields |= columns.fields
        layout.carried |= dict.fromkeys((*unknown, *carried))
        layout.skipped |= dict.fromkeys(columns.nameless)
        if "operation" not in columns.fields:
            layout.operation, _ = row_operation(self._default, self._named)

    def _build(self, kind: type[AnyRequest], values: Mapping[str, object]) -> AnyRequest:
        request = build_request(kind, self._parse_values(kind, values))
        # A value of the wrong type cannot be counted or priced.
        if type_errors := request.problems(validate=False):
            raise RowError(*type_errors)

        return request

    def _parse_values(self, kind: type[AnyRequest], values: Mapping[str, object]) -> dict[str, object]:
        fields = fields_of(kind)
        parsed: dict[str, object] = {}
        problems: list[tuple[str, str]] = []
        for name, value in values.items():
            is_set = name in self._options.set
            folder = Path() if is_set else self._folder
            try:
                # A cell of an export may be another value than text, or text that is exact.
                if type(value) is str and (self._is_text or is_set):
                    parsed[name] = parse_text(fields[name], value, folder)
                else:
                    exact = str(value) if isinstance(value, str) else as_scalar(value)
                    parsed[name] = parse_json(fields[name], exact, folder)
            except ValueError as error:
                problems.append((name, str(error)))

        if problems:
            raise RowError(*problems)

        return parsed


def _split(row: Mapping[str, object], *, is_text: bool) -> tuple[Mapping[str, str], dict[str, object]]:
    """Return the carried columns of a row, and its other values that are not absent, without the result of a run."""
    surplus = cast(Mapping[object, object], row).get(None)
    if isinstance(surplus, list):
        # As csv.DictReader returns it. What is in front may be shifted.
        raise RowError(("", "has more cells than the header; quote a cell that contains a separator"))

    carried, result = row.get(CARRIED_FIELD), row.get(RESULT_FIELD)
    own = [CARRIED_FIELD] * isinstance(carried, dict) + [RESULT_FIELD] * isinstance(result, dict)
    if isinstance(carried, dict) and not all(isinstance(text, str) for text in carried.values()):
        raise RowError((CARRIED_FIELD, "must be an object of strings"))

    cells = {str(name): value for name, value in row.items() if name not in own and not is_absent(value)}
    if is_text:
        # A blank cell is absent; text that is exact is not.
        cells = {name: value for name, value in cells.items() if type(value) is not str or value.strip()}

    return carried if isinstance(carried, dict) else {}, cells


def _check_index(columns: Columns, cells: Mapping[str, object]) -> None:
    """Refuse a column without a name that is not the index of a data frame.

    Raises:
        RowError: If its cell is not a whole number.
    """
    for name in columns.nameless:
        if not re.fullmatch(r"\d+(\.0)?", str(cells[name])):
            raise RowError(("", f"has {str(cells[name])!r} in a column without a name"))


def _check_formulas(values: Mapping[str, object]) -> None:
    """Refuse the text of an error, which would be paid for as a prompt.

    Raises:
        RowError: If a value is the result of a formula that failed.
    """
    texts = {name: value for name, value in values.items() if type(value) is str}
    failed = {name: text for name, text in texts.items() if FAILED_FORMULA.fullmatch(text.strip())}
    if failed:
        raise RowError(*((name, f"is {text}, the result of a formula that failed") for name, text in failed.items()))


def _to_id(value: object, *, is_text: bool) -> str | None:
    value = as_scalar(value)
    match value:
        case str() if is_text and type(value) is str and re.fullmatch(r"\d+\.0", value.strip()):
            # A data frame with an absent id writes the others as floats.
            return value.strip().removesuffix(".0")
        case str() if is_text and type(value) is str:
            return value.strip()
        case None:
            return None
        case str() if value.strip():
            return str(value)
        case str():
            raise RowError(("id", "must not be empty; omit it to name the job by its content"))
        case int() if not isinstance(value, bool):
            return str(value)
        case float() if value.is_integer():
            return str(int(value))
        case _:
            raise RowError(("id", f"must be a string or a whole number, not {value!r}"))


def _to_text(value: object) -> str:
    """Return the text of a carried value."""
    value = as_scalar(value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, default=str)

    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
