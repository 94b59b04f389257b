"""Requests of the current operations, most of them of the 3.0 model."""

from collections.abc import Iterable, Iterator
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from attrs import field, frozen

from ideogram_async._literals import (
    AspectRatioV3Literal,
    DescribeModelVersionLiteral,
    MagicPromptOptionLiteral,
    ResolutionV3Literal,
    UpscaleFactorLiteral,
)
from ideogram_async._operations import Body, Endpoint, Request
from ideogram_async._scalars import as_bool, as_int
from ideogram_async.enums import (
    AspectRatioV3,
    DescribeModelVersion,
    MagicPromptOption,
    RenderingSpeed,
    ResolutionV3,
    Unchecked,
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
from ideogram_async.requests._file_rules import ImageRule, ImagesRule
from ideogram_async.requests._rules import Choice, Flag, Integer, Limits, RequestBase, Text, Texts, as_texts, field_rule

PROMPT = field_rule(Text(may_be_empty=False))
IMAGE = field_rule(ImageRule())
IMAGE_FILE = field_rule(ImageRule(), wire="image_file")
PERCENT = field_rule(Integer(1, 100))

MODEL_URI = field_rule(
    Text(r"(?=.{1,512}\Z)model/[^/]+/version/[^/]+", "must have the form model/<name>/version/<version>")
)


@frozen(eq=False, repr=False)
class ServiceLink(Text):
    """A link to an image on Ideogram's hosts."""

    def violations(self, value: str, limits: Limits) -> Iterator[str]:
        host = _host(value)
        is_service = value.lower().startswith("https:") and (host == "ideogram.ai" or host.endswith(".ideogram.ai"))
        if not is_service and not (limits.loopback and host in ("localhost", "127.0.0.1", "::1")):
            yield "must be a link to an Ideogram image"


def _host(link: str) -> str:
    try:
        return urlsplit(link).hostname or ""
    except ValueError:
        return ""


@frozen(slots=False, eq=False, repr=False)
class Generate(
    CharacterFields,
    SizeFields,
    NegativePromptField,
    MagicPromptField,
    RenderingSpeedField,
    NumImagesField,
    Request[ImageGenerationResponseV3],
):
    """Draw images from a prompt.

    Source: https://developer.ideogram.ai/api-reference/api-reference/generate-v3

    Args:
        prompt: Description of the image to draw.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        rendering_speed: Trade-off between quality, speed and cost: FLASH, TURBO, DEFAULT or QUALITY.
        magic_prompt: Automatic rewriting of the prompt by the service: AUTO, ON or OFF.
        negative_prompt: Content to leave out of the image. The prompt takes precedence.
        resolution: Width by height in pixels, such as `1280x704`. Cannot be combined with `aspect_ratio`.
        aspect_ratio: Aspect ratio, such as `16x9`; default `1x1`. Cannot be combined with `resolution`.
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
        custom_model_uri: Custom model, as `CustomModel.custom_model_uri` names it. It determines the style. Costs more.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/v1/ideogram-v3/generate", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """Description of the image to draw."""
    custom_model_uri: str | None = field(default=None, kw_only=True, metadata=MODEL_URI)
    """Custom model, as `CustomModel.custom_model_uri` names it. It determines the style. Costs more."""


@frozen(slots=False, eq=False, repr=False)
class GenerateTransparent(
    NegativePromptField, MagicPromptField, RenderingSpeedField, NumImagesField, Request[ImageGenerationResponseV3]
):
    """Draw images on a transparent background, at the largest size for the aspect ratio.

    Source: https://developer.ideogram.ai/api-reference/api-reference/generate-transparent-v3

    Args:
        prompt: Description of the image to draw.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        magic_prompt: Automatic rewriting of the prompt by the service: AUTO, ON or OFF.
        negative_prompt: Content to leave out of the image. The prompt takes precedence.
        rendering_speed: Trade-off between quality, speed and cost: TURBO, DEFAULT or QUALITY. FLASH does not support
            transparency.
        aspect_ratio: Aspect ratio, such as `16x9`; default `1x1`.
        upscale_factor: Enlargement of the image: X1 (default), X2 or X4. Larger images cost more.
    """

    endpoint: ClassVar[Endpoint] = Endpoint(
        "POST", "/v1/ideogram-v3/generate-transparent", Body.FORM, ImageGenerationResponseV3
    )

    prompt: str = field(metadata=PROMPT)
    """Description of the image to draw."""
    rendering_speed: Literal["TURBO", "DEFAULT", "QUALITY"] | RenderingSpeed | Unchecked | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(RenderingSpeed, excluded=("FLASH",)))
    )
    """Trade-off between quality, speed and cost: TURBO, DEFAULT or QUALITY. FLASH does not support transparency."""
    aspect_ratio: AspectRatioV3Literal | AspectRatioV3 | Unchecked | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(AspectRatioV3))
    )
    """Aspect ratio, such as `16x9`; default `1x1`."""
    upscale_factor: UpscaleFactorLiteral | UpscaleFactor | Unchecked | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(UpscaleFactor))
    )
    """Enlargement of the image: X1 (default), X2 or X4. Larger images cost more."""


@frozen(slots=False, eq=False, repr=False)
class Inpaint(
    CharacterFields,
    MagicPromptField,
    RenderingSpeedField,
    NumImagesField,
    MaskFields,
    Request[ImageGenerationResponseV3],
):
    """Redraw the masked part of an image.

    Source: https://developer.ideogram.ai/api-reference/api-reference/inpaint-v3

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

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/v1/ideogram-v3/inpaint", Body.FORM, ImageGenerationResponseV3)

    prompt: str = field(metadata=PROMPT)
    """Description of the result."""


@frozen(slots=False, eq=False, repr=False)
class Remix(
    CharacterFields,
    SizeFields,
    NegativePromptField,
    MagicPromptField,
    RenderingSpeedField,
    NumImagesField,
    Request[ImageGenerationResponseV3],
):
    """Draw images from an image and a prompt. The image is first cropped to the aspect ratio.

    Source: https://developer.ideogram.ai/api-reference/api-reference/remix-v3

    Args:
        image: Image to start from: PNG, JPEG or WebP, at most 10 MiB.
        prompt: Description of the image to draw.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        rendering_speed: Trade-off between quality, speed and cost: FLASH, TURBO, DEFAULT or QUALITY.
        magic_prompt: Automatic rewriting of the prompt by the service: AUTO, ON or OFF.
        negative_prompt: Content to leave out of the image. The prompt takes precedence.
        resolution: Width by height in pixels, such as `1280x704`. Cannot be combined with `aspect_ratio`.
        aspect_ratio: Aspect ratio, such as `16x9`; default `1x1`. Cannot be combined with `resolution`.
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
        image_weight: Influence of the image, from 1 to 100; default 50.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/v1/ideogram-v3/remix", Body.FORM, ImageGenerationResponseV3)

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """Image to start from: PNG, JPEG or WebP, at most 10 MiB."""
    prompt: str = field(metadata=PROMPT)
    """Description of the image to draw."""
    image_weight: int | None = field(default=None, converter=as_int, kw_only=True, metadata=PERCENT)
    """Influence of the image, from 1 to 100; default 50."""


@frozen(slots=False, eq=False, repr=False)
class Reframe(StyleFields, RenderingSpeedField, NumImagesField, Request[ImageGenerationResponseV3]):
    """Extend an image to another size. Works best with square images.

    Source: https://developer.ideogram.ai/api-reference/api-reference/reframe-v3

    Args:
        image: Image to extend: PNG, JPEG or WebP, at most 10 MiB.
        resolution: Width by height in pixels, such as `1280x704`.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        rendering_speed: Trade-off between quality, speed and cost: FLASH, TURBO, DEFAULT or QUALITY.
        style_preset: A named style, such as WATERCOLOR.
        color_palette: A preset such as `"EMBER"`, or 1 to 8 colors: hex strings, pairs of hex and weight, or
            `ColorPaletteMember`s.
        style_codes: Style codes, 8 hexadecimal digits each. Cannot be combined with `style_reference_images` or
            `style_type`.
        style_reference_images: Images that define the style: PNG, JPEG or WebP, at most 10 MiB in total.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/v1/ideogram-v3/reframe", Body.FORM, ImageGenerationResponseV3)

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """Image to extend: PNG, JPEG or WebP, at most 10 MiB."""
    resolution: ResolutionV3Literal | ResolutionV3 | Unchecked = field(metadata=field_rule(Choice(ResolutionV3)))
    """Width by height in pixels, such as `1280x704`."""


@frozen(slots=False, eq=False, repr=False)
class ReplaceBackground(
    StyleFields, MagicPromptField, RenderingSpeedField, NumImagesField, Request[ImageGenerationResponseV3]
):
    """Keep the foreground of an image and redraw its background.

    Source: https://developer.ideogram.ai/api-reference/api-reference/replace-background-v3

    Args:
        image: Image whose foreground is kept: PNG, JPEG or WebP, at most 10 MiB.
        prompt: Description of the new background.
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
    """

    endpoint: ClassVar[Endpoint] = Endpoint(
        "POST", "/v1/ideogram-v3/replace-background", Body.FORM, ImageGenerationResponseV3
    )

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """Image whose foreground is kept: PNG, JPEG or WebP, at most 10 MiB."""
    prompt: str = field(metadata=PROMPT)
    """Description of the new background."""


@frozen(slots=False, eq=False, repr=False)
class LayerizeText(SeedField, Request[LayerizeTextResponse]):
    """Detect the text in an image and remove it.

    The text blocks are in the answer's `extra["text_blocks"]`.

    Source: https://developer.ideogram.ai/api-reference/api-reference/layerize-text-v3

    Args:
        image: Image with text: PNG, JPEG or WebP, at most 10 MiB.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        prompt: Description of the image. By default the service generates one.
    """

    # The image without text, and the original.
    endpoint: ClassVar[Endpoint] = Endpoint(
        "POST", "/v1/ideogram-v3/layerize-text", Body.FORM, LayerizeTextResponse, fixed_images=2
    )

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """Image with text: PNG, JPEG or WebP, at most 10 MiB."""
    prompt: str | None = field(default=None, kw_only=True, metadata=field_rule(Text()))
    """Description of the image. By default the service generates one."""


@frozen(slots=False, eq=False, repr=False)
class Edit(SizeFields, MagicPromptField, NumImagesField, Request[V1EditImagesResponse]):
    """Edit images by a prompt. Requires either `images` or `image_urls`.

    Source: https://developer.ideogram.ai/api-reference/api-reference/edit-with-prompt

    Args:
        prompt: Description of the change.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        magic_prompt: Automatic rewriting of the prompt by the service: AUTO, ON or OFF.
        resolution: Width by height in pixels, such as `1280x704`. Cannot be combined with `aspect_ratio`.
        aspect_ratio: Aspect ratio, such as `16x9`; default `1x1`. Cannot be combined with `resolution`.
        images: Images to edit, at most 10: PNG, JPEG or WebP, at most 10 MiB each.
        image_urls: Links to images on the service, at most 10, instead of `images`.
        transparent_background: Whether the result has a transparent background; default `False`.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/v1/edit", Body.FORM, V1EditImagesResponse)

    prompt: str = field(metadata=PROMPT)
    """Description of the change."""
    images: Iterable[ImageSource] | None = field(
        default=None, kw_only=True, converter=as_optional_images, metadata=field_rule(ImagesRule(maximum=10))
    )
    """Images to edit, at most 10: PNG, JPEG or WebP, at most 10 MiB each."""
    image_urls: Iterable[str] | None = field(
        default=None, kw_only=True, converter=as_texts, metadata=field_rule(Texts(ServiceLink(), maximum=10))
    )
    """Links to images on the service, at most 10, instead of `images`."""
    transparent_background: bool | None = field(
        default=None, converter=as_bool, kw_only=True, metadata=field_rule(Flag())
    )
    """Whether the result has a transparent background; default `False`."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.images and self.image_urls:
            yield "image_urls", "cannot be combined with images"

        if not self.images and not self.image_urls:
            yield "images", "must not be empty unless image_urls is set"


@frozen(slots=False, eq=False, repr=False)
class RemoveBackground(RequestBase, Request[RemoveBackgroundResponse]):
    """Cut out the foreground of an image.

    Source: https://developer.ideogram.ai/api-reference/api-reference/remove-background

    Args:
        image: The image: PNG, JPEG or WebP, at most 10 MiB.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/v1/remove-background", Body.FORM, RemoveBackgroundResponse)

    image: ImageSource = field(converter=as_image, metadata=IMAGE)
    """The image: PNG, JPEG or WebP, at most 10 MiB."""


@frozen(slots=False, eq=False, repr=False)
class Upscale(NumImagesField, Request[GenerateImageResponse]):
    """Enlarge an image and refine its details. Billed per call, regardless of the number of images.

    Source: https://developer.ideogram.ai/api-reference/api-reference/upscale

    Args:
        image: The image: PNG, JPEG or WebP, at most 10 MiB.
        seed: Random seed, 0 to 2147483647. The response reports the seed used.
        num_images: Number of images, from 1 to 8; default 1. Each takes a concurrency slot, and is billed unless the
            operation states otherwise.
        prompt: Description of the image, to guide the details.
        resemblance: Similarity to the image, from 1 to 100; default 50.
        detail: Amount of added detail, from 1 to 100; default 50.
        magic_prompt_option: Automatic rewriting of the prompt by the service: AUTO, ON or OFF.
    """

    endpoint: ClassVar[Endpoint] = Endpoint(
        "POST", "/upscale", Body.FORM, GenerateImageResponse, envelope="image_request"
    )

    image: ImageSource = field(converter=as_image, metadata=IMAGE_FILE)
    """The image: PNG, JPEG or WebP, at most 10 MiB."""
    prompt: str | None = field(default=None, kw_only=True, metadata=field_rule(Text()))
    """Description of the image, to guide the details."""
    resemblance: int | None = field(default=None, converter=as_int, kw_only=True, metadata=PERCENT)
    """Similarity to the image, from 1 to 100; default 50."""
    detail: int | None = field(default=None, converter=as_int, kw_only=True, metadata=PERCENT)
    """Amount of added detail, from 1 to 100; default 50."""
    magic_prompt_option: MagicPromptOptionLiteral | MagicPromptOption | Unchecked | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(MagicPromptOption))
    )
    """Automatic rewriting of the prompt by the service: AUTO, ON or OFF."""


@frozen(slots=False, eq=False, repr=False)
class Describe(RequestBase, Request[DescribeResponse]):
    """Describe an image in text.

    Source: https://developer.ideogram.ai/api-reference/api-reference/describe

    Args:
        image: The image: PNG, JPEG or WebP, at most 10 MiB.
        describe_model_version: Model that describes the image: V_2 or V_3 (default).
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/describe", Body.FORM, DescribeResponse)

    image: ImageSource = field(converter=as_image, metadata=IMAGE_FILE)
    """The image: PNG, JPEG or WebP, at most 10 MiB."""
    describe_model_version: DescribeModelVersionLiteral | DescribeModelVersion | Unchecked | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(DescribeModelVersion))
    )
    """Model that describes the image: V_2 or V_3 (default)."""
