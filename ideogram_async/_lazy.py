"""Module attributes that load at first use (PEP 562)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def lazy_exports(
    owner: str, exports: Mapping[str, str], *, rest: tuple[str, Sequence[str]] = ("", ())
) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and `__dir__` of a module.

    Args:
        owner: The module's `__name__`.
        exports: For each module of its package, the names that it exports, separated by spaces. Type checkers see the
            same names in an import under `TYPE_CHECKING`.
        rest: A module and names; it exports those of them that `exports` does not list.
    """
    module_of = dict.fromkeys(rest[1], rest[0])
    module_of |= {name: module for module, names in exports.items() for name in names.split()}

    def __getattr__(name: str) -> object:
        if name not in module_of:
            raise AttributeError(f"module {owner!r} has no attribute {name!r}", name=name, obj=sys.modules[owner])

        value: object = getattr(import_module(f".{module_of[name]}", sys.modules[owner].__package__), name)
        setattr(sys.modules[owner], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[owner]), *module_of})

    return __getattr__, __dir__
