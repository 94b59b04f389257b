"""Fields that several operations share, each documented once."""

from collections.abc import Iterable, Iterator

from attrs import field, frozen

from ideogram_async._literals import (
    AspectRatioV3Literal,
    MagicPromptOptionLiteral,
    RenderingSpeedLiteral,
    ResolutionV3Literal,
    StylePresetV3Literal,
    StyleTypeV3Literal,
)
from ideogram_async._scalars import as_int
from ideogram_async.enums import (
    AspectRatioV3,
    MagicPromptOption,
    RenderingSpeed,
    ResolutionV3,
    StylePresetV3,
    StyleTypeV3,
    Unchecked,
)
from ideogram_async.files import ImageFile, ImageSource, as_image, as_optional_images
from ideogram_async.requests._file_rules import ImageRule, ImagesRule, mask_violation
from ideogram_async.requests._palette import PaletteRule, PaletteSource, as_palette
from ideogram_async.requests._rules import Choice, Integer, RequestBase, Text, Texts, as_texts, field_rule


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class SeedField(RequestBase):
    """The `seed` field."""

    seed: int | None = field(default=None, converter=as_int, metadata=field_rule(Integer(0, 2**31 - 1)))
    """Random seed, 0 to 2147483647. The response reports the seed used."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class NumImagesField(SeedField):
    """The `num_images` field, and `seed`."""

    num_images: int | None = field(default=None, converter=as_int, metadata=field_rule(Integer(1, 8)))
    """Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the operation
    states otherwise."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class RenderingSpeedField(RequestBase):
    """The `rendering_speed` field."""

    rendering_speed: RenderingSpeedLiteral | RenderingSpeed | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(RenderingSpeed))
    )
    """Trade-off between quality, speed and cost: FLASH, TURBO, DEFAULT or QUALITY."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class MagicPromptField(RequestBase):
    """The `magic_prompt` field."""

    magic_prompt: MagicPromptOptionLiteral | MagicPromptOption | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(MagicPromptOption))
    )
    """Automatic rewriting of the prompt by the service: AUTO, ON or OFF."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class NegativePromptField(RequestBase):
    """The `negative_prompt` field."""

    negative_prompt: str | None = field(default=None, metadata=field_rule(Text()))
    """Content to leave out of the image. The prompt takes precedence."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class SizeFields(RequestBase):
    """The fields for the size of the image."""

    resolution: ResolutionV3Literal | ResolutionV3 | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(ResolutionV3))
    )
    """Width by height in pixels, such as `1280x704`. Cannot be combined with `aspect_ratio`."""
    aspect_ratio: AspectRatioV3Literal | AspectRatioV3 | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(AspectRatioV3))
    )
    """Aspect ratio, such as `16x9`; default `1x1`. Cannot be combined with `resolution`."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.resolution is not None and self.aspect_ratio is not None:
            yield "aspect_ratio", "cannot be combined with resolution"


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class StyleFields(RequestBase):
    """The fields for the style of the image."""

    style_preset: StylePresetV3Literal | StylePresetV3 | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(StylePresetV3))
    )
    """A named style, such as WATERCOLOR."""
    color_palette: PaletteSource | None = field(default=None, converter=as_palette, metadata=field_rule(PaletteRule()))
    """A preset such as `"EMBER"`, or 1 to 8 colors: hex strings, pairs of hex and weight, or `ColorPaletteMember`s."""
    style_codes: Iterable[str] | None = field(
        default=None,
        converter=as_texts,
        metadata=field_rule(Texts(Text(r"[0-9a-fA-F]{8}", "must be 8 hexadecimal digits"))),
    )
    """Style codes, 8 hexadecimal digits each. Cannot be combined with `style_reference_images` or `style_type`."""
    style_reference_images: Iterable[ImageSource] | None = field(
        default=None, converter=as_optional_images, metadata=field_rule(ImagesRule(shared_limit=True))
    )
    """Images that define the style: PNG, JPEG or WebP, at most 10 MiB in total."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.style_codes and self.style_reference_images:
            yield "style_codes", "cannot be combined with style_reference_images"


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class CharacterFields(StyleFields):
    """The fields for the style type and a character reference, and those of `StyleFields`."""

    style_type: StyleTypeV3Literal | StyleTypeV3 | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(StyleTypeV3))
    )
    """Style type: AUTO, GENERAL (default), REALISTIC, DESIGN or FICTION. Cannot be combined with `style_codes`."""
    character_reference_images: Iterable[ImageSource] | None = field(
        default=None, converter=as_optional_images, metadata=field_rule(ImagesRule(maximum=1, shared_limit=True))
    )
    """Character to draw: one image of at most 10 MiB. Costs more: see `client.estimate`."""
    character_reference_images_mask: Iterable[ImageSource] | None = field(
        default=None, converter=as_optional_images, metadata=field_rule(ImagesRule(shared_limit=True))
    )
    """One grayscale mask for each character image, of the same size in pixels."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.style_codes and self.style_type is not None:
            yield "style_codes", "cannot be combined with style_type"

        images = as_optional_images(self.character_reference_images) or ()
        masks = as_optional_images(self.character_reference_images_mask) or ()
        if masks and len(masks) != len(images):
            yield (
                "character_reference_images_mask",
                f"must have one mask for each of {len(images)} images, not {len(masks)}",
            )

        for n, (image, mask) in enumerate(zip(images, masks, strict=False)):
            if violation := mask_violation(image, mask):
                yield "character_reference_images_mask", f"[{n}] {violation}"


@frozen(slots=False, eq=False, repr=False)
class MaskFields(RequestBase):
    """The image and mask fields of operations that redraw a part of an image."""

    image: ImageSource = field(converter=as_image, metadata=field_rule(ImageRule()))
    """Image to change: PNG, JPEG or WebP, at most 10 MiB."""
    mask: ImageSource = field(converter=as_image, metadata=field_rule(ImageRule()))
    """Mask of the same size in pixels as the image. Black marks the area to redraw."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if violation := mask_violation(ImageFile.of(self.image), ImageFile.of(self.mask)):
            yield "mask", violation
