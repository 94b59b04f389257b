"""The rules of file fields. They read files, so they block: the client asks them in a thread."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from attrs import frozen

from ideogram_async._formats import is_coloured, measure, sniff
from ideogram_async.files import HasUrl, ImageFile
from ideogram_async.requests._rules import Limits, Rule, kind

HEAD = 64


@frozen(eq=False, repr=False)
class Picture(Rule):
    """One image file: PNG, JPEG or WebP."""

    def type_error(self, value: Any) -> str | None:
        if not isinstance(value, ImageFile) or not value.is_readable:
            source = value.source if isinstance(value, ImageFile) else value
            return f"must be a path, bytes, a (name, bytes) pair, an open binary file or an image, not {kind(source)}"

        if isinstance(value.source, HasUrl) and not value.source.url:
            return "is an image without a link: it was withheld"

        return None

    def violations(self, value: ImageFile, limits: Limits) -> Iterator[str]:
        if not value.is_reopenable:
            return

        try:
            head, size = _look(value)
        except (OSError, ValueError) as error:
            # `ValueError`: a path with a zero byte in it.
            yield f"cannot be read: {getattr(error, 'strerror', None) or error}: {value.path}"
            return

        if size > limits.max_upload_bytes:
            yield f"has {size} bytes, and {limits.max_upload_bytes} are allowed (max_upload_bytes)"

        yield from self.judge(value, head)

    def judge(self, value: ImageFile, head: bytes) -> Iterator[str]:
        """Say what is wrong with the file's first bytes."""
        if not sniff(head):
            yield "is no PNG, JPEG or WebP file" if head else "is empty"


@frozen(eq=False, repr=False)
class Pictures(Rule):
    """Several files, each like `each`."""

    each: Picture = Picture()
    least: int = 0
    most: int | None = None
    share_limit: bool = False
    """Whether the limit holds for all of them together, too."""

    def type_error(self, value: Any) -> str | None:
        told = (f"[{n}] {problem}" for n, item in enumerate(value) if (problem := self.each.type_error(item)))
        return next(told, None)

    def violations(self, value: tuple[ImageFile, ...], limits: Limits) -> Iterator[str]:
        if len(value) < self.least:
            yield f"needs {self.least} at least"

        if self.most is not None and len(value) > self.most:
            yield f"takes {self.most} at most, not {len(value)}"

        singles = [(n, problem) for n, item in enumerate(value) for problem in self.each.violations(item, limits)]
        yield from (f"[{n}] {problem}" for n, problem in singles)
        if self.share_limit and not singles and (size := _total(value)) > limits.max_upload_bytes:
            yield f"have {size} bytes together, and {limits.max_upload_bytes} are allowed (max_upload_bytes)"


@frozen(eq=False, repr=False)
class Assets(Pictures):
    """The files of a data set, which holds so many images at most. Those inside archives are not counted."""

    most_images: int = 100

    def violations(self, value: tuple[ImageFile, ...], limits: Limits) -> Iterator[str]:
        yield from super().violations(value, limits)
        images = sum(not file.file_name(b"").lower().endswith((".txt", ".zip")) for file in value)
        if images > self.most_images:
            yield f"takes {self.most_images} images at most, not {images}"


@frozen(eq=False, repr=False)
class Asset(Picture):
    """A file for a data set: an image, a caption or an archive."""

    def judge(self, value: ImageFile, head: bytes) -> Iterator[str]:
        name = value.file_name(head).lower()
        is_archive = name.endswith(".zip") and head.startswith(b"PK")
        if not head and not name.endswith(".txt"):
            yield "is empty"
        elif not sniff(head) and not is_archive and not name.endswith(".txt"):
            yield "is no PNG, JPEG or WebP file, no .txt caption and no .zip archive"


def mask_problem(image: ImageFile, mask: ImageFile, *, grayscale: bool = False) -> str | None:
    """Say why the mask does not fit the image, `None` if it does or if one of them cannot be read."""
    if not (image.is_reopenable and mask.is_reopenable):
        return None

    try:
        with image.open() as opened, mask.open() as opened_mask:
            size, mask_size = measure(opened), measure(opened_mask)
            opened_mask.seek(0)
            has_colours = grayscale and is_coloured(opened_mask.read(HEAD))
    except (OSError, ValueError):
        return None

    if size and mask_size and size != mask_size:
        return f"must have the image's size, {size[0]}x{size[1]} pixels, not {mask_size[0]}x{mask_size[1]}"

    return "must be a grayscale image" if has_colours else None


def _look(file: ImageFile) -> tuple[bytes, int]:
    with file.open() as opened:
        return opened.read(HEAD), file.size()


def _total(files: tuple[ImageFile, ...]) -> int:
    return sum(file.size() for file in files if file.is_reopenable)
