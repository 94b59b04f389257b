"""Schema of answers for pydantic, which calls it: annotated routes of FastAPI, and fields of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_type_hints

from pydantic_core import core_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from pydantic import GetCoreSchemaHandler

    from ideogram_async.models.base import Item


def core_schema_of(
    cls: type[Item], fields_of: Callable[[type[Item]], Collection[str]], handler: GetCoreSchemaHandler
) -> core_schema.CoreSchema:
    """Return a schema that accepts instances of an answer's class, and serializes their fields as `to_dict` does."""
    hints, names = get_type_hints(cls), fields_of(cls)
    fields = {name: core_schema.typed_dict_field(handler.generate_schema(hints[name])) for name in names}
    schema = core_schema.typed_dict_schema(fields, cls_name=cls.__name__, extra_behavior="allow", ref=cls.__name__)

    def values(item: Item) -> dict[str, object]:
        # An item may be of a subclass, which has further fields.
        return {name: getattr(item, name) for name in fields_of(type(item))} | item.extra

    serialization = core_schema.plain_serializer_function_ser_schema(values, return_schema=schema)
    return core_schema.is_instance_schema(cls, serialization=serialization)


def json_schema_of(cls: type, to_dict: Callable[[Any], dict[str, Any]]) -> core_schema.CoreSchema:
    """Return a schema that accepts instances of a class, and serializes them as a JSON object."""
    serialization = core_schema.plain_serializer_function_ser_schema(to_dict, return_schema=core_schema.dict_schema())
    return core_schema.is_instance_schema(cls, serialization=serialization)
