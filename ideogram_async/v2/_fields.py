"""Fields that several operations of the second contract share, each documented once.

The documentation of a field is in its metadata; `documented` adds it to the docstring of each request class.
"""

import inspect
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
from attrs import field, frozen

from ideogram_async._literals import ResolutionV3Literal
from ideogram_async._operations import Accept, Body, Endpoint, Request
from ideogram_async._scalars import as_bool, as_int
from ideogram_async.enums import ResolutionV3, Unchecked
from ideogram_async.requests._palette import Palette, PaletteRule, PaletteSource, as_palette
from ideogram_async.requests._rules import Choice, Flag, Integer, RequestBase, Text, Texts, as_texts, field_rule
from ideogram_async.v2._rules import JsonFields, JsonObject, PromptRule, as_json_object
from ideogram_async.v2._values import (
    IdeogramV3AspectRatio,
    IdeogramV3StylePreset,
    IdeogramV3StyleType,
    MagicPromptMode,
    PalettePreset,
    Quality,
    RenderingSpeed,
    ResolutionV4,
    one_of,
)
from ideogram_async.v2.answers import Generation
from ideogram_async.v2.json_prompt import JsonPrompt

PROMPT = field_rule(PromptRule(), doc="What to draw or change, at most 10,000 characters.")
STRUCTURED_PROMPT = field_rule(
    PromptRule(is_structured=True),
    doc="What to draw or change: text of at most 10,000 characters, or a `JsonPrompt`.",
)
OPTIONAL_PROMPT = field_rule(PromptRule(may_be_empty=True), doc="Description of the image, at most 10,000 characters.")
RESOLUTION = field_rule(Choice(ResolutionV3), doc="Width by height in pixels, such as `1280x704`.")
RESOLUTION_V4 = field_rule(
    one_of("ResolutionV4", ResolutionV4), doc="Width by height in pixels, such as `2048x2048` or `1280x720`."
)
WEIGHT = field_rule(Integer(1, 100), doc="Influence of the source, from 1 to 100, the closest.")


def as_named_palette(value: PalettePreset | PaletteSource | None) -> Palette | None:
    """Convert the value of a palette field. Its presets have other names than those of the first contract."""
    return as_palette(value)


def documented(request: type, fields: list[Any]) -> list[Any]:
    """Add the `Args` section to the docstring of a class. A `field_transformer` of attrs."""
    ordered = sorted((each for each in fields if "doc" in each.metadata), key=lambda each: bool(each.kw_only))
    entries = [
        textwrap.fill(f"{each.name}: {each.metadata['doc']}", 116, initial_indent=" " * 4, subsequent_indent=" " * 8)
        for each in ordered
    ]
    request.__doc__ = "\n".join([inspect.cleandoc(request.__doc__ or ""), "\nArgs:", *entries])
    return fields


