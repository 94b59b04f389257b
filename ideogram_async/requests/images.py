"""The operations of the 3.0 model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from attrs import field, frozen

from ideogram_async._operations import Body, Endpoint
from ideogram_async.enums import (
    AspectRatioV3,
    DescribeModelVersion,
    MagicPromptOption,
    RenderingSpeed,
    ResolutionV3,
    UpscaleFactor,
)
from ideogram_async.files import ImageSource, as_image, as_optional_images
from ideogram_async.models.images import (
    DescribeResponse,
    GenerateImageResponse,
    ImageGenerationResponseV3,
    LayerizeTextResponse,
    RemoveBackgroundResponse,
    V1EditImagesResponse,
)
from ideogram_async.requests._fields import (
    CharacterFields,
    MagicPromptField,
    MaskFields,
    NegativePromptField,
    NumImagesField,
    RenderingSpeedField,
    SeedField,
    SizeFields,
    StyleFields,
)
from ideogram_async.requests._file_rules import Picture, Pictures
from ideogram_async.requests._rules import Choice, Flag, Integer, Limits, RequestBase, Text, Texts, as_texts, field_rule

__all__ = [
    "Describe",
    "Edit",
    "Generate",
    "GenerateTransparent",
    "Inpaint",
    "LayerizeText",
    "Reframe",
    "Remix",
    "RemoveBackground",
    "ReplaceBackground",
    "Upscale",
]

PROMPT = field_rule(Text(may_be_empty=False))

IMAGE_RULE = field_rule(Picture())

MODEL_URI = field_rule(Text(r"(?=.{1,512}\Z)model/[^/]+/version/[^/]+", "must be like model/<name>/version/<version>"))


@frozen(slots=False, eq=False, repr=False)
class Generate(CharacterFields, SizeFields, NegativePromptField, MagicPromptField, RenderingSpeedField, NumImagesField):
    """Draw images from a prompt.

    Source: https://developer.ideogram.ai/api-reference/api-reference/generate-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/generate", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """What to draw."""
    custom_model_uri: str | None = field(default=None, kw_only=True, metadata=MODEL_URI)
    """A model of your own, as `CustomModel.custom_model_uri` names it. It decides the style. Costs more."""


@frozen(slots=False, eq=False, repr=False)
class GenerateTransparent(NegativePromptField, MagicPromptField, RenderingSpeedField, NumImagesField):
    """Draw images on a transparent background, as large as the shape allows.

    Source: https://developer.ideogram.ai/api-reference/api-reference/generate-transparent-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/generate-transparent", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """What to draw."""
    rendering_speed: RenderingSpeed | str | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(RenderingSpeed, refused=("FLASH",)))
    )
    """Care against time and money: TURBO, DEFAULT (if not given) or QUALITY. FLASH draws no transparency."""
    aspect_ratio: AspectRatioV3 | str | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(AspectRatioV3))
    )
    """The shape, such as `16x9`; `1x1` if not given."""
    upscale_factor: UpscaleFactor | str | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(UpscaleFactor))
    )
    """How much larger to make the image: X1 (if not given), X2 or X4. The larger, the dearer."""


@frozen(slots=False, eq=False, repr=False)
class Inpaint(CharacterFields, MagicPromptField, RenderingSpeedField, NumImagesField, MaskFields):
    """Redraw the masked part of an image.

    Source: https://developer.ideogram.ai/api-reference/api-reference/inpaint-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/inpaint", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """What the result shows."""


@frozen(slots=False, eq=False, repr=False)
class Remix(CharacterFields, SizeFields, NegativePromptField, MagicPromptField, RenderingSpeedField, NumImagesField):
    """Draw images from an image and a prompt. The image is first cropped to the shape.

    Source: https://developer.ideogram.ai/api-reference/api-reference/remix-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/remix", Body.FORM, ImageGenerationResponseV3)

    image: ImageSource = field(converter=as_image, metadata=IMAGE_RULE)
    """The image to begin with: PNG, JPEG or WebP, 10 MiB at most."""
    prompt: str = field(metadata=PROMPT)
    """What to draw."""
    image_weight: int | None = field(default=None, kw_only=True, metadata=field_rule(Integer(1, 100)))
    """How much of the image to keep, from 1 to 100; 50 if not given."""


@frozen(slots=False, eq=False, repr=False)
class Reframe(StyleFields, RenderingSpeedField, NumImagesField):
    """Extend an image to another shape. Meant for square images.

    Source: https://developer.ideogram.ai/api-reference/api-reference/reframe-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/reframe", Body.FORM, ImageGenerationResponseV3)

    image: ImageSource = field(converter=as_image, metadata=IMAGE_RULE)
    """The image to extend: PNG, JPEG or WebP, 10 MiB at most."""
    resolution: ResolutionV3 | str = field(metadata=field_rule(Choice(ResolutionV3)))
    """Width by height in pixels, such as `1280x704`."""


