"""Rules for file fields. They read files and block, so the client checks them in a thread."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any, cast

import attrs
from attrs import frozen

from ideogram_async._formats import HEADER_BYTES, read_size, sniff
from ideogram_async.files import MAX_SHOWN, HasUrl, ImageFile, Link, path_error
from ideogram_async.models.base import ListAnswer
from ideogram_async.requests._rules import Limits, Rule, type_name

MAX_DATASET_IMAGES = 100


@frozen(eq=False, repr=False)
class ImageRule(Rule[ImageFile]):
    """One image file: PNG, JPEG or WebP."""

    max_bytes: int | None = None
    """The largest file, if the operation has a limit of its own, in place of the client's `max_upload_bytes`."""

    def type_error(self, value: object) -> str | None:
        if not isinstance(value, ImageFile) or not value.is_readable:
            source = value.source if isinstance(value, ImageFile) else value
            if hasattr(source, "__array__"):
                return f"is an array ({type_name(source)}); use PIL.Image.fromarray(array)"

            forms = "a path, bytes, a (name, bytes) pair, an open binary file or an image"
            is_answer = isinstance(source, ListAnswer)
            advice = "; pass one of its images, such as answer[0]" if is_answer else ""
            return f"must be {forms}, not {type_name(source)}{advice}"

        if isinstance(value.source, str | os.PathLike):
            return path_error(os.fsdecode(value.source))

        if isinstance(value.source, Link):
            return None if value.source.is_web else f"is not a URL: {value.source.url[:MAX_SHOWN]!r}"

        if isinstance(value.source, HasUrl) and not value.source.url:
            return "is an image without a link: the service withheld it"

        return None

    def violations(self, value: ImageFile, limits: Limits) -> Iterator[str]:
        if not value.is_reopenable:
            return

        try:
            with value.open() as opened:
                head, size = opened.read(HEADER_BYTES), value.size()
        except (OSError, ValueError) as error:
            # `ValueError`: a path that contains a null byte.
            yield f"cannot be read: {getattr(error, 'strerror', None) or error}: {str(value.path)[:MAX_SHOWN]}"
            return

        if size > self.limit(limits.max_upload_bytes) and not self.is_unlimited(value, head):
            setting = " (max_upload_bytes)" if self.max_bytes is None else ""
            yield f"has {size} bytes; at most {self.limit(limits.max_upload_bytes)} are allowed{setting}"

        yield from self.content_violations(value, head)

    def limit(self, max_upload_bytes: int) -> int:
        """Return the size of the largest file."""
        return max_upload_bytes if self.max_bytes is None else self.max_bytes

    def is_unlimited(self, value: ImageFile, head: bytes) -> bool:
        """Return whether a file of any size is accepted, from its first bytes."""
        return False

    def content_violations(self, value: ImageFile, head: bytes) -> Iterator[str]:
        """Yield a message if the file's first bytes are not those of an accepted format."""
        if not sniff(head):
            yield "is not a PNG, JPEG or WebP file" if head else "is empty"


@frozen(eq=False, repr=False)
class ImagesRule(Rule[tuple[ImageFile, ...]]):
    """Several files that each follow the rule `each`."""

    each: ImageRule = ImageRule()
    may_be_empty: bool = True
    maximum: int | None = None
    shared_limit: bool = False
    """Whether the size limit also holds for all files together."""

    def type_error(self, value: Any) -> str | None:
        errors = (f"[{n}] {error}" for n, item in enumerate(value) if (error := self.each.type_error(item)))
        return next(errors, None)

    def violations(self, value: tuple[ImageFile, ...], limits: Limits) -> Iterator[str]:
        if not value and not self.may_be_empty:
            yield "must not be empty"

        if self.maximum is not None and len(value) > self.maximum:
            yield f"accepts at most {self.maximum}, not {len(value)}"

        singles = [f"[{n}] {text}" for n, item in enumerate(value) for text in self.each.violations(item, limits)]
        yield from singles
        if self.shared_limit and not singles:
            size = sum(file.size() for file in value if file.is_reopenable)
            if size > limits.max_upload_bytes:
                yield f"have {size} bytes in total; at most {limits.max_upload_bytes} are allowed (max_upload_bytes)"


@frozen(eq=False, repr=False)
class AssetRule(ImageRule):
    """A file for a dataset: an image, a caption or an archive."""

    def is_unlimited(self, value: ImageFile, head: bytes) -> bool:
        return head.startswith(b"PK") and value.file_name(head).lower().endswith(".zip")

    def content_violations(self, value: ImageFile, head: bytes) -> Iterator[str]:
        is_caption = value.file_name(head).lower().endswith(".txt")
        if not head and not is_caption:
            yield "is empty"
        elif not sniff(head) and not is_caption and not self.is_unlimited(value, head):
            yield "is not a PNG, JPEG or WebP file, a .txt caption or a .zip archive"


@frozen(eq=False, repr=False)
class AssetsRule(ImagesRule):
    """The files of a dataset. Images inside archives are not counted."""

    def violations(self, value: tuple[ImageFile, ...], limits: Limits) -> Iterator[str]:
        yield from super().violations(value, limits)
        images = sum(not file.file_name(b"").lower().endswith((".txt", ".zip")) for file in value)
        if images > MAX_DATASET_IMAGES:
            yield f"accepts at most {MAX_DATASET_IMAGES} images, not {images}"


def file_rule(request: type[Any], field: str) -> ImageRule:
    """Return the rule for each file of a field."""
    rule = attrs.fields_dict(request)[field].metadata["rule"]
    return rule.each if isinstance(rule, ImagesRule) else cast(ImageRule, rule)


def mask_violation(image: ImageFile, mask: ImageFile) -> str | None:
    """Return a message if the mask does not fit the image; `None` if it does, or if one of them cannot be read."""
    if not (image.is_reopenable and mask.is_reopenable):
        return None

    try:
        with image.open() as opened, mask.open() as opened_mask:
            size, mask_size = read_size(opened), read_size(opened_mask)
    except (OSError, ValueError):
        return None

    if size and mask_size and size != mask_size:
        return f"must have the image's size, {size[0]}x{size[1]} pixels, not {mask_size[0]}x{mask_size[1]}"

    return None
