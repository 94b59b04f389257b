"""Comparison of another version of a contract with the shipped one: what changed, and where it is in the package.

    nox -s drift -- FILE [--json]

FILE is an OpenAPI 3 document, as JSON or YAML. The exit code is 0 without a change, 1 with changes, and 2 if the file
cannot be read.
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
import textwrap
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_type_hints

import attrs
from attrs import asdict, evolve, frozen

import ideogram_async
import ideogram_async.sandbox
from ideogram_async import enums
from ideogram_async._rows.fields import request_classes
from ideogram_async.models import AssetIdentifier
from ideogram_async.requests._palette import ColorPaletteMember, PaletteRule
from ideogram_async.requests._rules import Choice, Texts
from ideogram_async.v2 import _values
from support.openapi import ContractError, Field, Operation, operations_in, read_document

__all__ = ["Change", "compare", "drift", "main", "shipped"]

ROOT = Path(ideogram_async.__file__).parent
SHIPPED = ("contract.json", "contract_v2.json")
SHARE = 0.5
"""Part of a shipped contract's operations that a file has if it is another version of that contract."""
SIGNS = {"added": "+", "changed": "~", "removed": "-"}
SUCCESS = "200"
MEMBERS = "members[]."
"""Path of the colors in a palette."""
WIDTH = 100
ENUMS = [each for each in vars(enums).values() if isinstance(each, type) and issubclass(each, Enum)]


@frozen
class Change:
    """A difference between two versions of a contract."""

    kind: str
    """`added`, `changed` or `removed`."""
    what: str
    """`operation`, `body`, `answer`, `field`, or of a field `type`, `values`, `limit`, `default`, `required`, `null` or
    `position`."""
    detail: str
    operations: tuple[str, ...]
    status: str = ""
    """The status of the answer that it is in; empty for a request."""
    path: str = ""
    """The path of the field on the wire; empty if it concerns the whole operation."""
    places: tuple[str, ...] = ()
    """Where it is in the package: `Generate.resolution`."""
    location: str = ""
    """The line that defines it: `ideogram_async/enums.py:12`."""

    def __str__(self) -> str:
        where = f" ({self.location})" if self.location else ""
        return f"{SIGNS[self.kind]} {', '.join(self.places or self.operations)}: {self.detail}{where}"


# ---- differences


def compare(old: Mapping[str, Operation], new: Mapping[str, Operation]) -> Iterator[Change]:
    """Yield each difference of each operation."""
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            yield Change("removed", "operation", "operation removed", (name,))
        elif name not in old:
            yield Change("added", "operation", f"new operation of {len(new[name].fields)} fields", (name,))
        else:
            yield from _operation(name, old[name], new[name])


def _operation(name: str, old: Operation, new: Operation) -> Iterator[Change]:
    if old.bodies != new.bodies:
        yield Change("changed", "body", f"body: {_listed(old.bodies)} -> {_listed(new.bodies)}", (name,))

    yield from _fields(Change("changed", "", "", (name,)), _placed(old), _placed(new))
    for status in sorted(old.answers.keys() | new.answers.keys()):
        if status not in new.answers:
            yield Change("removed", "answer", f"answer {status} removed", (name,), status)
        elif status not in old.answers:
            yield Change("added", "answer", f"answer {status} added", (name,), status)
        else:
            yield from _fields(Change("changed", "", "", (name,), status), old.answers[status], new.answers[status])


def _placed(operation: Operation) -> dict[str, Field]:
    """Return the fields of a request; one in each body of the operation is in the place `body`."""

    def place(each: Field) -> Field:
        plain = {"form" if name == "form as JSON" else name for name in each.places}
        return evolve(each, places=frozenset({"body"})) if operation.bodies and plain == operation.bodies else each

    return {path: place(each) for path, each in operation.fields.items()}


def _fields(change: Change, old: Mapping[str, Field], new: Mapping[str, Field]) -> Iterator[Change]:
    for path in sorted(old.keys() | new.keys()):
        at = evolve(change, path=path)
        if path not in new:
            if _parent(path) not in old.keys() - new.keys():
                yield evolve(at, kind="removed", what="field", detail="field removed")
        elif path not in old:
            if _parent(path) not in new.keys() - old.keys():
                yield evolve(at, kind="added", what="field", detail=f"new field, {_described(new[path])}")
        else:
            yield from (evolve(at, what=what, detail=detail) for what, detail in _field(old[path], new[path]))