def drawing(
    path: str, *, accept: Accept = Accept.OPTIONAL, has_webhook: bool = True, fixed_images: int | None = None
) -> Endpoint:
    """Return the endpoint of an operation that makes images, by its path below `/v2/`."""
    return Endpoint(
        "POST",
        f"/v2/{path}",
        Body.AUTO,
        Generation,
        accept=accept,
        has_webhook=has_webhook,
        has_quote=True,
        fixed_images=fixed_images,
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Drawing(RequestBase, Request[Generation]):
    """Base class of requests that make images."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Seed(RequestBase):
    """The `seed` field."""

    seed: int | None = field(
        default=None,
        converter=as_int,
        metadata=field_rule(Integer(0, 2**31 - 1), doc="Random seed, 0 to 2147483647. The answer has the seed used."),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class NumImages(RequestBase):
    """The `num_images` field."""

    num_images: int | None = field(
        default=None,
        converter=as_int,
        metadata=field_rule(
            Integer(1, 8),
            doc="Number of images, from 1 to 8; default 1. Each takes a concurrency slot and is billed.",
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Private(RequestBase):
    """The `private` field."""

    private: bool | None = field(
        default=None,
        converter=as_bool,
        metadata=field_rule(
            Flag(), doc="Whether the result stays out of the public feed. By default the client's `private` is sent."
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Collected(Private):
    """The `target_collection_id` field, and `private`."""

    target_collection_id: str | None = field(
        default=None, metadata=field_rule(Text(), doc="Collection of the account that receives the result.")
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Checked(NumImages, Collected):
    """The `enable_copyright_detection` field, and those of most operations."""

    enable_copyright_detection: bool | None = field(
        default=None,
        converter=as_bool,
        metadata=field_rule(
            Flag(), doc="Whether the result is checked for protected content. Slower; a match is an unsafe image."
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class MagicPrompt(RequestBase):
    """The `magic_prompt` field."""

    magic_prompt: MagicPromptMode | Unchecked | None = field(
        default=None,
        metadata=field_rule(
            one_of("MagicPromptMode", MagicPromptMode),
            doc="Automatic rewriting of the prompt: auto, on or off. With a `JsonPrompt`, off is sent by default.",
        ),
    )

    def sent_fields(self) -> Iterator[tuple[str, object]]:
        """Yield the fields that are sent, and `magic_prompt` for a structured prompt."""
        yield from super().sent_fields()
        # The first contract switches it off for structured prompts; the second one does not state it.
        if self.magic_prompt is None and isinstance(getattr(self, "prompt", None), JsonPrompt):
            yield "magic_prompt", "off"


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Speed(RequestBase):
    """The `rendering_speed` field."""

    rendering_speed: RenderingSpeed | Unchecked | None = field(
        default=None,
        metadata=field_rule(
            one_of("RenderingSpeed", RenderingSpeed),
            doc="Trade-off between quality, speed and cost: turbo, default or quality.",
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Tier(RequestBase):
    """The `quality` field."""

    quality: Quality | Unchecked | None = field(
        default=None,
        metadata=field_rule(
            one_of("Quality", Quality), doc="Quality, which sets the price: very_low, low, medium or high."
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Negative(RequestBase):
    """The `negative_prompt` field."""

    negative_prompt: str | None = field(
        default=None,
        metadata=field_rule(
            PromptRule(may_be_empty=True), doc="Content to leave out of the image. The prompt takes precedence."
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class SizeV3(RequestBase):
    """The size of an image of Ideogram 3."""

    resolution: ResolutionV3Literal | ResolutionV3 | Unchecked | None = field(default=None, metadata=RESOLUTION)
    aspect_ratio: IdeogramV3AspectRatio | Unchecked | None = field(
        default=None,
        metadata=field_rule(
            one_of("IdeogramV3AspectRatio", IdeogramV3AspectRatio),
            doc="Aspect ratio, such as `16x9`, or auto. Cannot be combined with `resolution`, unless it is auto.",
        ),
    )

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.resolution is not None and self.aspect_ratio not in (None, "auto"):
            yield "aspect_ratio", "cannot be combined with resolution"


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Palettes(RequestBase):
    """The `color_palette` field."""

    color_palette: PaletteSource | None = field(
        default=None,
        converter=as_named_palette,
        metadata=field_rule(
            PaletteRule(one_of("IdeogramColorPalettePresetName", PalettePreset)),
            doc='A preset such as `"ember"`, or 1 to 8 colors: hex strings, pairs of hex and weight, or '
            "`ColorPaletteMember`s.",
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class StyleCodes(RequestBase):
    """The `style_preset` and `style_codes` fields."""

    style_preset: IdeogramV3StylePreset | Unchecked | None = field(
        default=None,
        metadata=field_rule(
            one_of("IdeogramV3StylePreset", IdeogramV3StylePreset), doc="A named style, such as watercolor."
        ),
    )
    style_codes: Iterable[str] | None = field(
        default=None,
        converter=as_texts,
        metadata=field_rule(
            Texts(Text(r"[0-9a-fA-F]{8}", "must be 8 hexadecimal digits")),
            doc="Style codes, 8 hexadecimal digits each.",
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class StyleType(RequestBase):
    """The `style_type` field."""

    style_type: IdeogramV3StyleType | Unchecked | None = field(
        default=None,
        metadata=field_rule(
            one_of("IdeogramV3StyleType", IdeogramV3StyleType),
            doc="Style type: auto, general (default), realistic, design, custom, fiction or stylized.",
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Open(RequestBase):
    """The `extra` field of operations whose list of fields may be incomplete."""

    extra: Mapping[str, object] | None = field(
        default=None,
        converter=as_json_object,
        metadata=field_rule(
            JsonObject(), doc='Further fields, sent as they are, without checks, such as `{"background": ...}`.'
        ),
    )

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        own = {each.name for each in attrs.fields(type(self))}
        own |= {str(each.metadata["asset_wire"]) for each in attrs.fields(type(self)) if "asset_wire" in each.metadata}
        for name in self.extra if isinstance(self.extra, JsonFields) else ():
            if name in own | {"async", "webhook_url", "dry_run"}:
                yield "extra", f"contains {name!r}, which is not a further field"

    def sent_fields(self) -> Iterator[tuple[str, object]]:
        """Yield the fields that are sent; those of `extra` come last, under their own names."""
        fields = dict(super().sent_fields())
        further: Any = fields.pop("extra", {})
        yield from (fields | dict(further)).items()
