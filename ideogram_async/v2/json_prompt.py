"""Structured prompts: a description of an image by its parts, with boxes and colors.

Source: https://docs.ideogram.ai/prompting/json-prompting
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, cast

import attrs
from attrs import field, frozen

from ideogram_async._names import NamedArguments
from ideogram_async.models.base import JsonObject

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

Box: TypeAlias = tuple[int, int, int, int]
"""y_min, x_min, y_max and x_max, each from 0 to 1000 of the image; the origin is its top left corner."""

MAX_COLORS, MAX_ELEMENT_COLORS = 16, 5
COMPOSITION = "compositional_deconstruction"


def as_box(value: Box | None) -> Box | None:
    """Convert the value of a box field; never rejects one."""
    return cast(Box, tuple(value)) if isinstance(value, list) else value


def as_items(value: Iterable[object] | None) -> Any:
    """Convert a list to a tuple; any other value stays, and is reported when it is sent."""
    return tuple(value) if isinstance(value, list) else value


class _Part(NamedArguments):
    """A part of a structured prompt. Its fields have other names in JSON; unknown ones are kept in `extra`."""

    __attrs_attrs__: ClassVar[Any]
    extra: JsonObject
    type_name: ClassVar[str | None] = None
    """Value of `type` in the JSON of an element."""

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Return the part with the content of a JSON object. No limit is checked."""
        names = {each.metadata["json"]: each.name for each in attrs.fields(cls) if "json" in each.metadata}
        known = {names[name]: item for name, item in value.items() if name in names and item is not None}
        rest = {name: item for name, item in value.items() if name not in names or item is None}
        if cls.type_name is not None:
            rest.pop("type", None)

        make = cast("Callable[..., Self]", cls)
        return make(**known, extra=rest)

    def to_dict(self) -> JsonObject:
        """Return the JSON object."""
        head = {} if self.type_name is None else {"type": self.type_name}
        values = {
            each.metadata["json"]: _plain(getattr(self, each.name))
            for each in attrs.fields(type(self))
            if "json" in each.metadata and getattr(self, each.name) is not None
        }
        return {**head, **values, **self.extra}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True, default=repr))

    def violations(self, place: str, max_colors: int) -> Iterator[str]:
        """Yield a message for each limit that the part breaks."""
        colors = getattr(self, "colors", None) or ()
        if len(colors) > max_colors:
            yield f"{place}.colors: accepts at most {max_colors}, not {len(colors)}"

        for n, color in enumerate(colors):
            if not re.fullmatch(r"#[0-9a-fA-F]{6}", str(color)):
                yield f"{place}.colors[{n}]: must be a color such as #1A1A1A, not {color!r}"

        box = getattr(self, "box", None)
        if box is not None and not _is_box(box):
            yield (
                f"{place}.box: must be y_min, x_min, y_max, x_max, whole numbers from 0 to 1000, with y_min below "
                f"y_max and x_min below x_max, not {box!r}"
            )


@frozen(eq=False)
class Obj(_Part):
    """Something in the image that is not text."""

    type_name: ClassVar[str | None] = "obj"

    description: str = field(metadata={"json": "desc"})
    """What it looks like."""
    box: Box | None = field(default=None, kw_only=True, converter=as_box, metadata={"json": "bbox"})
    """Where it is."""
    colors: Iterable[str] | None = field(
        default=None, kw_only=True, converter=as_items, metadata={"json": "color_palette"}
    )
    """Its colors as `#RRGGBB`, at most 5."""
    extra: JsonObject = field(factory=dict, kw_only=True, repr=False)
    """Fields in addition to the contract."""


@frozen(eq=False)
class Text(_Part):
    """Text in the image."""

    type_name: ClassVar[str | None] = "text"

    text: str = field(metadata={"json": "text"})
    """The words."""
    description: str = field(metadata={"json": "desc"})
    """What the text looks like."""
    box: Box | None = field(default=None, kw_only=True, converter=as_box, metadata={"json": "bbox"})
    """Where it is."""
    colors: Iterable[str] | None = field(
        default=None, kw_only=True, converter=as_items, metadata={"json": "color_palette"}
    )
    """Its colors as `#RRGGBB`, at most 5."""
    extra: JsonObject = field(factory=dict, kw_only=True, repr=False)
    """Fields in addition to the contract."""


@frozen(eq=False, kw_only=True)
class Style(_Part):
    """The style of the image. Use either `photo` or `art_style`."""

    aesthetics: str | None = field(default=None, metadata={"json": "aesthetics"})
    lighting: str | None = field(default=None, metadata={"json": "lighting"})
    photo: str | None = field(default=None, metadata={"json": "photo"})
    art_style: str | None = field(default=None, metadata={"json": "art_style"})
    medium: str | None = field(default=None, metadata={"json": "medium"})
    colors: Iterable[str] | None = field(default=None, converter=as_items, metadata={"json": "color_palette"})
    """Colors of the image as `#RRGGBB`, at most 16."""
    extra: JsonObject = field(factory=dict, kw_only=True, repr=False)
    """Fields in addition to the contract."""


