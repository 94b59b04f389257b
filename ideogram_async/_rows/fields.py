"""Operations that a row can name, and the kinds of their fields."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeAlias, cast

import attrs

import ideogram_async.requests
import ideogram_async.v2
from ideogram_async._operations import Request
from ideogram_async.enums import Unchecked
from ideogram_async.requests._file_rules import ImageRule, ImagesRule
from ideogram_async.requests._palette import PaletteRule
from ideogram_async.requests._rules import Choice, Flag, Integer, Text, Texts
from ideogram_async.v2._rules import AwareTime, FieldFiles, JsonObject, PromptRule

Field: TypeAlias = "attrs.Attribute[Any]"
AnyRequest: TypeAlias = Request[object]

UNCHECKED = "unchecked:"


@cache
def image_operations() -> Mapping[str, type[AnyRequest]]:
    """Return the request classes of the operations that make images, by name: `legacy-edit`, `v2 generate-46`."""
    requests = [each for each in request_classes() if each.endpoint.makes_images and each.endpoint.charged]
    return {operation_name(request): request for request in requests}


@cache
def request_classes() -> tuple[type[AnyRequest], ...]:
    """Return the request classes of both contracts."""
    modules = (ideogram_async.requests, ideogram_async.v2)
    classes = (getattr(module, name) for module in modules for name in module.__all__)
    return tuple(each for each in classes if issubclass(each, Request))


def operation_name(request: type) -> str:
    """Return the name of a request class in a row: its name in kebab case, `v2 ...` for the second contract."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[a-z])(?=[0-9])", "-", request.__name__).lower()
    return name if getattr(ideogram_async.requests, request.__name__, None) is request else f"v2 {name}"


def prompt_text(request: AnyRequest) -> str:
    """Return the prompt of a request for people, that of a structured one its description; empty if there is none."""
    fields = getattr(request, "fields", None)
    prompt = fields.get("prompt") if isinstance(fields, Mapping) else getattr(request, "prompt", None)
    return "" if prompt is None else str(getattr(prompt, "description", prompt))


class FieldKind(Enum):
    """Kind of value that a field takes."""

    TEXT = "text"
    PROMPT = "prompt"
    """Text, or a structured prompt."""
    TEXTS = "texts"
    NUMBER = "number"
    FLAG = "flag"
    FILE = "file"
    FILES = "files"
    NAMED_FILES = "named files"
    OBJECT = "object"
    """Further fields by name."""
    TIME = "time"
    PALETTE = "palette"


KINDS: dict[type, FieldKind] = {
    AwareTime: FieldKind.TIME,
    FieldFiles: FieldKind.NAMED_FILES,
    JsonObject: FieldKind.OBJECT,
    Integer: FieldKind.NUMBER,
    Flag: FieldKind.FLAG,
    ImageRule: FieldKind.FILE,
    ImagesRule: FieldKind.FILES,
    PaletteRule: FieldKind.PALETTE,
    Texts: FieldKind.TEXTS,
}


def fields_of(request: type[AnyRequest]) -> dict[str, Field]:
    """Return the fields of a request class in the order of its signature: required ones first."""
    fields = {field.name: field for field in attrs.fields(cast(type[attrs.AttrsInstance], request))}
    return dict(sorted(fields.items(), key=lambda item: item[1].kw_only))


def field_kind(field: Field) -> FieldKind:
    """Return the kind of value that a field takes."""
    rule = field.metadata.get("rule")
    if isinstance(rule, PromptRule) and rule.is_structured:
        return FieldKind.PROMPT

    return next((kind for rules, kind in KINDS.items() if isinstance(rule, rules)), FieldKind.TEXT)


def build_request(request: type[AnyRequest], values: Mapping[str, object]) -> AnyRequest:
    """Build a request from the values of its fields."""
    return cast(Callable[..., AnyRequest], request)(**values)


def parse_choice(rule: object, text: str) -> str:
    """Convert text to the spelling of a closed list: `turbo` is `TURBO`. Free text stays unchanged."""
    has_form = isinstance(rule, Text) and rule.pattern
    value = text.strip()
    if (has_form or isinstance(rule, Choice)) and value.casefold().startswith(UNCHECKED):
        return Unchecked(value[len(UNCHECKED) :])

    if not isinstance(rule, Choice):
        return text

    spellings = {str(choice).casefold(): str(choice) for choice in rule.enum}
    return spellings.get(value.casefold(), text)
