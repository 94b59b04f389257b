"""Requests of the second contract that make or describe images."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from attrs import field, frozen

from ideogram_async._literals import AspectRatioV3Literal, ResolutionV3Literal
from ideogram_async._operations import Accept, Body, Endpoint, Request
from ideogram_async._scalars import as_bool, as_int
from ideogram_async.enums import AspectRatioV3, ResolutionV3, Unchecked
from ideogram_async.files import ImageSource, as_optional_images, as_tuple
from ideogram_async.models.training import AssetIdentifier
from ideogram_async.requests._file_rules import ImagesRule
from ideogram_async.requests._rules import Choice, Flag, RequestBase, Text, field_rule
from ideogram_async.v2._fields import (
    OPTIONAL_PROMPT,
    PROMPT,
    RESOLUTION,
    RESOLUTION_V4,
    STRUCTURED_PROMPT,
    WEIGHT,
    Checked,
    Collected,
    Drawing,
    MagicPrompt,
    Negative,
    NumImages,
    Open,
    Palettes,
    Private,
    Seed,
    SizeV3,
    Speed,
    StyleCodes,
    StyleType,
    Tier,
    documented,
    drawing,
)
from ideogram_async.v2._rules import (
    PromptRule,
    SizeRule,
    Window,
    WindowRule,
    area_violations,
    as_window,
    parse_size,
    size_of,
)
from ideogram_async.v2._sources import (
    ANY_IMAGE,
    DESCRIBED_IMAGE,
    IMAGE,
    LARGE_IMAGE,
    MASK,
    Character,
    FileRule,
    FontRule,
    Images,
    OneStyle,
    PreciseFields,
    Source,
    StyleCollections,
    StyleReferences,
    as_optional_image,
    as_source,
    mask_conflict,
    ratio_conflicts,
    size_conflicts,
)
from ideogram_async.v2._values import (
    AspectRatioV4,
    CharacterStyleType,
    IdeogramV4AspectRatio,
    OutputResolution,
    ResolutionV4,
    UpscaleFactor,
    one_of,
)
from ideogram_async.v2.answers import (
    DescribeImageIdeogramV3Response,
    DescribeImageIdeogramV4Response,
    MagicPromptV4Response,
)
from ideogram_async.v2.json_prompt import JsonPrompt

AREA_2K, AREA_4K = 4_194_304, 16_777_216
"""Areas in pixels: 2048x2048 and 4096x4096."""
WINDOW_DOC = (
    "Part of the image that may change: none (default), auto (needs a mask), or y_min, x_min, y_max and x_max in "
    "pixels, rows first, as numbers or as text."
)


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Generate46(Open, Checked, Seed, MagicPrompt, Tier, Images, Drawing):
    """Draw images from a prompt, or edit images by one, with Ideogram 4.6. A preview: details may change.

    Source: https://developer.ideogram.ai/api-reference/images/generate/ideogram-4-6
    """

    endpoint: ClassVar[Endpoint] = drawing("image/generate/ideogram-4-6")

    prompt: str | JsonPrompt = field(metadata=STRUCTURED_PROMPT)
    size: str | None = field(
        default=None,
        kw_only=True,
        metadata=field_rule(
            SizeRule(AREA_4K), doc="Width by height in pixels, multiples of 32, such as `2048x1024`; auto, or source."
        ),
    )

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        yield from size_conflicts(self.size, self.images)
        if self.quality == "very_low" and (size := parse_size(str(self.size or ""))) and size[0] * size[1] > AREA_2K:
            yield "quality", f"very_low is limited to {AREA_2K} pixels"


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Generate45(Checked, Seed, MagicPrompt, Tier, Images, Drawing):
    """Draw images from a prompt, or edit images by one, with Ideogram 4.5.

    `quality` is high by default, and medium with `images`; very_low needs `images`.

    Source: https://developer.ideogram.ai/api-reference/images/generate/ideogram-4-5
    """

    endpoint: ClassVar[Endpoint] = drawing("image/generate/ideogram-4-5")

    prompt: str | JsonPrompt = field(metadata=STRUCTURED_PROMPT)
    mask: ImageSource | None = field(
        default=None,
        kw_only=True,
        converter=as_optional_image,
        metadata=field_rule(FileRule(), doc="Mask of the size of the first file. Black marks the area to change."),
    )
    size: str | None = field(
        default=None,
        kw_only=True,
        metadata=field_rule(
            SizeRule(), doc="Width by height in pixels, such as `2048x1024` or `1280x720`; auto (default), or source."
        ),
    )

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        yield from size_conflicts(self.size, self.images)
        if self.quality == "very_low" and not self.images:
            yield "quality", "very_low needs images"

        yield from ratio_conflicts("images", self.images, 6)
        if self.images and (size := parse_size(str(self.size or ""))):
            # Without sources, the service has a list of sizes, some of which break these rules.
            yield from (("size", violation) for violation in area_violations(*size, AREA_2K, multiple=32))

        if self.mask is not None:
            yield from self._mask_conflicts(as_tuple(self.images or ()))

    def _mask_conflicts(self, images: tuple[object, ...]) -> Iterator[tuple[str, str]]:
        if not images or any(isinstance(image, AssetIdentifier) for image in images):
            yield "mask", "needs files as images"
        else:
            yield from mask_conflict("mask", images[0], self.mask)

        if len(images) > 4:
            yield "images", f"accepts at most 4 with a mask, not {len(images)}"

        if self.size is not None:
            yield "size", "cannot be combined with mask"


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Generate4(Checked, Seed, MagicPrompt, Speed, Drawing):
    """Draw images from a prompt with Ideogram 4.

    Source: https://developer.ideogram.ai/api-reference/images/generate
    """

    endpoint: ClassVar[Endpoint] = drawing("image/generate/ideogram-4")

    prompt: str | JsonPrompt = field(metadata=STRUCTURED_PROMPT)
    resolution: ResolutionV4 | Unchecked | None = field(default=None, kw_only=True, metadata=RESOLUTION_V4)


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Generate4Transparent(Checked, Seed, MagicPrompt, Speed, Drawing):
    """Draw images on a transparent background with Ideogram 4.

    Source: https://developer.ideogram.ai/api-reference/images/generate
    """

    endpoint: ClassVar[Endpoint] = drawing("image/generate/ideogram-4-transparent")

    prompt: str | JsonPrompt = field(metadata=STRUCTURED_PROMPT)
    aspect_ratio: IdeogramV4AspectRatio | Unchecked | None = field(
        default=None,
        kw_only=True,
        metadata=field_rule(
            one_of("IdeogramV4AspectRatio", IdeogramV4AspectRatio), doc="Aspect ratio, such as `16x9`; default auto."
        ),
    )
    output_resolution: OutputResolution | Unchecked | None = field(
        default=None,
        kw_only=True,
        metadata=field_rule(
            one_of("OutputResolution", OutputResolution),
            doc="Area of the image, that of a square of this side: 1k (default), 2k, 4k or 8k.",
        ),
    )


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Generate3(Checked, Seed, MagicPrompt, Speed, SizeV3, Negative, Palettes, StyleType, OneStyle, Drawing):
    """Draw images from a prompt with Ideogram 3.

    Source: https://developer.ideogram.ai/api-reference/images/generate
    """

    endpoint: ClassVar[Endpoint] = drawing("image/generate/ideogram-3")

    prompt: str = field(metadata=PROMPT)


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Generate3Character(Checked, Seed, MagicPrompt, Speed, SizeV3, Negative, StyleCollections, Character, Drawing):
    """Draw images of a character with Ideogram 3. Style references need an account with that right.

    Source: https://developer.ideogram.ai/api-reference/images/generate
    """

    endpoint: ClassVar[Endpoint] = drawing("image/generate/ideogram-3-character")

    prompt: str = field(metadata=PROMPT)
    style_type: CharacterStyleType | Unchecked | None = field(
        default=None,
        kw_only=True,
        metadata=field_rule(
            one_of("CharacterStyleType", CharacterStyleType), doc="Style type: auto (default), realistic or fiction."
        ),
    )


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class PreciseEdit46(Open, Checked, Seed, Tier, PreciseFields, Drawing):
    """Change a part of an image by a prompt with Ideogram 4.6. A preview: details may change.

    Without a window, an image of more than 16,777,216 pixels comes back smaller.

    Source: https://developer.ideogram.ai/api-reference/images/precise-edit/ideogram-4-6
    """

    endpoint: ClassVar[Endpoint] = drawing("image/precise-edit/ideogram-4-6")

    image: Source = field(converter=as_source, metadata=LARGE_IMAGE)
    prompt: str | JsonPrompt = field(metadata=STRUCTURED_PROMPT)
    context_window: Window = field(
        default=None, kw_only=True, converter=as_window, metadata=field_rule(WindowRule(), doc=WINDOW_DOC)
    )


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class PreciseEdit45(Checked, Seed, Tier, PreciseFields, Drawing):
    """Change a part of an image by a prompt with Ideogram 4.5. `quality` is medium by default.

    Source: https://developer.ideogram.ai/ideogram-api/masked-edits
    """

    endpoint: ClassVar[Endpoint] = drawing("image/precise-edit/ideogram-4-5")

    image: Source = field(converter=as_source, metadata=LARGE_IMAGE)
    prompt: str | JsonPrompt = field(metadata=STRUCTURED_PROMPT)
    context_window: Window = field(
        default=None, kw_only=True, converter=as_window, metadata=field_rule(WindowRule(AREA_2K), doc=WINDOW_DOC)
    )


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Inpaint3(Checked, Seed, MagicPrompt, Speed, StyleType, StyleCodes, StyleCollections, Drawing):
    """Redraw the masked part of an image with Ideogram 3.

    Source: https://developer.ideogram.ai/ideogram-api/masked-edits
    """

    endpoint: ClassVar[Endpoint] = drawing("image/inpaint/ideogram-3")

    image: Source = field(converter=as_source, metadata=IMAGE)
    mask: Source = field(converter=as_source, metadata=MASK)
    prompt: str = field(metadata=PROMPT)

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        yield from mask_conflict("mask", self.image, self.mask)


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Remix4(Checked, Speed, Drawing):
    """Draw images from an image and a prompt with Ideogram 4.

    Source: https://developer.ideogram.ai/ideogram-api/models
    """

    endpoint: ClassVar[Endpoint] = drawing("image/remix/ideogram-4")

    image: Source = field(converter=as_source, metadata=LARGE_IMAGE)
    prompt: str = field(metadata=PROMPT)
    image_weight: int | None = field(default=None, kw_only=True, converter=as_int, metadata=WEIGHT)
    resolution: ResolutionV4 | Unchecked | None = field(default=None, kw_only=True, metadata=RESOLUTION_V4)

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        size, own = parse_size(str(self.resolution or "")), size_of(self.image)
        if self.image_weight is not None and size and own and size[0] * own[1] != size[1] * own[0]:
            yield "image_weight", "cannot be combined with a resolution of another shape than the image"


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Remix3(Checked, Seed, MagicPrompt, Speed, Negative, Palettes, StyleType, OneStyle, Drawing):
    """Draw images from an image and a prompt with Ideogram 3. Another shape crops the image from its center.

    Source: https://developer.ideogram.ai/ideogram-api/models
    """

    endpoint: ClassVar[Endpoint] = drawing("image/remix/ideogram-3")

    image: Source = field(converter=as_source, metadata=LARGE_IMAGE)
    prompt: str = field(metadata=PROMPT)
    image_weight: int | None = field(default=None, kw_only=True, converter=as_int, metadata=WEIGHT)
    resolution: ResolutionV3Literal | ResolutionV3 | Unchecked | None = field(
        default=None, kw_only=True, metadata=RESOLUTION
    )
    aspect_ratio: AspectRatioV3Literal | AspectRatioV3 | Unchecked | None = field(
        default=None,
        kw_only=True,
        metadata=field_rule(
            Choice(AspectRatioV3), doc="Aspect ratio, such as `16x9`. Cannot be combined with `resolution`."
        ),
    )

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        if self.resolution is not None and self.aspect_ratio is not None:
            yield "aspect_ratio", "cannot be combined with resolution"


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Reframe3(NumImages, Seed, Speed, Palettes, StyleCodes, StyleReferences, Drawing):
    """Extend an image to another size with Ideogram 3.

    Source: https://developer.ideogram.ai/ideogram-api/models
    """

    endpoint: ClassVar[Endpoint] = drawing("image/reframe/ideogram-3", has_webhook=False)

    image: Source = field(converter=as_source, metadata=IMAGE)
    resolution: ResolutionV3Literal | ResolutionV3 | Unchecked = field(metadata=RESOLUTION)


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class RemoveBackground(Collected, Drawing):
    """Cut out the foreground of an image. Billed per input image.

    Source: https://developer.ideogram.ai/ideogram-api/models
    """

    endpoint: ClassVar[Endpoint] = drawing("image/remove-background/ideogram-1", has_webhook=False)

    image: Source = field(converter=as_source, metadata=IMAGE)


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class ReplaceBackground3(Private, NumImages, Speed, Drawing):
    """Keep the foreground of an image and redraw its background with Ideogram 3. The service always accepts it first.

    Source: https://developer.ideogram.ai/api-reference/tool/replace-background-ideogram-45
    """

    endpoint: ClassVar[Endpoint] = drawing("image/replace-background/ideogram-3", accept=Accept.ALWAYS)

    image: Source = field(converter=as_source, metadata=ANY_IMAGE)
    prompt: str = field(
        metadata=field_rule(PromptRule(maximum=4000), doc="Description of the background, at most 4,000 characters.")
    )

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        yield from ratio_conflicts("image", self.image, 3)


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class UpscaleAuto(Collected, Seed, Drawing):
    """Enlarge an image. The price depends on the size of the result: see `client.quote`.

    Source: https://developer.ideogram.ai/ideogram-api/models
    """

    endpoint: ClassVar[Endpoint] = drawing("image/upscale/auto")

    image: Source = field(converter=as_source, metadata=LARGE_IMAGE)
    upscale_factor: UpscaleFactor | Unchecked | None = field(
        default=None,
        kw_only=True,
        metadata=field_rule(one_of("UpscaleFactor", UpscaleFactor), doc="Enlargement: x2 (default), x4 or x8."),
    )


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Layerize3(Collected, Seed, Drawing):
    """Separate the text of an image from the rest. Billed per input image.

    Source: https://developer.ideogram.ai/ideogram-api/models
    """

    endpoint: ClassVar[Endpoint] = drawing("design/layerize/ideogram-3", fixed_images=2)

    image: Source = field(converter=as_source, metadata=LARGE_IMAGE)
    prompt: str | None = field(default=None, kw_only=True, metadata=OPTIONAL_PROMPT)
    font_candidate_files: Iterable[ImageSource] | None = field(
        default=None,
        kw_only=True,
        converter=as_optional_images,
        metadata=field_rule(
            ImagesRule(each=FontRule()), doc="Fonts that the text may have been set in, at most 5 MiB each."
        ),
    )


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Describe3(RequestBase, Request[DescribeImageIdeogramV3Response]):
    """Describe an image in text.

    Source: https://developer.ideogram.ai/ideogram-api/models
    """

    endpoint: ClassVar[Endpoint] = Endpoint(
        "POST", "/v2/image/describe/ideogram-3", Body.AUTO, DescribeImageIdeogramV3Response
    )

    image: Source = field(converter=as_source, metadata=DESCRIBED_IMAGE)


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class Describe4(RequestBase, Request[DescribeImageIdeogramV4Response]):
    """Describe an image as a structured prompt, `answer.json_prompt`.

    Source: https://developer.ideogram.ai/ideogram-api/models
    """

    endpoint: ClassVar[Endpoint] = Endpoint(
        "POST", "/v2/image/describe/ideogram-4", Body.AUTO, DescribeImageIdeogramV4Response
    )

    image: Source = field(converter=as_source, metadata=DESCRIBED_IMAGE)
    include_bbox: bool | None = field(
        default=None,
        kw_only=True,
        converter=as_bool,
        metadata=field_rule(Flag(), doc="Whether elements have boxes; default `True`."),
    )
    include_style_descriptions: bool | None = field(
        default=None,
        kw_only=True,
        converter=as_bool,
        metadata=field_rule(Flag(), doc="Whether the style is described; default `False`."),
    )
    include_tags: bool | None = field(
        default=None,
        kw_only=True,
        converter=as_bool,
        metadata=field_rule(Flag(), doc="Whether keywords are included; default `False`."),
    )


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class MagicPrompt4(RequestBase, Request[MagicPromptV4Response]):
    """Turn a short text into a structured prompt, `answer.json_prompt`.

    Source: https://developer.ideogram.ai/ideogram-api/models
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/v1/ideogram-v4/magic-prompt", Body.JSON, MagicPromptV4Response)

    text_prompt: str = field(metadata=field_rule(Text(may_be_empty=False), doc="The text."))
    aspect_ratio: AspectRatioV4 | Unchecked | None = field(
        default=None,
        kw_only=True,
        metadata=field_rule(
            one_of("AspectRatioV4", AspectRatioV4), doc="Aspect ratio of the image, such as `16x9`; default AUTO."
        ),
    )
