"""A request's fields, for somebody who writes text: which there are, and what each holds, as their rules say."""

from __future__ import annotations

from enum import Enum
from typing import Any, TypeAlias

import attrs

from ideogram_async.requests.palette import PaletteRule
from ideogram_async.requests.pictures import Picture, Pictures
from ideogram_async.requests.rules import Flag, Integer, Texts

__all__ = ["Field", "Kind", "fields_of", "kind_of"]

Field: TypeAlias = "attrs.Attribute[Any]"


class Kind(Enum):
    """What a field holds, for somebody who writes text."""

    TEXT = "text"
    TEXTS = "texts"
    NUMBER = "number"
    FLAG = "flag"
    FILE = "file"
    FILES = "files"
    PALETTE = "palette"


def fields_of(request: type[Any]) -> dict[str, Field]:
    """List a request's fields in the order of its signature: required ones first."""
    fields = {field.name: field for field in attrs.fields(request)}
    return dict(sorted(fields.items(), key=lambda item: item[1].kw_only))


def kind_of(field: Field) -> Kind:
    """Say what a field holds."""
    match field.metadata.get("rule"):
        case Integer():
            return Kind.NUMBER
        case Flag():
            return Kind.FLAG
        case Picture():
            return Kind.FILE
        case Pictures():
            return Kind.FILES
        case PaletteRule():
            return Kind.PALETTE
        case Texts():
            return Kind.TEXTS
        case _:
            return Kind.TEXT
