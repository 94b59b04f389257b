"""Requests of the legacy operations. They keep working; new features are added to the current ones only."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from attrs import field, frozen

from ideogram_async._literals import (
    AspectRatioLiteral,
    MagicPromptOptionLiteral,
    ModelEnumLiteral,
    ResolutionLiteral,
    StyleTypeLiteral,
)
from ideogram_async._operations import Body, Endpoint, Request
from ideogram_async._scalars import as_int
from ideogram_async.enums import AspectRatio, MagicPromptOption, ModelEnum, Resolution, StyleType, Unchecked
from ideogram_async.files import ImageSource, as_image
from ideogram_async.models.images import GenerateImageResponse, ImageGenerationResponseV3
from ideogram_async.requests._fields import (
    CharacterFields,
    MagicPromptField,
    MaskFields,
    NegativePromptField,
    NumImagesField,
    RenderingSpeedField,
)
from ideogram_async.requests._file_rules import ImageRule
from ideogram_async.requests._palette import PaletteRule, PaletteSource, as_palette
from ideogram_async.requests._rules import Choice, Integer, RequestBase, Text, field_rule

__all__ = ["LegacyEdit", "LegacyEditV3", "LegacyGenerate", "LegacyReframe", "LegacyRemix"]

PROMPT = field_rule(Text(may_be_empty=False))
IMAGE = field_rule(ImageRule(), wire="image_file")
VERSION_1 = ("V_1", "V_1_TURBO")
VERSION_2 = ("V_2", "V_2_TURBO")
VERSION_2A = ("V_2A", "V_2A_TURBO")

# The models that support a field, in every legacy operation that has it.
FEATURES: dict[str, tuple[str, ...]] = {
    "resolution": VERSION_2,
    "negative_prompt": (*VERSION_1, *VERSION_2),
    "color_palette": (*VERSION_2, "AUTO"),
    "style_type": (*VERSION_2, *VERSION_2A, "AUTO"),
}


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class StyleTypeField(RequestBase):
    """The `style_type` field of legacy operations, and the rules about the model that draws the image."""

    style_type: StyleTypeLiteral | StyleType | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(StyleType))
    )
    """Style type, for version 2 and later."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        model = getattr(self, "model", None) or ModelEnum.V_2
        if isinstance(model, Unchecked) or model not in tuple(ModelEnum):
            # The features of a model newer than this library are unknown here; the service checks them.
            return

        for name, models in FEATURES.items():
            if getattr(self, name, None) is not None and model not in models:
                yield name, f"is supported by {', '.join(models)} only, not by {model}"


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class MagicPromptOptionField(RequestBase):
    """The `magic_prompt_option` field."""

    magic_prompt_option: MagicPromptOptionLiteral | MagicPromptOption | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(MagicPromptOption))
    )
    """Automatic rewriting of the prompt by the service: AUTO, ON or OFF."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ImageRequest(MagicPromptOptionField, StyleTypeField, NegativePromptField, NumImagesField):
    """The fields that `LegacyGenerate` and `LegacyRemix` share."""

    model: ModelEnumLiteral | ModelEnum | Unchecked | None = field(default=None, metadata=field_rule(Choice(ModelEnum)))
    """Model that draws the image; default V_2."""
    aspect_ratio: AspectRatioLiteral | AspectRatio | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(AspectRatio))
    )
    """Aspect ratio, such as `ASPECT_16_9`; default square. Cannot be combined with `resolution`."""
    resolution: ResolutionLiteral | Resolution | Unchecked | None = field(
        default=None, metadata=field_rule(Choice(Resolution))
    )
    """Size in pixels, such as `RESOLUTION_1280_704`; version 2 only. Cannot be combined with `aspect_ratio`."""
    color_palette: PaletteSource | None = field(default=None, converter=as_palette, metadata=field_rule(PaletteRule()))
    """A preset such as `"EMBER"`, or 1 to 8 colors; not for versions 1 and 2A."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.resolution is not None and self.aspect_ratio is not None:
            yield "aspect_ratio", "cannot be combined with resolution"


@frozen(slots=False, eq=False, repr=False)
class LegacyGenerate(ImageRequest, Request[GenerateImageResponse]):
    """Draw images from a prompt with a legacy model. `Generate` is its successor.

    Source: https://developer.ideogram.ai/api-reference/api-reference/generate

    Args:
        prompt: Description of the image to draw.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        negative_prompt: Content to leave out of the image. The prompt takes precedence.
        style_type: Style type, for version 2 and later.
        magic_prompt_option: Automatic rewriting of the prompt by the service: AUTO, ON or OFF.
        model: Model that draws the image; default V_2.
        aspect_ratio: Aspect ratio, such as `ASPECT_16_9`; default square. Cannot be combined with `resolution`.
        resolution: Size in pixels, such as `RESOLUTION_1280_704`; version 2 only. Cannot be combined with
            `aspect_ratio`.
        color_palette: A preset such as `"EMBER"`, or 1 to 8 colors; not for versions 1 and 2A.
    """

    endpoint: ClassVar[Endpoint] = Endpoint(
        "POST", "/generate", Body.JSON, GenerateImageResponse, envelope="image_request"
    )

    prompt: str = field(metadata=PROMPT)
    """Description of the image to draw."""


