"""Options of lists, and the operations that options and rows name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from difflib import get_close_matches

from attrs import field, frozen

from ideogram_async._names import same_meaning
from ideogram_async._rows.columns import Advise, advise_python, known_columns, plain_name
from ideogram_async._rows.fields import AnyRequest, fields_of, image_operations, operation_name, request_classes
from ideogram_async._rows.problems import RowError

SET_INSTEAD = {"operation": "pass the operation as its own option", "id": "name the column of the ids"}
"""Columns that are not fields, with what to do instead of setting them."""


PATH = re.compile(r"(?P<version>v\d+):/?(?P<content>[^\s/]+)/(?P<action>[^\s/]+)/(?P<model>[^\s/]+)")
"""An operation by its path, such as `v2:image/generate/ideogram-4-6`."""
PATH_FORM = "/{version}/{content}/{action}/{model}"


@frozen
class ListOptions:
    """Options for reading a list."""

    operation: str = "generate"
    """The operation of rows that name none."""
    columns: Mapping[str, str] = {}
    """The columns of some fields, of `id` or of `operation`."""
    set: Mapping[str, object] = {}
    """Values of fields for all rows; they replace those of the rows. Paths are relative to the working folder."""
    ignore_columns: bool = False
    """Whether to carry columns that are not fields."""
    advise: Advise = field(default=advise_python, eq=False)

    def problems(self) -> list[tuple[str, str]]:
        """Return every fault as `(field, rule)`."""
        try:
            kind, _ = find_operation(self.operation)
        except RowError as error:
            return list(error.problems)

        known, fields = known_columns(None), fields_of(kind)
        values = [name for name in self.set if name not in known]
        return [
            *(("columns", self._column_rule(name, kind)) for name in self.columns if name not in known),
            *(("set", _not_a_field(name, kind, _hint(name, [*fields]))) for name in values),
            *(("set", f"{name!r} is not a field; {use}") for name, use in SET_INSTEAD.items() if name in self.set),
        ]

    def _column_rule(self, name: str, kind: type[AnyRequest]) -> str:
        fields = [*fields_of(kind), *SET_INSTEAD]
        is_swapped = (field := plain_name(self.columns[name])) in fields
        swapped = f"the field comes first: {self.advise(columns={field: name})}"
        return _not_a_field(name, kind, swapped if is_swapped else _hint(name, fields))


def find_operation(value: object) -> tuple[type[AnyRequest], Mapping[str, str]]:
    """Return the request class of an operation that makes images, and the fields that its name sets.

    It is the name of a command, such as `upscale` or `v2 generate-46`, or a path, such as
    `v2:image/generate/ideogram-4-6`. A path without a class sets the fields of a custom request.

    Raises:
        RowError: If there is none of that name.
    """
    text = str(value).strip().lower()
    if path := PATH.fullmatch(text):
        return _find_path(path.groupdict())

    known, name = image_operations(), _plain(text)
    kinds = [kind for each, kind in known.items() if _plain(each) == name]
    if not kinds:
        raise RowError(("operation", f"{value!r} is not an operation that makes images; {_hint(text, known)}"))

    return kinds[0], {}


def row_operation(kind: type[AnyRequest], values: Mapping[str, object]) -> tuple[str, Mapping[str, object]]:
    """Return the operation of a row for a request, and the fields that this name does not set.

    Args:
        kind: The class of the request.
        values: Its fields.
    """
    name = operation_name(kind)
    if not name.startswith("v2 "):
        return name, values

    path = _named_path(kind.endpoint.path.format_map(values))
    same, named = find_operation(path)
    if same is not kind:
        return name, values

    return path, {name: value for name, value in values.items() if name not in named}


def unknown_path_rule(segments: Mapping[str, str]) -> str:
    """Return why a row with other columns than a custom request is refused."""
    path, known = PATH_FORM.format_map(segments), [kind.endpoint.path for kind in image_operations().values()]
    close = get_close_matches(path, known, 1, 0.9)
    hint = f"; did you mean {_named_path(close[0])}?" if close else ""
    return f"{_named_path(path)} is not known here, so its fields belong in the column fields, its files in files{hint}"


def _named_path(path: str) -> str:
    version, _, rest = path.removeprefix("/").partition("/")
    return f"{version}:{rest}"


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", "-", name)


def _find_path(segments: Mapping[str, str]) -> tuple[type[AnyRequest], Mapping[str, str]]:
    path = PATH_FORM.format_map(segments)
    kinds = [kind for kind in request_classes() if kind.endpoint.path == path]
    if not kinds:
        return image_operations()["v2 custom"], segments

    if kinds[0] not in image_operations().values():
        raise RowError(("operation", f"{operation_name(kinds[0])} makes no images"))

    return kinds[0], {}


def _not_a_field(name: str, kind: type[AnyRequest], hint: str) -> str:
    return f"{name!r} is not a field of {operation_name(kind)}; {hint}"


def _hint(name: str, known: Collection[str]) -> str:
    matches = same_meaning(name, known) or get_close_matches(name, known, 1)
    return f"did you mean {' or '.join(map(repr, matches))}?" if matches else f"expected one of {', '.join(known)}"
