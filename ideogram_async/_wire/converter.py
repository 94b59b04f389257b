"""How JSON becomes answers: lenient about what is new, strict about what is promised.

cattrs does the walking. Its primitives are replaced, because they would make `'None'` of `null` and `'3'` of `3`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import cache
from types import GenericAlias, UnionType
from typing import Any, Union, get_args, get_origin

import attrs
from cattrs import Converter, transform_error
from cattrs.gen import make_dict_structure_fn, override

from ideogram_async.models.base import Item

OURS = ("extra", "meta")

LINKS = ("url", "base_image_url", "original_image_url")


@cache
def converter() -> Converter:
    """Return the library's one converter."""
    made = Converter(detailed_validation=True)
    for kind in (str, bool, int):
        made.register_structure_hook(kind, _exactly)

    made.register_structure_hook(datetime, lambda value, _: _moment(value))
    made.register_structure_hook_func(_is_open_enum, _open_enum)
    made.register_structure_hook_factory(_is_list, lambda kind: _list_hook(made, kind))
    made.register_structure_hook_factory(_is_item, lambda kind: _item_hook(made, kind))
    return made


def faults_of(error: Exception) -> list[str]:
    """Describe a failed conversion in lines like `$.data[0].seed: missing`."""
    told = (line.rpartition(" @ ") for line in transform_error(error, format_exception=_say))
    return [f"{path}: {what}" for what, _, path in told]


def _say(error: BaseException, _: type | None) -> str:
    return "missing" if isinstance(error, KeyError) else str(error)


def _exactly(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {type(value).__name__}")

    return value


def _moment(value: Any) -> datetime:
    # `2026-06-02T16:24Z`, without seconds, has been seen too. A moment without a zone is the service's, so UTC.
    moment = datetime.fromisoformat(_exactly(value, str))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_open_enum(kind: Any) -> bool:
    return get_origin(kind) in (Union, UnionType) and any(_is_enum(arg) for arg in get_args(kind))


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, StrEnum)


def _open_enum(value: Any, kind: Any) -> Any:
    enum = next(arg for arg in get_args(kind) if _is_enum(arg))
    text = _exactly(value, str)
    try:
        return enum(text)
    except ValueError:
        return text


def _is_list(kind: Any) -> bool:
    return get_origin(kind) is tuple


def _list_hook(made: Converter, kind: Any) -> Callable[[Any, Any], Any]:
    listed = GenericAlias(list, get_args(kind)[:1])
    structure = made.get_structure_hook(listed)

    def hook(value: Any, _: Any) -> Any:
        return tuple(structure(_exactly(value, list), listed))

    return hook


def _is_item(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Item)


def _item_hook(made: Converter, kind: type[Item]) -> Callable[[Any, Any], Any]:
    structure = make_dict_structure_fn(kind, made, extra=override(omit=True), meta=override(omit=True))
    fields = {field.name: field for field in attrs.fields(kind) if field.name not in OURS}

    def hook(value: Any, _: Any) -> Any:
        given = _exactly(value, dict)
        known = {name: item for name, item in given.items() if name in fields and not _is_absent(fields[name], item)}
        answer = structure(known, kind)
        extra = {name: item for name, item in given.items() if name not in fields}
        return attrs.evolve(answer, extra=extra) if extra else answer

    return hook


def _is_absent(field: attrs.Attribute[Any], value: Any) -> bool:
    """Whether a value says as little as none: null where that is allowed, or the empty link of a withheld image."""
    if value is None:
        return field.default is not attrs.NOTHING

    return value == "" and field.name in LINKS
