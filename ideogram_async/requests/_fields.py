"""Fields that several operations share, each explained once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from attrs import field, frozen

from ideogram_async.enums import (
    AspectRatioV3,
    MagicPromptOption,
    RenderingSpeed,
    ResolutionV3,
    StylePresetV3,
    StyleTypeV3,
)
from ideogram_async.files import ImageFile, ImageSource, as_image, as_optional_images
from ideogram_async.requests._file_rules import Picture, Pictures, mask_problem
from ideogram_async.requests._palette import PaletteRule, PaletteSource, as_palette
from ideogram_async.requests._rules import Choice, Integer, RequestBase, Text, Texts, as_texts, field_rule

SEED = field_rule(Integer(0, 2**31 - 1))


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class SeedField(RequestBase):
    """Anything that is drawn by chance."""

    seed: int | None = field(default=None, metadata=SEED)
    """From 0 to 2147483647; the same seed draws the same image again. The answer tells the one that was used."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class NumImagesField(SeedField):
    """Anything that may be drawn several times in one call."""

    num_images: int | None = field(default=None, metadata=field_rule(Integer(1, 8)))
    """How many images to make, from 1 to 8; 1 if not given. Each takes a place of the limit, and is paid for unless
    the operation says otherwise."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class RenderingSpeedField(RequestBase):
    """Anything that may be drawn fast or well."""

    rendering_speed: RenderingSpeed | str | None = field(default=None, metadata=field_rule(Choice(RenderingSpeed)))
    """Care against time and money: FLASH, TURBO, DEFAULT (if not given) or QUALITY."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class MagicPromptField(RequestBase):
    """Anything that follows a prompt."""

    magic_prompt: MagicPromptOption | str | None = field(default=None, metadata=field_rule(Choice(MagicPromptOption)))
    """Whether the service may rewrite the prompt: AUTO, ON or OFF."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class NegativePromptField(RequestBase):
    """Anything that can be told what to leave out."""

    negative_prompt: str | None = field(default=None, metadata=field_rule(Text()))
    """What to leave out. The prompt wins where the two disagree."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class SizeFields(RequestBase):
    """Anything whose shape can be chosen."""

    resolution: ResolutionV3 | str | None = field(default=None, metadata=field_rule(Choice(ResolutionV3)))
    """Width by height in pixels, such as `1280x704`. Not together with `aspect_ratio`."""
    aspect_ratio: AspectRatioV3 | str | None = field(default=None, metadata=field_rule(Choice(AspectRatioV3)))
    """The shape, such as `16x9`; `1x1` if neither is given. Not together with `resolution`."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.resolution is not None and self.aspect_ratio is not None:
            yield "aspect_ratio", "cannot be given together with resolution"


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class StyleFields(RequestBase):
    """Anything with a style."""

    style_preset: StylePresetV3 | str | None = field(default=None, metadata=field_rule(Choice(StylePresetV3)))
    """A look that has a name, such as `WATERCOLOR`."""
    color_palette: PaletteSource | None = field(default=None, converter=as_palette, metadata=field_rule(PaletteRule()))
    """A preset such as `"EMBER"`, or 1 to 8 colours: hex strings, pairs of hex and weight, or `ColorPaletteMember`s."""
    style_codes: Iterable[str] | None = field(
        default=None,
        converter=as_texts,
        metadata=field_rule(Texts(Text(r"[0-9a-fA-F]{8}", "must be 8 hexadecimal digits"))),
    )
    """Codes of styles, 8 hexadecimal digits each. Not together with `style_reference_images` or `style_type`."""
    style_reference_images: Iterable[ImageSource] | None = field(
        default=None, converter=as_optional_images, metadata=field_rule(Pictures(share_limit=True))
    )
    """Images whose style to take: PNG, JPEG or WebP, 10 MiB in all."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.style_codes and self.style_reference_images:
            yield "style_codes", "cannot be given together with style_reference_images"


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class CharacterFields(StyleFields):
    """Anything with a style type, and with a character to keep."""

    style_type: StyleTypeV3 | str | None = field(default=None, metadata=field_rule(Choice(StyleTypeV3)))
    """AUTO, GENERAL (if not given), REALISTIC, DESIGN or FICTION. Not together with `style_codes`."""
    character_reference_images: Iterable[ImageSource] | None = field(
        default=None, converter=as_optional_images, metadata=field_rule(Pictures(most=1, share_limit=True))
    )
    """The character to keep: one image of 10 MiB at most. Costs more: see `client.estimate`."""
    character_reference_images_mask: Iterable[ImageSource] | None = field(
        default=None, converter=as_optional_images, metadata=field_rule(Pictures(share_limit=True))
    )
    """One grayscale mask for each character image, of its size in pixels."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.style_codes and self.style_type is not None:
            yield "style_codes", "cannot be given together with style_type"

        images = as_optional_images(self.character_reference_images) or ()
        masks = as_optional_images(self.character_reference_images_mask) or ()
        if masks and len(masks) != len(images):
            yield (
                "character_reference_images_mask",
                f"needs one mask for each of {len(images)} images, not {len(masks)}",
            )

        for n, (image, mask) in enumerate(zip(images, masks, strict=False)):
            if problem := mask_problem(image, mask, grayscale=True):
                yield "character_reference_images_mask", f"[{n}] {problem}"


@frozen(slots=False, eq=False, repr=False)
class MaskFields(RequestBase):
    """Anything that redraws a part of an image."""

    image: ImageSource = field(converter=as_image, metadata=field_rule(Picture()))
    """The image to change: PNG, JPEG or WebP, 10 MiB at most."""
    mask: ImageSource = field(converter=as_image, metadata=field_rule(Picture()))
    """Black where the image is to be redrawn; of the image's size in pixels."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if problem := mask_problem(ImageFile.of(self.image), ImageFile.of(self.mask)):
            yield "mask", problem