@frozen(slots=False, eq=False, repr=False)
class ReplaceBackground(StyleFields, MagicPromptField, RenderingSpeedField, NumImagesField):
    """Keep what stands in front and redraw what lies behind.

    Source: https://developer.ideogram.ai/api-reference/api-reference/replace-background-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/replace-background", Body.FORM, ImageGenerationResponseV3)

    image: ImageSource = field(converter=as_image, metadata=IMAGE_RULE)
    """The image whose foreground stays: PNG, JPEG or WebP, 10 MiB at most."""
    prompt: str = field(metadata=PROMPT)
    """What the new background shows."""


@frozen(slots=False, eq=False, repr=False)
class LayerizeText(SeedField):
    """Find the text in an image, and take it out.

    The blocks of text are in the answer's `extra["text_blocks"]`.

    Source: https://developer.ideogram.ai/api-reference/api-reference/layerize-text-v3
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/layerize-text", Body.FORM, LayerizeTextResponse)

    image: ImageSource = field(converter=as_image, metadata=IMAGE_RULE)
    """The image to search: PNG, JPEG or WebP, 10 MiB at most."""
    prompt: str | None = field(default=None, kw_only=True, metadata=field_rule(Text()))
    """What the image shows; the service describes it itself if not given."""


IMAGE_FILE_RULE = field_rule(Picture(), wire="image_file")


@frozen(eq=False, repr=False)
class ServiceLink(Text):
    """A link to an image that the service keeps."""

    def violations(self, value: str, limits: Limits) -> Iterator[str]:
        if not _is_of_service(value) and not (limits.loopback and _host(value) in ("localhost", "127.0.0.1", "::1")):
            yield "must be the link of an Ideogram image"


def _is_of_service(link: str) -> bool:
    host = _host(link)
    return link.lower().startswith("https:") and (host == "ideogram.ai" or host.endswith(".ideogram.ai"))


def _host(link: str) -> str:
    try:
        return urlsplit(link).hostname or ""
    except ValueError:
        return ""


@frozen(slots=False, eq=False, repr=False)
class Edit(SizeFields, MagicPromptField, NumImagesField):
    """Change images as a prompt says. Give either `images` or `image_urls`.

    Source: https://developer.ideogram.ai/api-reference/api-reference/edit-with-prompt
    """

    endpoint = Endpoint("POST", "/v1/edit", Body.FORM, V1EditImagesResponse)

    prompt: str = field(metadata=field_rule(Text(may_be_empty=False)))
    """What to change."""
    images: Iterable[ImageSource] | None = field(
        default=None, kw_only=True, converter=as_optional_images, metadata=field_rule(Pictures(most=10))
    )
    """The images to change, 10 at most: PNG, JPEG or WebP, 10 MiB each."""
    image_urls: Iterable[str] | None = field(
        default=None, kw_only=True, converter=as_texts, metadata=field_rule(Texts(ServiceLink(), most=10))
    )
    """Links of earlier images of the service, 10 at most, in place of `images`."""
    transparent_background: bool | None = field(default=None, kw_only=True, metadata=field_rule(Flag()))
    """Whether the result has a transparent background; not if not given."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.images and self.image_urls:
            yield "image_urls", "cannot be given together with images"

        if not self.images and not self.image_urls:
            yield "images", "needs an image, here or in image_urls"


@frozen(slots=False, eq=False, repr=False)
class RemoveBackground(RequestBase):
    """Cut out what stands in front of an image.

    Source: https://developer.ideogram.ai/api-reference/api-reference/remove-background
    """

    endpoint = Endpoint("POST", "/v1/remove-background", Body.FORM, RemoveBackgroundResponse)

    image: ImageSource = field(converter=as_image, metadata=field_rule(Picture()))
    """The image: PNG, JPEG or WebP, 10 MiB at most."""


@frozen(slots=False, eq=False, repr=False)
class Upscale(NumImagesField):
    """Make an image larger, and finer. Charged by the call, however many images it makes.

    Source: https://developer.ideogram.ai/api-reference/api-reference/upscale
    """

    endpoint = Endpoint("POST", "/upscale", Body.FORM, GenerateImageResponse, envelope="image_request")

    image: ImageSource = field(converter=as_image, metadata=IMAGE_FILE_RULE)
    """The image: PNG, JPEG or WebP, 10 MiB at most."""
    prompt: str | None = field(default=None, kw_only=True, metadata=field_rule(Text()))
    """What the image shows, to guide the details."""
    resemblance: int | None = field(default=None, kw_only=True, metadata=field_rule(Integer(1, 100)))
    """How close to stay to the image, from 1 to 100; 50 if not given."""
    detail: int | None = field(default=None, kw_only=True, metadata=field_rule(Integer(1, 100)))
    """How much detail to add, from 1 to 100; 50 if not given."""
    magic_prompt_option: MagicPromptOption | str | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(MagicPromptOption))
    )
    """Whether the service may rewrite the prompt: AUTO, ON or OFF."""


@frozen(slots=False, eq=False, repr=False)
class Describe(RequestBase):
    """Put an image into words.

    Source: https://developer.ideogram.ai/api-reference/api-reference/describe
    """

    endpoint = Endpoint("POST", "/describe", Body.FORM, DescribeResponse)

    image: ImageSource = field(converter=as_image, metadata=IMAGE_FILE_RULE)
    """The image: PNG, JPEG or WebP, 10 MiB at most."""
    describe_model_version: DescribeModelVersion | str | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(DescribeModelVersion))
    )
    """The model that describes: V_3 if not given."""
