"""JSON decoding: lenient about additions, strict about the contract.

cattrs converts the values. Its hooks for primitives are replaced, because they convert `null` to `'None'` and `3` to
`'3'`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache
from types import GenericAlias, UnionType
from typing import Any, TypeAlias, TypeGuard, TypeVar, Union, cast, get_args, get_origin

import attrs
from cattrs import Converter, transform_error
from cattrs.gen import make_dict_structure_fn, override

from ideogram_async.models.base import Item, contract_fields

T = TypeVar("T")
Hook: TypeAlias = Callable[[object, object], object]
Json: TypeAlias = "dict[str, Json] | list[Json] | str | float | bool | None"
MAX_DEPTH = 50
URL_FIELDS = ("url", "base_image_url", "original_image_url")


@cache
def converter() -> Converter:
    """Return the library's one converter."""
    converter = Converter(detailed_validation=True)
    for target in (str, bool, int):
        converter.register_structure_hook(target, _exactly)

    converter.register_structure_hook(datetime, lambda value, _: _datetime(value))
    converter.register_structure_hook(Decimal, lambda value, _: _decimal(value))
    converter.register_structure_hook_func(_is_open_enum, _open_enum)
    converter.register_structure_hook_factory(_is_tuple, lambda target: _tuple_hook(converter, target))
    converter.register_structure_hook_factory(_is_item, lambda target: _item_hook(converter, target))
    converter.register_structure_hook_func(_reads_json, lambda value, target: target.from_json(value))
    return converter


def error_lines(error: Exception) -> list[str]:
    """Describe a failed conversion in lines like `$.data[0].seed: missing`."""
    lines = (line.rpartition(" @ ") for line in transform_error(error, format_exception=_describe))
    return [f"{path}: {message}" for message, _, path in lines]


def _describe(error: BaseException, _: type | None) -> str:
    return "missing" if isinstance(error, KeyError) else str(error)


def _exactly(value: object, target: type[T]) -> T:
    # A boolean is an instance of `int`, but not an integer of the contract.
    if type(value) is target:
        return value

    raise TypeError(f"expected {target.__name__}, got {type(value).__name__}")


def _datetime(value: object) -> datetime:
    # `2026-06-02T16:24Z`, without seconds, occurs too. Without a time zone, the service means UTC.
    moment = datetime.fromisoformat(_exactly(value, str))
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _decimal(value: object) -> Decimal:
    if isinstance(value, Decimal):
        return value

    try:
        return Decimal(_exactly(value, str))
    except InvalidOperation:
        raise TypeError(f"expected a decimal number, got {value!r:.40}") from None


def _is_open_enum(target: object) -> bool:
    return get_origin(target) in (Union, UnionType) and any(_is_enum(arg) for arg in get_args(target))


def _is_enum(target: object) -> TypeGuard[type[StrEnum]]:
    return isinstance(target, type) and issubclass(target, StrEnum)


def _open_enum(value: object, target: object) -> str | None:
    if value is None and type(None) in get_args(target):
        return None

    enum = next(arg for arg in get_args(target) if _is_enum(arg))
    text = _exactly(value, str)
    try:
        return enum(text)
    except ValueError:
        return text


def _is_tuple(target: object) -> bool:
    return get_origin(target) is tuple


def _tuple_hook(converter: Converter, target: object) -> Hook:
    list_type = GenericAlias(list, get_args(target)[:1])
    structure = converter.get_structure_hook(list_type)

    def hook(value: object, _: object) -> object:
        return tuple(structure(_exactly(value, list), list_type))

    return hook


def is_shallow(value: Json) -> bool:
    """Return whether a value can be copied and pickled, which Python does by recursion."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]

    return not level


def _is_item(target: object) -> bool:
    return isinstance(target, type) and issubclass(target, Item)


def _reads_json(target: object) -> bool:
    """Return whether a class reads its JSON itself."""
    return hasattr(target, "from_json")


def _item_hook(converter: Converter, target: type[Item]) -> Hook:
    structure = make_dict_structure_fn(target, converter, extra=override(omit=True), meta=override(omit=True))
    fields = contract_fields(target)
    prepare, class_of = target._prepare, target._class_of  # pyright: ignore[reportPrivateUsage]

    def hook(value: object, _: object) -> object:
        items = prepare(_exactly(value, dict))
        actual = class_of(items)
        if actual is not target:
            return converter.structure(value, actual)

        known = {name: item for name, item in items.items() if name in fields and not _is_absent(fields[name], item)}
        answer = structure(known, target)
        # What is nested too deeply stays in the reply's bytes only.
        extra = {name: item for name, item in items.items() if name not in fields and is_shallow(cast(Json, item))}
        return attrs.evolve(answer, extra=extra) if extra else answer

    return hook


def _is_absent(field: attrs.Attribute[Any], value: object) -> bool:
    """Return whether a value means "absent": null in an optional field, or the empty URL of a withheld image."""
    if value is None:
        return field.default is not attrs.NOTHING

    return value == "" and field.name in URL_FIELDS
