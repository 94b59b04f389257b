"""Packages whose names load at their first use (PEP 562), so that importing little costs little."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

__all__ = ["attach"]


def attach(
    package: str, exported: Sequence[str], rooms: Sequence[str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make a package's `__getattr__` and `__dir__`.

    Args:
        package: Its name.
        exported: What it exports; type checkers see the same in an import under `TYPE_CHECKING`.
        rooms: Its modules, in the order in which they build on each other: a light name never loads a heavy one.
    """

    def __getattr__(name: str) -> Any:
        if name not in exported:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")

        for room in rooms:
            module = import_module(f"{package}.{room}")
            if name in module.__all__:
                value = getattr(module, name)
                setattr(sys.modules[package], name, value)
                return value

        raise AttributeError(f"no room of {package!r} has {name!r}")

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *exported})

    return __getattr__, __dir__
