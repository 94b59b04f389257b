"""Type hints of the public names, as `typing.get_type_hints` evaluates them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_type_hints

import pytest

MODULES = [
    "ideogram_async",
    "ideogram_async.batch",
    "ideogram_async.files",
    "ideogram_async.integrations.fastapi",
    "ideogram_async.integrations.logs",
    "ideogram_async.integrations.otel",
    "ideogram_async.integrations.redis",
    "ideogram_async.models.base",
    "ideogram_async.sandbox",
]


def public_hints() -> Iterator[tuple[str, Any]]:
    """Yield every public function and class, and the initializer, public methods and properties of each class."""
    for module in map(import_module, MODULES):
        for name, value in [(name, getattr(module, name)) for name in module.__all__]:
            if inspect.isfunction(value) or inspect.isclass(value):
                yield name, value

            if inspect.isclass(value):
                yield from members(value)


def members(kind: type) -> Iterator[tuple[str, Any]]:
    for name, member in inspect.getmembers(kind):
        static = inspect.getattr_static(kind, name)
        function = static.fget if isinstance(static, property) else member
        is_public = name == "__init__" or not name.startswith("_")
        if is_public and (inspect.isfunction(function) or inspect.ismethod(function)):
            yield f"{kind.__name__}.{name}", function


@pytest.mark.parametrize("value", [pytest.param(value, id=name) for name, value in public_hints()])
def test_hints_can_be_evaluated(value: Any) -> None:
    """Tools such as Pydantic, beartype, sphinx and cyclopts can read the hints of all public names."""
    hints = get_type_hints(value)

    assert not any(isinstance(hint, str) for hint in hints.values())
