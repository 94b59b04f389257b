"""The public surface: each public name with its arguments and members, one a line.

`tests/data/surface.txt` has it as it was last agreed on. After a deliberate change: python tests/support/surface.py
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from typing import Any

import attrs

__all__ = ["MODULES", "STORED", "lines_of", "public_values", "surface"]

STORED = Path(__file__).parents[1] / "data" / "surface.txt"
# The modules that users import from; a name of several ones is listed with the first.
MODULES = (
    "",
    ".v2",
    ".batch",
    ".enums",
    ".files",
    ".ledger",
    ".requests",
    ".models",
    ".models.base",
    ".sinks",
    ".webhooks",
    ".demo",
    ".sandbox",
    ".sandbox.pytest_plugin",
    *(f".integrations.{name}" for name in ("dbos", "fastapi", "logs", "objects", "otel", "redis", "temporal")),
)


def surface() -> Iterator[str]:
    """Yield the lines of the public surface."""
    return lines_of(public_values())


def public_values() -> Iterator[tuple[str, Any]]:
    """Yield each public name with its value, under the first module that has it."""
    seen: set[int] = set()
    for module in (import_module(f"ideogram_async{name}") for name in MODULES):
        for name in sorted({*module.__all__} - {"__version__"}):
            value = getattr(module, name)
            if id(value) not in seen:
                seen.add(id(value))
                yield f"{module.__name__}.{name}", value


def lines_of(values: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """Yield the lines of values, those of a class with the members that it and its bases add to the earlier ones."""
    owners: set[type] = set()
    for path, value in values:
        yield path + _arguments(value)
        for owner in reversed(value.__mro__ if isinstance(value, type) else ()):
            yield from () if owner in owners else _members(owner)
            owners.add(owner)


def _members(owner: type) -> Iterator[str]:
    """Yield what a class of the package adds to its bases. Its fields are already shown as arguments."""
    if not owner.__module__.startswith("ideogram_async"):
        return

    fields = {field.name for field in attrs.fields(owner) if field.init} if attrs.has(owner) else set[str]()
    for name in sorted({*vars(owner), *inspect.get_annotations(owner)} - fields):
        if not name.startswith("_"):
            yield f"    {owner.__name__}.{name}{_arguments(vars(owner).get(name))}"


def _arguments(value: Any) -> str:
    """Return the bases of an error, or the parameters of what can be called, without types."""
    if isinstance(value, type) and issubclass(value, BaseException):
        return f"({', '.join(base.__name__ for base in value.__bases__)})"

    if isinstance(value, Enum):
        return f" = {value.value!r}"

    value = getattr(value, "__func__", value)
    is_enum = isinstance(value, type) and issubclass(value, Enum)
    if is_enum or not (inspect.isfunction(value) or isinstance(value, type)):
        return ""

    try:
        parameters = inspect.signature(value).parameters.values()
    except ValueError:  # a string
        return ""

    shown = [each.replace(annotation=each.empty, default=_default(each)) for each in parameters]
    return str(inspect.Signature(shown)).replace("Ellipsis", "...")


def _default(parameter: inspect.Parameter) -> Any:
    """Return a default value, or one that looks the same in each process."""
    is_plain = type(parameter.default) in (bool, bytes, float, int, str, tuple, type(None))
    return parameter.default if is_plain or parameter.default is parameter.empty else ...


if __name__ == "__main__":
    STORED.write_text("".join(f"{line}\n" for line in surface()), encoding="utf-8")
