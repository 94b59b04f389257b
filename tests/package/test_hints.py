"""Type hints of the public names, as pydantic, beartype and Sphinx read them."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any, get_type_hints

import pytest

import ideogram_async


def public_modules() -> Iterator[str]:
    """List the modules that users import."""
    yield "ideogram_async"
    for module in pkgutil.walk_packages(ideogram_async.__path__, "ideogram_async."):
        parts = module.name.split(".")
        if not any(part.startswith("_") for part in parts) and "cli" not in parts:
            yield module.name


def public_objects() -> dict[str, Any]:
    """Return the public classes and functions by their full names."""
    objects = [
        getattr(module, name)
        for module in map(import_module, public_modules())
        for name in getattr(module, "__all__", ())
    ]
    return {
        f"{value.__module__}.{value.__qualname__}": value
        for value in objects
        if inspect.isclass(value) or inspect.isfunction(value)
    }


def functions_of(kind: type) -> Iterator[Any]:
    """List the initializer, the public methods and the properties of a class."""
    for name, member in inspect.getmembers_static(kind):
        if name.startswith("_") and name != "__init__":
            continue

        match member:
            case property():
                yield member.fget
            case classmethod() | staticmethod():
                yield member.__func__
            case _ if inspect.isfunction(member) and member.__module__.startswith("ideogram_async"):
                yield member


OBJECTS = public_objects()


@pytest.mark.parametrize("name", OBJECTS)
def test_hints_can_be_evaluated(name: str) -> None:
    """`get_type_hints` works on a public function, and on a public class, its initializer, methods and properties."""
    value = OBJECTS[name]
    get_type_hints(value)
    for function in functions_of(value) if inspect.isclass(value) else ():
        get_type_hints(function)


def test_a_hint_of_the_client_is_the_type() -> None:
    """Hints are the types themselves, also of what loads at first use."""
    hints = get_type_hints(ideogram_async.Ideogram.generate)

    assert ideogram_async.RenderingSpeed | str | None == hints["rendering_speed"]
    assert ideogram_async.ImageGenerationResponseV3 is hints["return"]
    assert ideogram_async.Batch is get_type_hints(ideogram_async.Ideogram.batch)["return"]
    assert len(OBJECTS) > 130
