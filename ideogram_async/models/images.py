"""Answers of the image operations."""

from abc import abstractmethod
from datetime import datetime
from typing import TypeVar

from attrs import frozen

from ideogram_async.enums import ResolutionV3, StyleType, StyleTypeV3
from ideogram_async.models.base import Answer, Item, ListAnswer


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class RemoveBackgroundImageObject(Item):
    """The foreground of an image, on a transparent background."""

    is_image_safe: bool
    """Whether the image passed the safety check. Otherwise it has no link, but was billed."""
    url: str | None = None
    """Link to the image, valid for at most 24 hours."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GeneratedImage(RemoveBackgroundImageObject):
    """Base class of generated images."""

    prompt: str
    """The prompt used: not the one sent, if magic prompt rewrote it."""
    seed: int
    """The seed used, even if none was sent."""
    upscaled_resolution: str | None = None
    """Width by height in pixels, if the image was upscaled."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ImageGenerationObjectV3(GeneratedImage):
    """An image of a 3.0 operation."""

    resolution: ResolutionV3 | str
    """Width by height in pixels, before any upscaling."""
    style_type: StyleTypeV3 | str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class V1EditImageObject(GeneratedImage):
    """An image edited by a prompt."""

    resolution: str
    """Width by height in pixels."""
    style_type: StyleTypeV3 | str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ImageObject(GeneratedImage):
    """An image of a legacy operation, or of an upscale."""

    resolution: str
    """Width by height in pixels."""
    style_type: StyleType | str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class LayerImage(RemoveBackgroundImageObject):
    """An image of a `LayerizeTextResponse`."""

    layer: str
    """`base`, the image without text, or `original`."""
    seed: int


ImageT = TypeVar("ImageT", bound=RemoveBackgroundImageObject)


class ImageAnswer(Answer):
    """Base class of answers that contain images."""

    @property
    @abstractmethod
    def images(self) -> tuple[RemoveBackgroundImageObject, ...]:
        """All images, in the order of the answer."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ImageListAnswer(ImageAnswer, ListAnswer[ImageT]):
    """Base class of answers that are a list of images. Iteration yields the images."""

    created: datetime
    """Time of the response."""
    data: tuple[ImageT, ...] = ()
    """The images."""

    @property
    def images(self) -> tuple[ImageT, ...]:
        """All images, in the order of the answer."""
        return self.data

    @property
    def _items(self) -> tuple[ImageT, ...]:
        return self.data


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ImageGenerationResponseV3(ImageListAnswer[ImageGenerationObjectV3]):
    """Images of a 3.0 operation. Iteration yields the images."""

    data: tuple[ImageGenerationObjectV3, ...] = ()
    """The images."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class V1EditImagesResponse(ImageListAnswer[V1EditImageObject]):
    """Images of an edit. Iteration yields the images."""

    data: tuple[V1EditImageObject, ...] = ()
    """The images."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GenerateImageResponse(ImageListAnswer[ImageObject]):
    """Images of a legacy operation or of an upscale. Iteration yields the images."""

    data: tuple[ImageObject, ...] = ()
    """The images."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class RemoveBackgroundResponse(ImageListAnswer[RemoveBackgroundImageObject]):
    """The foreground of an image, as a list of one. Iteration yields it."""

    data: tuple[RemoveBackgroundImageObject, ...] = ()
    """The images."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class LayerizeTextResponse(ImageAnswer):
    """An image without its text. The detected text blocks are in `extra["text_blocks"]`."""

    base_image_url: str | None = None
    """Link to the image without text, valid for at most 24 hours; `None` if it was withheld, but billed."""
    seed: int
    original_image_url: str | None = None
    """Link to the image with its text."""

    @property
    def images(self) -> tuple[LayerImage, ...]:
        """The image without its text, and the original if the answer contains it."""
        links = {"base": self.base_image_url, "original": self.original_image_url}
        return tuple(
            LayerImage(url=url or None, is_image_safe=bool(url), layer=layer, seed=self.seed)
            for layer, url in links.items()
            if url or layer == "base"
        )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Description(Item):
    """A description of an image."""

    text: str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DescribeResponse(ListAnswer[Description]):
    """Descriptions of an image. Iteration yields the descriptions."""

    descriptions: tuple[Description, ...] = ()

    @property
    def _items(self) -> tuple[Description, ...]:
        return self.descriptions
