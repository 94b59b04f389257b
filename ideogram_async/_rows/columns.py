"""Meaning of the columns of a table, and of the names in an object."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Protocol

import attrs
from attrs import frozen

from ideogram_async._names import same_meaning
from ideogram_async._rows.fields import AnyRequest, fields_of, image_operations, operation_name
from ideogram_async._rows.problems import Problem, RowError, list_items

NAMELESS = re.compile(r"(Unnamed: \d+)?")
"""Name of a column without a name, as it is or as pandas writes it."""

REPEATED = re.compile(r"(.+)\.[1-9]\d*")
"""Name of a column that has the name of an earlier one, as pandas writes it."""

SYNONYMS = {
    "prompt": [
        "prompts",
        "prompt_text",
        "text_prompt",
        "positive_prompt",
        "caption",
        "text",
        "description",
        "input",
        "title",
    ],
    "image": ["images", "file", "filename", "file_name", "image_path", "path", "photo", "picture", "image_src"],
}
"""Names that other tools give to the columns of required fields, the most likely first."""

MAX_LISTED_COLUMNS = 8
MAX_SHOWN_NAME = 60


class Advise(Protocol):
    """A function that returns how to pass options, such as `add --column prompt=Title --ignore-columns`."""

    def __call__(
        self, *, columns: Mapping[str, str] | None = None, ignore: bool = False, operation: str | None = None
    ) -> str:
        """Return how to pass `columns`, `ignore_columns` and `operation`."""
        ...


def advise_python(
    *, columns: Mapping[str, str] | None = None, ignore: bool = False, operation: str | None = None
) -> str:
    """Return how to pass options in Python."""
    values = {"operation": operation, "columns": columns, "ignore_columns": ignore}
    return "pass " + ", ".join(f"{name}={value!r}" for name, value in values.items() if value)


@frozen
class Columns:
    """Columns by their meaning."""

    fields: Mapping[str, str]
    """The column of each field, and of `id` and `operation`."""
    unknown: tuple[str, ...] = ()
    nameless: tuple[str, ...] = ()


@frozen(eq=False)
class ColumnsError(RowError):
    """Columns without a meaning, or a required one that is missing."""

    kind: type[AnyRequest] | None
    """The operation; `None` if rows name their own."""
    names: tuple[str, ...]
    """All columns."""
    used: Collection[str]
    """The fields that have a column or a value."""
    unknown: tuple[str, ...]
    missing: str | None
    """The required field without a column."""
    advise: Advise

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """Return what is wrong and what to pass, in one line."""
        return (("", self._unknown_rule() if self.missing is None else self._missing_rule(self.missing)),)

    def _missing_rule(self, field: str) -> str:
        named = [name for name in self.names if not NAMELESS.fullmatch(name)]
        lacks = f'no column is named "{field}", which {self._operation} requires'
        if field == "prompt" and "image" in map(plain_name, named):
            return f"{lacks}; for images, {self.advise(operation='upscale')}"

        candidate = _candidate(field, self.unknown)
        remaining = [name for name in self.unknown if name != candidate]
        advice = self.advise(columns={field: candidate or "COLUMN"}, ignore=bool(remaining))
        is_alone = field == "prompt" and len(self.names) == 1
        hint = "; if its first line is a prompt, name the file .txt" if is_alone else ""
        return f"{lacks}; found {quote_names(named)}; {advice}{hint}"

    def _unknown_rule(self) -> str:
        is_one = len(self.unknown) == 1
        what, verb, them = ("column", "is not a field", "it") if is_one else ("columns", "are not fields", "them")
        taken = {*self.used, *map(plain_name, self.names)}
        fields = [name for name in (*_fields(self.kind), "id", "operation") if name not in taken]
        similar = {field: name for name in reversed(self.unknown) if (field := _similar(name, fields))}
        use = f"{self.advise(columns=similar)} to use {them}, or " if similar else ""
        subject = f"{what} {quote_names(self.unknown)} {verb} of {self._operation}"
        return f"{subject}; {use}{self.advise(ignore=True)} to carry {them} along unused"

    @property
    def _operation(self) -> str:
        return "any operation" if self.kind is None else operation_name(self.kind)


def to_problems(errors: Iterable[tuple[int, RowError]]) -> list[Problem]:
    """Return the faults of rows by line. Those of columns become one message, whatever columns each row has."""
    errors = list(errors)
    merged: dict[tuple[object, ...], ColumnsError] = {}
    for _, error in errors:
        if isinstance(error, ColumnsError):
            key = (error.kind, error.missing)
            merged[key] = _merge(merged[key], error) if key in merged else error

    problems = []
    for line, error in errors:
        message = merged[error.kind, error.missing] if isinstance(error, ColumnsError) else error
        problems += [Problem(line, field, rule) for field, rule in message.problems]

    return problems


def _merge(one: ColumnsError, other: ColumnsError) -> ColumnsError:
    if one.names == other.names:
        return one

    names, unknown = (dict.fromkeys([*a, *b]) for a, b in ((one.names, other.names), (one.unknown, other.unknown)))
    return attrs.evolve(one, names=tuple(names), unknown=tuple(unknown))


def resolve_columns(names: Sequence[str], chosen: Mapping[str, str], known: Collection[str]) -> Columns:
    """Return the meaning of columns. Their case does not matter, nor whether words are joined by `_`, `-` or a space.

    Args:
        names: The columns.
        chosen: The columns of some fields, as the user chose them. A column that is missing is skipped.
        known: The fields that a column can be named after.

    Raises:
        RowError: If two columns are the same field.
    """
    by_name = {plain_name(name): name for name in reversed(names)}
    fields = {field: column if column in names else by_name.get(plain_name(column)) for field, column in chosen.items()}
    resolved = {field: column for field, column in fields.items() if column is not None}
    unknown: list[str] = []
    nameless: list[str] = []
    for name in names:
        field, repeated = plain_name(name), REPEATED.fullmatch(name)
        if name in resolved.values():
            continue

        if repeated and repeated[1] in names and plain_name(repeated[1]) in known:
            raise RowError((repeated[1], "appears twice"))

        if NAMELESS.fullmatch(name):
            nameless.append(name)
        elif field not in known or field in chosen:
            unknown.append(name)
        elif field in resolved:
            raise RowError(("", f'columns "{resolved[field]}" and "{name}" are both {field}; remove or rename one'))
        else:
            resolved[field] = name

    return Columns(resolved, tuple(unknown), tuple(nameless))


def unique_names(header: Sequence[str]) -> list[str]:
    """Return the names of columns, made unique as pandas does: `Unnamed: 0` for none, `tag.1` for a second `tag`."""
    names: list[str] = []
    seen: dict[str, int] = {}
    for index, cell in enumerate(header):
        name = cell.strip() or f"Unnamed: {index}"
        names.append(f"{name}.{seen[name]}" if name in seen else name)
        seen[name] = seen.get(name, 0) + 1

    return names


def plain_name(name: str) -> str:
    """Return the name of a column without the differences between spellings: `Aspect Ratio` is `aspect_ratio`."""
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def known_columns(kind: type[AnyRequest] | None) -> frozenset[str]:
    """Return the names that a column can have, for one operation or for all."""
    return _all_columns() if kind is None else frozenset({"operation", "id", *fields_of(kind)})


def quote_names(names: Sequence[str]) -> str:
    """Return names as text, at most eight of them. A long one is shortened: without a header it may be a prompt."""
    shown = [name if len(name) <= MAX_SHOWN_NAME else f"{name[:MAX_SHOWN_NAME]}…" for name in names]
    return list_items([f'"{name}"' for name in shown], MAX_LISTED_COLUMNS) if names else "no other"


@cache
def _all_columns() -> frozenset[str]:
    return frozenset({"operation", "id", *_fields(None)})


def required_fields(kind: type[AnyRequest]) -> list[str]:
    """Return the fields that a request needs."""
    return [name for name, field in fields_of(kind).items() if field.default is attrs.NOTHING]


def _fields(kind: type[AnyRequest] | None) -> list[str]:
    kinds = image_operations().values() if kind is None else [kind]
    return list(dict.fromkeys(name for kind in kinds for name in fields_of(kind)))


def _candidate(field: str, unknown: Iterable[str]) -> str | None:
    """Return the column that may be a required field."""
    plain = {plain_name(name): name for name in unknown if len(name) <= MAX_SHOWN_NAME}
    similar = [plain[name] for name in get_close_matches(field, plain, 1, 0.75)]
    synonyms = [plain[name] for name in SYNONYMS.get(field, ()) if name in plain]
    return next(iter([*similar, *synonyms, *(plain.values() if len(plain) == 1 else ())]), None)


def _similar(name: str, fields: Sequence[str]) -> str | None:
    """Return the field that an unknown column may be."""
    plain = plain_name(name)
    required = [field for field, names in SYNONYMS.items() if plain in names]
    close = get_close_matches(plain, fields, 1, 0.75)
    return next((field for field in (*same_meaning(plain, fields), *required, *close) if field in fields), None)