@frozen(slots=False, eq=False, repr=False)
class LegacyRemix(ImageRequest, Request[GenerateImageResponse]):
    """Draw images from an image and a prompt with a legacy model. `Remix` is its successor.

    Source: https://developer.ideogram.ai/api-reference/api-reference/remix

    Args:
        image: Image to start from: PNG, JPEG or WebP, at most 10 MiB.
        prompt: Description of the image to draw.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        negative_prompt: Content to leave out of the image. The prompt takes precedence.
        style_type: Style type, for version 2 and later.
        magic_prompt_option: Automatic rewriting of the prompt by the service: AUTO, ON or OFF.
        model: Model that draws the image; default V_2.
        aspect_ratio: Aspect ratio, such as `ASPECT_16_9`; default square. Cannot be combined with `resolution`.
        resolution: Size in pixels, such as `RESOLUTION_1280_704`; version 2 only. Cannot be combined with
            `aspect_ratio`.
        color_palette: A preset such as `"EMBER"`, or 1 to 8 colors; not for versions 1 and 2A.
        image_weight: Influence of the image, from 1 to 100; default 50.
    """

    endpoint: ClassVar[Endpoint] = Endpoint(
        "POST", "/remix", Body.FORM, GenerateImageResponse, envelope="image_request"
    )

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """Image to start from: PNG, JPEG or WebP, at most 10 MiB."""
    prompt: str = field(metadata=PROMPT)
    """Description of the image to draw."""
    image_weight: int | None = field(default=None, converter=as_int, kw_only=True, metadata=field_rule(Integer(1, 100)))
    """Influence of the image, from 1 to 100; default 50."""


@frozen(slots=False, eq=False, repr=False)
class LegacyReframe(StyleTypeField, NumImagesField, Request[GenerateImageResponse]):
    """Extend an image to another size with a legacy model. `Reframe` is its successor.

    Source: https://developer.ideogram.ai/api-reference/api-reference/reframe

    Args:
        image: Image to extend: PNG, JPEG or WebP, at most 10 MiB.
        resolution: Size in pixels, such as `RESOLUTION_1280_704`.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        style_type: Style type, for version 2 and later.
        model: Model that draws the image: V_2 or V_2_TURBO. Others do not support these sizes.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/reframe", Body.FORM, GenerateImageResponse)

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """Image to extend: PNG, JPEG or WebP, at most 10 MiB."""
    resolution: ResolutionLiteral | Resolution | Unchecked = field(metadata=field_rule(Choice(Resolution)))
    """Size in pixels, such as `RESOLUTION_1280_704`."""
    model: ModelEnumLiteral | ModelEnum | Unchecked = field(kw_only=True, metadata=field_rule(Choice(ModelEnum)))
    """Model that draws the image: V_2 or V_2_TURBO. Others do not support these sizes."""


@frozen(slots=False, eq=False, repr=False)
class LegacyEdit(MagicPromptOptionField, StyleTypeField, NumImagesField, MaskFields, Request[GenerateImageResponse]):
    """Redraw the masked part of an image with a legacy model. `Inpaint` is its successor.

    Source: https://developer.ideogram.ai/api-reference/api-reference/edit

    Args:
        image: Image to change: PNG, JPEG or WebP, at most 10 MiB.
        mask: Mask of the same size in pixels as the image. Black marks the area to redraw.
        prompt: Description of the result.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        style_type: Style type, for version 2 and later.
        magic_prompt_option: Automatic rewriting of the prompt by the service: AUTO, ON or OFF.
        model: Model that draws the image: V_2 or V_2_TURBO.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/edit", Body.FORM, GenerateImageResponse)

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """Image to change: PNG, JPEG or WebP, at most 10 MiB."""
    mask: ImageSource = field(converter=as_image, metadata=field_rule(ImageRule()))
    """Mask of the same size in pixels as the image. Black marks the area to redraw."""
    prompt: str = field(metadata=PROMPT)
    """Description of the result."""
    model: Literal["V_2", "V_2_TURBO"] | ModelEnum | Unchecked = field(
        kw_only=True, metadata=field_rule(Choice(ModelEnum, excluded=(*VERSION_1, *VERSION_2A, "AUTO")))
    )
    """Model that draws the image: V_2 or V_2_TURBO."""


@frozen(slots=False, eq=False, repr=False)
class LegacyEditV3(
    CharacterFields,
    MagicPromptField,
    RenderingSpeedField,
    NumImagesField,
    MaskFields,
    Request[ImageGenerationResponseV3],
):
    """Redraw the masked part of an image: the former name of `Inpaint`, deprecated by the service.

    Source: https://developer.ideogram.ai/api-reference/api-reference/edit-v3

    Args:
        image: Image to change: PNG, JPEG or WebP, at most 10 MiB.
        mask: Mask of the same size in pixels as the image. Black marks the area to redraw.
        prompt: Description of the result.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        rendering_speed: Trade-off between quality, speed and cost: FLASH, TURBO, DEFAULT or QUALITY.
        magic_prompt: Automatic rewriting of the prompt by the service: AUTO, ON or OFF.
        style_preset: A named style, such as WATERCOLOR.
        color_palette: A preset such as `"EMBER"`, or 1 to 8 colors: hex strings, pairs of hex and weight, or
            `ColorPaletteMember`s.
        style_codes: Style codes, 8 hexadecimal digits each. Cannot be combined with `style_reference_images` or
            `style_type`.
        style_reference_images: Images that define the style: PNG, JPEG or WebP, at most 10 MiB in total.
        style_type: Style type: AUTO, GENERAL (default), REALISTIC, DESIGN or FICTION. Cannot be combined with
            `style_codes`.
        character_reference_images: Character to draw: one image of at most 10 MiB. Costs more: see `client.estimate`.
        character_reference_images_mask: One grayscale mask for each character image, of the same size in pixels.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/v1/ideogram-v3/edit", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """Description of the result."""
