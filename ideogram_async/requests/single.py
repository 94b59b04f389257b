"""Operations beside the 3.0 family: edit, upscale, describe, remove the background."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from urllib.parse import urlsplit

from attrs import field, frozen

from ideogram_async.endpoint import Body, Endpoint
from ideogram_async.enums import DescribeModelVersion, MagicPromptOption
from ideogram_async.files import ImageSource, as_image, as_optional_images
from ideogram_async.models.images import GenerateImageResponse, RemoveBackgroundResponse, V1EditImagesResponse
from ideogram_async.models.words import DescribeResponse
from ideogram_async.requests.base import RequestBase, as_texts
from ideogram_async.requests.mixins import Counted, Prompted, Sized
from ideogram_async.requests.pictures import Picture, Pictures
from ideogram_async.requests.rules import Choice, Flag, Integer, Limits, Text, Texts, rule

__all__ = ["Describe", "Edit", "RemoveBackground", "Upscale"]

PICTURE = rule(Picture(), wire="image_file")


@frozen(eq=False, repr=False)
class ServiceLink(Text):
    """A link to an image that the service keeps."""

    def broken(self, value: str, limits: Limits) -> Iterator[str]:
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
class Edit(Sized, Prompted, Counted):
    """Change images as a prompt says. Give either `images` or `image_urls`.

    Source: https://developer.ideogram.ai/api-reference/api-reference/edit-with-prompt
    """

    endpoint = Endpoint("POST", "/v1/edit", Body.FORM, V1EditImagesResponse)

    prompt: str = field(metadata=rule(Text(may_be_empty=False)))
    """What to change."""
    images: Iterable[ImageSource] | None = field(
        default=None, kw_only=True, converter=as_optional_images, metadata=rule(Pictures(most=10))
    )
    """The images to change, 10 at most: PNG, JPEG or WebP, 10 MiB each."""
    image_urls: Iterable[str] | None = field(
        default=None, kw_only=True, converter=as_texts, metadata=rule(Texts(ServiceLink(), most=10))
    )
    """Links of earlier images of the service, 10 at most, in place of `images`."""
    transparent_background: bool | None = field(default=None, kw_only=True, metadata=rule(Flag()))
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

    image: ImageSource = field(converter=as_image, metadata=rule(Picture()))
    """The image: PNG, JPEG or WebP, 10 MiB at most."""


@frozen(slots=False, eq=False, repr=False)
class Upscale(Counted):
    """Make an image larger, and finer. Charged by the call, however many images it makes.

    Source: https://developer.ideogram.ai/api-reference/api-reference/upscale
    """

    endpoint = Endpoint("POST", "/upscale", Body.FORM, GenerateImageResponse, envelope="image_request")

    image: ImageSource = field(converter=as_image, metadata=PICTURE)
    """The image: PNG, JPEG or WebP, 10 MiB at most."""
    prompt: str | None = field(default=None, kw_only=True, metadata=rule(Text()))
    """What the image shows, to guide the details."""
    resemblance: int | None = field(default=None, kw_only=True, metadata=rule(Integer(1, 100)))
    """How close to stay to the image, from 1 to 100; 50 if not given."""
    detail: int | None = field(default=None, kw_only=True, metadata=rule(Integer(1, 100)))
    """How much detail to add, from 1 to 100; 50 if not given."""
    magic_prompt_option: MagicPromptOption | str | None = field(
        default=None, kw_only=True, metadata=rule(Choice(MagicPromptOption))
    )
    """Whether the service may rewrite the prompt: AUTO, ON or OFF."""


@frozen(slots=False, eq=False, repr=False)
class Describe(RequestBase):
    """Put an image into words.

    Source: https://developer.ideogram.ai/api-reference/api-reference/describe
    """

    endpoint = Endpoint("POST", "/describe", Body.FORM, DescribeResponse)

    image: ImageSource = field(converter=as_image, metadata=PICTURE)
    """The image: PNG, JPEG or WebP, 10 MiB at most."""
    describe_model_version: DescribeModelVersion | str | None = field(
        default=None, kw_only=True, metadata=rule(Choice(DescribeModelVersion))
    )
    """The model that describes: V_3 if not given."""
