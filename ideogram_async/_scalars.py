"""Conversion of numbers of other libraries, such as NumPy, to Python numbers."""

# No `from __future__ import annotations`: attrs copies the types of a converter into `__init__`.

import operator
from typing import Any


def as_scalar(value: Any) -> Any:
    """Return the Python value of a NumPy scalar or of an integer of another type; any other value is unchanged."""
    if value is None or isinstance(value, int | str) or type(value) is float:
        return value

    if hasattr(value, "dtype"):
        return value.item() if getattr(value, "shape", None) == () else value

    try:
        return operator.index(value)
    except TypeError:
        return value


def as_int(value: int | None) -> int | None:
    """Convert the value of a field of whole numbers; never rejects one."""
    return as_scalar(value)  # type: ignore[no-any-return]


def as_index(value: int) -> int:
    """Convert the value of an index; never rejects one."""
    return as_scalar(value)  # type: ignore[no-any-return]


def as_bool(value: bool | None) -> bool | None:
    """Convert the value of a field of booleans; never rejects one."""
    return as_scalar(value)  # type: ignore[no-any-return]


def as_float(value: float | None) -> float | None:
    """Convert the value of a field of numbers; never rejects one."""
    return as_scalar(value)  # type: ignore[no-any-return]


def is_absent(value: Any) -> bool:
    """Return whether a value means that there is none: `None`, and NaN, NaT or NA of any library."""
    if value is None or isinstance(value, str | int):
        return value is None

    if type(value).__name__ in ("NAType", "NaTType"):
        return True

    scalar = as_scalar(value)
    return scalar is None or (isinstance(scalar, float) and scalar != scalar)