ELEMENTS: Mapping[object, type[Obj | Text]] = {"obj": Obj, "text": Text}


@frozen(eq=False)
class JsonPrompt(NamedArguments):
    """A structured prompt.

        poster = JsonPrompt(
            "A square coffee poster with one headline.",
            background="Flat cream paper.",
            elements=[v2.Text("MORNING", "large black headline", box=(360, 100, 600, 900))],
            style=v2.Style(medium="poster", colors=["#F4E9D8"]),
        )

    `str(prompt)` is its JSON, as it is sent. Its limits are checked when it is sent.

    Args:
        description: The image in one or two sentences.
        background: The background.
        elements: What is in the image; of an answer also elements of unknown types, as dicts.
        style: The style.
        tags: Keywords.
        extra: Fields in addition to the contract.
    """

    description: str
    background: str = field(default="", kw_only=True)
    elements: Iterable[Obj | Text | Mapping[str, object]] = field(default=(), kw_only=True, converter=as_items)
    style: Style | None = field(default=None, kw_only=True)
    tags: Iterable[str] | None = field(default=None, kw_only=True, converter=as_items)
    extra: JsonObject = field(factory=dict, kw_only=True, repr=False)

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Return the prompt of a JSON object, such as one that was stored. No limit is checked.

        Raises:
            TypeError: If it is not the JSON object of a structured prompt.
        """
        parts = value.get(COMPOSITION) if isinstance(value, Mapping) else None  # pyright: ignore[reportUnnecessaryIsInstance]
        if not isinstance(parts, Mapping) or not isinstance(value.get("high_level_description"), str):
            raise TypeError(f"expected a structured prompt, got {type(value).__name__}")

        style, tags, elements = value.get("style_description"), value.get("tags"), parts.get("elements")
        known = {"high_level_description"}
        known |= {"style_description"} if isinstance(style, Mapping) else set[str]()
        known |= {"tags"} if isinstance(tags, list) else set[str]()
        extra = {name: item for name, item in value.items() if name not in {*known, COMPOSITION}}
        known_parts = {"background", "elements"} if isinstance(elements, list) else {"background"}
        if rest := {name: item for name, item in parts.items() if name not in known_parts}:
            extra[COMPOSITION] = rest

        return cls(
            str(value["high_level_description"]),
            background=parts.get("background", ""),
            elements=tuple(map(_element, elements)) if isinstance(elements, list) else (),
            style=Style.from_json(style) if isinstance(style, Mapping) else None,
            tags=tags if isinstance(tags, list) else None,
            extra=extra,
        )

    def to_dict(self) -> JsonObject:
        """Return the JSON object."""
        extra = dict(self.extra)
        parts = {"background": self.background, "elements": _plain(self.elements), **extra.pop(COMPOSITION, {})}
        value: JsonObject = {"high_level_description": self.description}
        if self.style is not None:
            value["style_description"] = _plain(self.style)

        value[COMPOSITION] = parts
        if self.tags is not None:
            value["tags"] = _plain(self.tags)

        return {**value, **extra}

    def __str__(self) -> str:
        return json.dumps(self.to_dict(), ensure_ascii=False, separators=(",", ":"))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, JsonPrompt) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(json.dumps(self.to_dict(), sort_keys=True, default=repr))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from ideogram_async.models._pydantic import json_schema_of

        return json_schema_of(cls, cls.to_dict)

    def type_error(self) -> str | None:
        """Return a message if it cannot be sent as JSON."""
        if not isinstance(self.description, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            return f"needs a description of type str, not {type(self.description).__name__}"

        try:
            str(self).encode()
        except UnicodeEncodeError:
            return "contains an unpaired surrogate"
        except (TypeError, ValueError) as error:
            return f"cannot be sent as JSON: {error}"

        return None

    def violations(self) -> Iterator[str]:
        """Yield a message for each limit that it breaks."""
        if not self.description.strip():
            yield "needs a description"

        if self.style is not None:
            yield from self.style.violations("style", MAX_COLORS)

        for n, element in enumerate(self.elements):
            if isinstance(element, _Part):
                yield from element.violations(f"elements[{n}]", MAX_ELEMENT_COLORS)


def _element(value: object) -> object:
    if not isinstance(value, dict):
        return value

    content = cast(JsonObject, value)
    kind = ELEMENTS.get(content.get("type"))
    is_complete = isinstance(content.get("desc"), str) and (kind is Obj or isinstance(content.get("text"), str))
    return kind.from_json(content) if kind is not None and is_complete else value


def _plain(value: object) -> object:
    if isinstance(value, _Part):
        return value.to_dict()

    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _is_box(box: object) -> bool:
    if not isinstance(box, tuple) or len(box) != 4 or not all(type(edge) is int and 0 <= edge <= 1000 for edge in box):
        return False

    y_min, x_min, y_max, x_max = box
    return bool(y_min < y_max and x_min < x_max)
