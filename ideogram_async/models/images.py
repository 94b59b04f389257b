"""Answers that hold images."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from attrs import frozen

from ideogram_async.enums import ResolutionV3, StyleType, StyleTypeV3
from ideogram_async.models.base import Answer, Item

__all__ = [
    "DescribeResponse",
    "Description",
    "GenerateImageResponse",
    "ImageGenerationObjectV3",
    "ImageGenerationResponseV3",
    "ImageObject",
    "LayerizeTextResponse",
    "RemoveBackgroundImageObject",
    "RemoveBackgroundResponse",
    "V1EditImageObject",
    "V1EditImagesResponse",
]


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class RemoveBackgroundImageObject(Item):
    """The foreground of an image, on a transparent background."""

    is_image_safe: bool
    """Whether it passed the safety check; if not it has no link, and was charged for all the same."""
    url: str | None = None
    """Where the image lies, for 24 hours at most."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GeneratedImage(RemoveBackgroundImageObject):
    """What every generated image tells of itself."""

    prompt: str
    """The prompt that was used: not the one that was sent, where magic prompt rewrote it."""
    seed: int
    """The seed that was used, also when none was sent."""
    upscaled_resolution: str | None = None
    """The final size in pixels, where the operation changed it after drawing."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ImageGenerationObjectV3(GeneratedImage):
    """An image of a 3.0 operation."""

    resolution: ResolutionV3 | str
    """Width by height in pixels, before any upscaling."""
    style_type: StyleTypeV3 | str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class V1EditImageObject(GeneratedImage):
    """An image that was edited by a prompt."""

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
    """An image of a layerized one: the `base` without text, or the `original`."""

    layer: str
    seed: int


class ImageAnswer(Answer):
    """The base of answers that contain images."""

    @property
    def images(self) -> tuple[RemoveBackgroundImageObject, ...]:
        """All images, in the order of the answer."""
        raise NotImplementedError


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ImageListAnswer(ImageAnswer):
    """The base of answers that are a list of images."""

    created: datetime
    data: tuple[RemoveBackgroundImageObject, ...] = ()

    @property
    def images(self) -> tuple[RemoveBackgroundImageObject, ...]:
        """All images, in the order of the answer."""
        return self.data


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ImageGenerationResponseV3(ImageListAnswer):
    """The images of a 3.0 operation. Iterating goes over them."""

    data: tuple[ImageGenerationObjectV3, ...] = ()

    def __iter__(self) -> Iterator[ImageGenerationObjectV3]:
        return iter(self.data)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class V1EditImagesResponse(ImageListAnswer):
    """The images of an edit. Iterating goes over them."""

    data: tuple[V1EditImageObject, ...] = ()

    def __iter__(self) -> Iterator[V1EditImageObject]:
        return iter(self.data)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GenerateImageResponse(ImageListAnswer):
    """The images of a legacy operation, or of an upscale. Iterating goes over them."""

    data: tuple[ImageObject, ...] = ()

    def __iter__(self) -> Iterator[ImageObject]:
        return iter(self.data)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class RemoveBackgroundResponse(ImageListAnswer):
    """The foreground, as a list of one. Iterating goes over it."""

    data: tuple[RemoveBackgroundImageObject, ...] = ()

    def __iter__(self) -> Iterator[RemoveBackgroundImageObject]:
        return iter(self.data)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class LayerizeTextResponse(ImageAnswer):
    """An image without its text. The text blocks that the service found are in `extra["text_blocks"]`."""

    base_image_url: str
    """The image with all text removed; the link lives for 24 hours at most."""
    seed: int
    original_image_url: str | None = None
    """The image with its text."""

    @property
    def images(self) -> tuple[LayerImage, ...]:
        """The image without its text, and the original where the answer has it."""
        links = {"base": self.base_image_url, "original": self.original_image_url}
        return tuple(
            LayerImage(url=url or None, is_image_safe=bool(url), layer=layer, seed=self.seed)
            for layer, url in links.items()
            if url or layer == "base"
        )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Description(Item):
    """One description of an image."""

    text: str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DescribeResponse(Answer):
    """Descriptions of an image. Iterating goes over them."""

    descriptions: tuple[Description, ...] = ()

    def __iter__(self) -> Iterator[Description]:
        return iter(self.descriptions)