def _parent(path: str) -> str:
    return path[:-2] if path.endswith("[]") else path.rpartition(".")[0]


def _described(each: Field) -> str:
    values = f" of {len(each.values)} values" if each.values else ""
    return f"{'required' if each.is_required else 'optional'} {_listed(each.kinds)}{values}"


def _field(old: Field, new: Field) -> Iterator[tuple[str, str]]:
    """Yield what differs, and how."""
    if old.kinds != new.kinds:
        yield "type", f"type: {_listed(old.kinds)} -> {_listed(new.kinds)}"

    if old.values != new.values:
        yield "values", _list_change(old.values, new.values)

    for name in sorted(old.limits.keys() | new.limits.keys()):
        if old.limits.get(name) != new.limits.get(name):
            yield "limit", f"{name}: {old.limits.get(name, 'none')} -> {new.limits.get(name, 'none')}"

    if old.default != new.default:
        yield "default", f"default: {old.default or 'none'} -> {new.default or 'none'}"
    if old.is_required != new.is_required:
        yield "required", "now required" if new.is_required else "now optional"
    if old.may_be_null != new.may_be_null:
        yield "null", "may now be null" if new.may_be_null else "can no longer be null"
    if old.places != new.places:
        yield "position", f"position: {_listed(old.places)} -> {_listed(new.places)}"


def _list_change(old: frozenset[str] | None, new: frozenset[str] | None) -> str:
    if old is None or new is None:
        return f"now a closed list of {len(new)} values" if new is not None else "no longer a closed list"

    texts = {"added": new - old, "removed": old - new}
    return "; ".join(
        f"{len(each)} {'value' if len(each) == 1 else 'values'} {what}: {_listed(each)}"
        for what, each in texts.items()
        if each
    )


def _listed(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)) or "none"


# ---- places in the package


@cache
def classes() -> dict[str, type[Any]]:
    """Return the request class of each operation."""
    return {str(each.endpoint): each for each in request_classes()}


def locate(change: Change) -> Change:
    """Return a change with its place in the package."""
    [operation] = change.operations
    request = classes().get(operation)
    if request is None:
        return evolve(change, places=(f"{operation} (no class)",))

    name = request.__name__ if request.__module__.startswith("ideogram_async.requests") else f"v2.{request.__name__}"
    if not change.path:
        return evolve(change, places=(name,), location="" if change.status else _line(request))
    if change.status == SUCCESS:
        return _in_class(change, request.endpoint.answer, change.path)
    if change.status:
        return evolve(change, places=(f"{change.path} of the answer {change.status}",))

    first, rest = _split(change.path)
    if first == request.endpoint.envelope:
        first, rest = _split(rest.removeprefix("."))

    own = {each.metadata.get("wire", each.name): each for each in attrs.fields(request)}
    assets = {each.metadata["asset_wire"]: each for each in attrs.fields(request) if "asset_wire" in each.metadata}
    rest, inner = rest.lstrip("[]."), rest
    if first in assets and rest:
        return _in_class(change, AssetIdentifier, rest)
    if rest.startswith(MEMBERS):
        return _in_class(change, ColorPaletteMember, rest.removeprefix(MEMBERS))

    declared = (own | assets).get(first)
    attribute = first if declared is None else declared.name
    values = None if declared is None or change.what != "values" else _list_of(declared.metadata.get("rule"))
    location = _list_line(values) or _line(request, attribute)
    return evolve(change, places=(f"{name}.{attribute}{inner}".rstrip("."),), location=location)


def _list_of(rule: object) -> type[Enum] | None:
    """Return the closed list of a rule."""
    rule = rule.each if isinstance(rule, Texts) else rule.preset if isinstance(rule, PaletteRule) else rule
    return rule.enum if isinstance(rule, Choice) else None


def _in_class(change: Change, owner: type[Any], path: str) -> Change:
    """Return a change of a field with the class that has it: a class with fields, or one inside it."""
    first, rest = _split(path)
    hint = get_type_hints(owner).get(first)
    following = rest.lstrip("[].{}")
    inner = _classes_in(hint)
    if following and inner:
        name = _split(following)[0]
        return _in_class(change, next((each for each in inner if name in get_type_hints(each)), inner[0]), following)

    values = next((each for each in get_args(hint) if change.what == "values" and each in ENUMS), None)
    location = _list_line(values) or _line(owner, first)
    return evolve(change, places=(f"{owner.__name__}.{first}{rest}",), location=location)


