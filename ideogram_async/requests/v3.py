"""The operations of the 3.0 model."""

from __future__ import annotations

from attrs import field, frozen

from ideogram_async.endpoint import Body, Endpoint
from ideogram_async.enums import AspectRatioV3, RenderingSpeed, ResolutionV3, UpscaleFactor
from ideogram_async.files import ImageSource, as_image
from ideogram_async.models.images import ImageGenerationResponseV3, LayerizeTextResponse
from ideogram_async.requests.mixins import (
    Cast,
    Counted,
    Masked,
    Negated,
    Paced,
    Prompted,
    Seeded,
    Sized,
    Styled,
)
from ideogram_async.requests.pictures import Picture
from ideogram_async.requests.rules import Choice, Integer, Text, rule

__all__ = ["Generate", "GenerateTransparent", "Inpaint", "LayerizeText", "Reframe", "Remix", "ReplaceBackground"]

PROMPT = rule(Text(may_be_empty=False))
PICTURE = rule(Picture())
MODEL_URI = rule(Text(r"(?=.{1,512}\Z)model/[^/]+/version/[^/]+", "must be like model/<name>/version/<version>"))


@frozen(slots=False, eq=False, repr=False)
class Generate(Cast, Sized, Negated, Prompted, Paced, Counted):
    """Draw images from a prompt.

    Source: https://developer.ideogram.ai/api-reference/api-reference/generate-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/generate", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """What to draw."""
    custom_model_uri: str | None = field(default=None, kw_only=True, metadata=MODEL_URI)
    """A model of your own, as `CustomModel.custom_model_uri` names it. It decides the style. Costs more."""


@frozen(slots=False, eq=False, repr=False)
class GenerateTransparent(Negated, Prompted, Paced, Counted):
    """Draw images on a transparent background, as large as the shape allows.

    Source: https://developer.ideogram.ai/api-reference/api-reference/generate-transparent-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/generate-transparent", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """What to draw."""
    rendering_speed: RenderingSpeed | str | None = field(
        default=None, kw_only=True, metadata=rule(Choice(RenderingSpeed, refused=("FLASH",)))
    )
    """Care against time and money: TURBO, DEFAULT (if not given) or QUALITY. FLASH draws no transparency."""
    aspect_ratio: AspectRatioV3 | str | None = field(default=None, kw_only=True, metadata=rule(Choice(AspectRatioV3)))
    """The shape, such as `16x9`; `1x1` if not given."""
    upscale_factor: UpscaleFactor | str | None = field(default=None, kw_only=True, metadata=rule(Choice(UpscaleFactor)))
    """How much larger to make the image: X1 (if not given), X2 or X4. The larger, the dearer."""


@frozen(slots=False, eq=False, repr=False)
class Inpaint(Cast, Prompted, Paced, Counted, Masked):
    """Redraw the masked part of an image.

    Source: https://developer.ideogram.ai/api-reference/api-reference/inpaint-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/inpaint", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """What the result shows."""


@frozen(slots=False, eq=False, repr=False)
class Remix(Cast, Sized, Negated, Prompted, Paced, Counted):
    """Draw images from an image and a prompt. The image is first cropped to the shape.

    Source: https://developer.ideogram.ai/api-reference/api-reference/remix-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/remix", Body.FORM, ImageGenerationResponseV3)

    image: ImageSource = field(converter=as_image, metadata=PICTURE)
    """The image to begin with: PNG, JPEG or WebP, 10 MiB at most."""
    prompt: str = field(metadata=PROMPT)
    """What to draw."""
    image_weight: int | None = field(default=None, kw_only=True, metadata=rule(Integer(1, 100)))
    """How much of the image to keep, from 1 to 100; 50 if not given."""


@frozen(slots=False, eq=False, repr=False)
class Reframe(Styled, Paced, Counted):
    """Extend an image to another shape. Meant for square images.

    Source: https://developer.ideogram.ai/api-reference/api-reference/reframe-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/reframe", Body.FORM, ImageGenerationResponseV3)

    image: ImageSource = field(converter=as_image, metadata=PICTURE)
    """The image to extend: PNG, JPEG or WebP, 10 MiB at most."""
    resolution: ResolutionV3 | str = field(metadata=rule(Choice(ResolutionV3)))
    """Width by height in pixels, such as `1280x704`."""


@frozen(slots=False, eq=False, repr=False)
class ReplaceBackground(Styled, Prompted, Paced, Counted):
    """Keep what stands in front and redraw what lies behind.

    Source: https://developer.ideogram.ai/api-reference/api-reference/replace-background-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/replace-background", Body.FORM, ImageGenerationResponseV3)

    image: ImageSource = field(converter=as_image, metadata=PICTURE)
    """The image whose foreground stays: PNG, JPEG or WebP, 10 MiB at most."""
    prompt: str = field(metadata=PROMPT)
    """What the new background shows."""


@frozen(slots=False, eq=False, repr=False)
class LayerizeText(Seeded):
    """Find the text in an image, and take it out.

    The blocks of text are in the answer's `extra["text_blocks"]`.

    Source: https://developer.ideogram.ai/api-reference/api-reference/layerize-text-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/layerize-text", Body.FORM, LayerizeTextResponse)

    image: ImageSource = field(converter=as_image, metadata=PICTURE)
    """The image to search: PNG, JPEG or WebP, 10 MiB at most."""
    prompt: str | None = field(default=None, kw_only=True, metadata=rule(Text()))
    """What the image shows; the service describes it itself if not given."""
