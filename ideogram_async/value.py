"""What a value is: it shows what it holds, and equals what holds the same.

Written once here. attrs would make the same methods anew for each of some sixty classes, which is more than half of the
time that such a class takes to load.
"""

from __future__ import annotations

from typing import Any

import attrs

__all__ = ["Value"]


@attrs.frozen(slots=False, eq=False, repr=False)
class Value:
    """The base of requests and answers. Fields declared with `eq=False` or `repr=False` are left out."""

    def __repr__(self) -> str:
        # `None` says that nothing was given, and most fields of most values are `None`.
        given = [field for field in attrs.fields(type(self)) if field.repr and getattr(self, field.name) is not None]
        positional = [repr(getattr(self, field.name)) for field in given if not field.kw_only]
        named = [f"{field.name}={getattr(self, field.name)!r}" for field in given if field.kw_only]
        return f"{type(self).__name__}({', '.join(positional + named)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((type(self), self._content()))

    def _content(self) -> tuple[Any, ...]:
        return tuple(getattr(self, field.name) for field in attrs.fields(type(self)) if field.eq)