def _split(path: str) -> tuple[str, str]:
    """Return the first name of a path, and what follows it."""
    end = min((path.index(char) for char in ".[{" if char in path), default=len(path))
    return path[:end], path[end:]


def _classes_in(hint: Any) -> list[type[Any]]:
    inner = [each for part in get_args(hint) for each in _classes_in(part)]
    return [hint, *inner] if isinstance(hint, type) and attrs.has(hint) else inner


def _list_line(values: type[Enum] | None) -> str:
    """Return the line of a closed list: of an enum, or of the literal type that a rule was made of."""
    if values is None:
        return ""
    if values in ENUMS:
        return _line(values)

    name = next((name for name, each in vars(_values).items() if [*get_args(each)] == [*values]), "-")
    lines = enumerate(inspect.getsource(_values).splitlines(), 1)
    return next((f"{_path(_values)}:{number}" for number, line in lines if line.startswith(f"{name}: ")), "")


@cache
def _line(owner: type[Any], attribute: str = "") -> str:
    """Return the file and line of a class, or of the field in it or one of its bases."""
    for base in owner.__mro__:
        if base.__module__.startswith("ideogram_async") and attribute in inspect.get_annotations(base):
            lines, start = inspect.getsourcelines(base)
            offset = next(number for number, line in enumerate(lines) if line.strip().startswith(f"{attribute}:"))
            return f"{_path(base)}:{start + offset}"

    _, start = inspect.getsourcelines(owner)
    return f"{_path(owner)}:{start}"


def _path(owner: type[Any] | ModuleType) -> str:
    return Path(inspect.getfile(owner)).relative_to(ROOT.parent).as_posix()


# ---- report


def drift(operations: Mapping[str, Operation]) -> tuple[tuple[str, ...], list[Change]]:
    """Return the names of the shipped contracts that a file is another version of, and what it changes.

    Raises:
        ContractError: If it shares no operation with them.
    """
    shares = {name: len(each.keys() & operations.keys()) / len(each) for name, each in shipped().items()}
    names = tuple(name for name, share in shares.items() if share >= SHARE or share == max(shares.values()))
    if not any(shares.values()):
        raise ContractError(f"none of its {len(operations)} operations is in a shipped contract")

    old = {name: each for contract in names for name, each in shipped()[contract].items()}
    groups: dict[tuple[str, ...], Change] = {}
    for change in map(locate, compare(old, operations)):
        leaf = change.path.rpartition(".")[2].rstrip("[]")
        key = (change.kind, change.what, change.detail, leaf, change.location or change.path)
        group = groups.setdefault(key, evolve(change, operations=(), places=()))
        groups[key] = evolve(
            group,
            operations=(*group.operations, *change.operations),
            places=tuple(sorted({*group.places, *change.places})),
        )

    return names, list(groups.values())


@cache
def shipped() -> dict[str, dict[str, Operation]]:
    """Return the operations of the shipped contracts by the names of their files."""
    folder = Path(ideogram_async.sandbox.__file__).parent
    return {name: operations_in(read_document(folder / name)) for name in SHIPPED}


def main(argv: list[str] | None = None) -> int:
    """Compare a file with the shipped contracts, print what differs, and return the exit code."""
    parser = argparse.ArgumentParser(prog="nox -s drift --", description="Compare a contract with the shipped one.")
    parser.add_argument("file", type=Path, metavar="FILE", help="an OpenAPI 3 document, as JSON or YAML")
    parser.add_argument("--json", action="store_true", help="write JSON, for machines")
    arguments = parser.parse_args(argv)
    try:
        names, changes = drift(operations_in(read_document(arguments.file)))
    except ContractError as error:
        sys.stderr.write(f"error: {arguments.file}: {error}\n")
        return 2

    if arguments.json:
        text = json.dumps({"contracts": names, "changes": [asdict(change) for change in changes]}, indent=1)
    else:
        count = "no change" if not changes else "1 change" if len(changes) == 1 else f"{len(changes)} changes"
        lines = [_wrapped(str(change)) for change in changes]
        text = "\n".join([*lines, f"{count} of {' and '.join(names)}"])

    sys.stdout.write(f"{text}\n")
    return 1 if changes else 0


def _wrapped(line: str) -> str:
    return textwrap.fill(line, WIDTH, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)


if __name__ == "__main__":
    sys.exit(main())
