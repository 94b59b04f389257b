"""Values in a form that JSON knows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import attrs

__all__ = ["plain"]


def plain(value: Any) -> Any:
    """Put a value into a form that JSON knows: money as text, moments in ISO 8601, answers without their `meta`.

    What the service sent beyond the contract stands among the fields.
    """
    match value:
        case dict():
            return {str(name): plain(item) for name, item in value.items()}
        case tuple() | list():
            return [plain(item) for item in value]
        case Decimal() | Path():
            return str(value)
        case date():
            return value.isoformat()
        case _ if attrs.has(type(value)):
            return _fields_of(value)
        case str():
            return str(value)
        case _:
            return value


def _fields_of(value: Any) -> dict[str, Any]:
    names = [field.name for field in attrs.fields(cast(Any, type(value)))]
    told = {name: plain(getattr(value, name)) for name in names if name not in ("extra", "meta")}
    extra: dict[str, Any] = plain(getattr(value, "extra", {}))
    return told | extra
