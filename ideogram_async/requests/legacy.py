"""Older operations. They keep working; new features come to the others only."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import field, frozen

from ideogram_async._operations import Body, Endpoint
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
from ideogram_async.requests._file_rules import Picture
from ideogram_async.requests._palette import PaletteRule, PaletteSource, as_palette
from ideogram_async.requests._rules import Choice, Integer, RequestBase, Text, field_rule

__all__ = ["LegacyEdit", "LegacyEditV3", "LegacyGenerate", "LegacyReframe", "LegacyRemix"]

PROMPT = field_rule(Text(may_be_empty=False))

IMAGE = field_rule(Picture(), wire="image_file")

VERSION_1 = ("V_1", "V_1_TURBO")

VERSION_2 = ("V_2", "V_2_TURBO")

VERSION_2A = ("V_2A", "V_2A_TURBO")


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class StyleTypeField(RequestBase):
    """Any older operation with a style."""

    style_type: StyleType | str | None = field(default=None, metadata=field_rule(Choice(StyleType)))
    """The style, from version 2 on."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        model = getattr(self, "model", None)
        if self.style_type is not None and model in VERSION_1:
            yield "style_type", f"is not known to the model {model}"


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class MagicPromptOptionField(RequestBase):
    """Any older operation whose prompt may be rewritten."""

    magic_prompt_option: MagicPromptOption | str | None = field(
        default=None, metadata=field_rule(Choice(MagicPromptOption))
    )
    """Whether the service may rewrite the prompt: AUTO, ON or OFF."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ImageRequest(MagicPromptOptionField, StyleTypeField, NegativePromptField, NumImagesField):
    """What the older generate and remix share."""

    model: ModelEnum | str | None = field(default=None, metadata=field_rule(Choice(ModelEnum)))
    """The model that draws; V_2 if not given."""
    aspect_ratio: AspectRatio | str | None = field(default=None, metadata=field_rule(Choice(AspectRatio)))
    """The shape, such as `ASPECT_16_9`; square if neither is given. Not together with `resolution`."""
    resolution: Resolution | str | None = field(default=None, metadata=field_rule(Choice(Resolution)))
    """The size in pixels, such as `RESOLUTION_1280_704`, for version 2 only. Not together with `aspect_ratio`."""
    color_palette: PaletteSource | None = field(default=None, converter=as_palette, metadata=field_rule(PaletteRule()))
    """A preset such as `"EMBER"`, or 1 to 8 colours; not for versions 1 and 2A."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        model = self.model or ModelEnum.V_2
        if self.resolution is not None and self.aspect_ratio is not None:
            yield "aspect_ratio", "cannot be given together with resolution"

        if isinstance(model, Unchecked):
            # What a model newer than this library can do, the service knows.
            return

        if self.resolution is not None and model not in VERSION_2:
            yield "resolution", f"is for {' and '.join(VERSION_2)} only, not for {model}"

        if self.negative_prompt is not None and model not in VERSION_1 + VERSION_2:
            yield "negative_prompt", f"is for {', '.join(VERSION_1 + VERSION_2)} only, not for {model}"

        if self.color_palette is not None and model in VERSION_1 + VERSION_2A:
            yield "color_palette", f"is not known to the model {model}"


@frozen(slots=False, eq=False, repr=False)
class LegacyGenerate(ImageRequest):
    """Draw images from a prompt with an older model. `Generate` is its successor.

    Source: https://developer.ideogram.ai/api-reference/api-reference/generate
    """

    endpoint = Endpoint("POST", "/generate", Body.JSON, GenerateImageResponse, envelope="image_request")

    prompt: str = field(metadata=PROMPT)
    """What to draw."""


@frozen(slots=False, eq=False, repr=False)
class LegacyRemix(ImageRequest):
    """Draw images from an image and a prompt with an older model. `Remix` is its successor.

    Source: https://developer.ideogram.ai/api-reference/api-reference/remix
    """

    endpoint = Endpoint("POST", "/remix", Body.FORM, GenerateImageResponse, envelope="image_request")

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """The image to begin with: PNG, JPEG or WebP, 10 MiB at most."""
    prompt: str = field(metadata=PROMPT)
    """What to draw."""
    image_weight: int | None = field(default=None, kw_only=True, metadata=field_rule(Integer(1, 100)))
    """How much of the image to keep, from 1 to 100; 50 if not given."""


@frozen(slots=False, eq=False, repr=False)
class LegacyReframe(StyleTypeField, NumImagesField):
    """Extend an image to another shape with an older model. `Reframe` is its successor.

    Source: https://developer.ideogram.ai/api-reference/api-reference/reframe
    """

    endpoint = Endpoint("POST", "/reframe", Body.FORM, GenerateImageResponse)

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """The image to extend: PNG, JPEG or WebP, 10 MiB at most."""
    resolution: Resolution | str = field(metadata=field_rule(Choice(Resolution)))
    """The size in pixels, such as `RESOLUTION_1280_704`."""
    model: ModelEnum | str = field(kw_only=True, metadata=field_rule(Choice(ModelEnum)))
    """The model that draws: V_2 or V_2_TURBO, the only ones that know these sizes."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.model in (*VERSION_1, *VERSION_2A):
            yield "resolution", f"is for {' and '.join(VERSION_2)} only, not for {self.model}"


@frozen(slots=False, eq=False, repr=False)
class LegacyEdit(MagicPromptOptionField, StyleTypeField, NumImagesField, MaskFields):
    """Redraw the masked part of an image with an older model. `Inpaint` is its successor.

    Source: https://developer.ideogram.ai/api-reference/api-reference/edit
    """

    endpoint = Endpoint("POST", "/edit", Body.FORM, GenerateImageResponse)

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """The image to change: PNG, JPEG or WebP, 10 MiB at most."""
    mask: ImageSource = field(converter=as_image, metadata=field_rule(Picture()))
    """Black where the image is to be redrawn; of the image's size in pixels."""
    prompt: str = field(metadata=PROMPT)
    """What the result shows."""
    model: ModelEnum | str = field(
        kw_only=True,
        metadata=field_rule(Choice(ModelEnum, refused=("V_1", "V_1_TURBO", "V_2A", "V_2A_TURBO", "AUTO"))),
    )
    """The model that draws: V_2 or V_2_TURBO."""


@frozen(slots=False, eq=False, repr=False)
class LegacyEditV3(CharacterFields, MagicPromptField, RenderingSpeedField, NumImagesField, MaskFields):
    """Redraw the masked part of an image: the former name of `Inpaint`, deprecated by the service.

    Source: https://developer.ideogram.ai/api-reference/api-reference/edit-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/edit", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """What the result shows."""
