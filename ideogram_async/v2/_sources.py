"""Source images of the second contract: files, or assets that the service stores."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

from attrs import field, frozen

from ideogram_async.files import ImageFile, ImageSource, as_image, as_optional_images, as_tuple
from ideogram_async.models.training import AssetIdentifier
from ideogram_async.requests._file_rules import ImageRule, ImagesRule, mask_violation
from ideogram_async.requests._rules import Limits, RequestBase, Text, field_rule
from ideogram_async.v2._fields import StyleCodes
from ideogram_async.v2._rules import size_of
from ideogram_async.v2._values import AssetType, one_of

MEBIBYTE = 2**20
MAX_FILE, MAX_SOURCE, MAX_DESCRIBED, MAX_FONT = 25 * MEBIBYTE, 50 * MEBIBYTE, 10 * MEBIBYTE, 5 * MEBIBYTE

Source: TypeAlias = ImageSource | AssetIdentifier
"""A file, or an asset that the service stores."""


def as_source(value: Source) -> Source:
    """Convert the value of a source field: an asset stays, anything else is a file."""
    return value if isinstance(value, AssetIdentifier) else as_image(value)


def as_optional_image(value: ImageSource | None) -> ImageSource | None:
    """Convert the value of an optional file field."""
    return None if value is None else as_image(value)


def as_sources(value: Iterable[Source] | None) -> Iterable[Source] | None:
    """Convert the value of a field of sources. An empty list is not sent."""
    if value is None or isinstance(value, AssetIdentifier):
        return None if value is None else (value,)

    if isinstance(value, list | tuple) and any(isinstance(item, AssetIdentifier) for item in value):
        return tuple(as_source(item) for item in value)

    return as_optional_images(value)  # type: ignore[arg-type]


@frozen(eq=False, repr=False)
class FileRule(ImageRule):
    """One image file, of up to 25 MiB unless the operation accepts more."""

    max_bytes: int | None = MAX_FILE
    any_format: bool = False
    """Whether the service accepts further formats, which are not checked here."""

    def content_violations(self, value: ImageFile, head: bytes) -> Iterator[str]:
        if not self.any_format:
            yield from super().content_violations(value, head)
        elif not head:
            yield "is empty"


@frozen(eq=False, repr=False)
class SourceRule(FileRule):
    """One image file, or an asset that the service stores."""

    def type_error(self, value: object) -> str | None:
        return _asset_error(value) if isinstance(value, AssetIdentifier) else super().type_error(value)

    def violations(self, value: Any, limits: Limits) -> Iterator[str]:
        if isinstance(value, AssetIdentifier):
            return _asset_violations(value, limits)

        return super().violations(value, limits)


@frozen(eq=False, repr=False)
class SourcesRule(ImagesRule):
    """Several sources, either all files or all assets."""

    each: ImageRule = SourceRule()

    def violations(self, value: tuple[Any, ...], limits: Limits) -> Iterator[str]:
        if len({isinstance(item, AssetIdentifier) for item in value}) == 2:
            yield "must be either files or assets, not both"

        yield from super().violations(value, limits)


@frozen(eq=False, repr=False)
class FontRule(FileRule):
    """One font file."""

    max_bytes: int | None = MAX_FONT
    any_format: bool = True


def _asset_error(asset: AssetIdentifier) -> str | None:
    names = ("asset_type", "asset_id", "collection_id")
    values = {
        name: getattr(asset, name) for name in names if name != "collection_id" or asset.collection_id is not None
    }
    errors = (f"{name} {error}" for name, value in values.items() if (error := Text().type_error(value)))
    return next(errors, None)


def _asset_violations(asset: AssetIdentifier, limits: Limits) -> Iterator[str]:
    yield from (
        f"asset_type {message}" for message in one_of("AssetType", AssetType).check(str(asset.asset_type), limits)
    )
    if not asset.asset_id:
        yield "asset_id must not be empty"

    if asset.collection_id is not None and not re.fullmatch(r"[A-Za-z0-9_-]{22}", asset.collection_id):
        yield "collection_id must have 22 letters, digits, - or _"


def mask_conflict(name: str, image: object, mask: object) -> Iterator[tuple[str, str]]:
    """Yield a problem if a mask does not have the size of its image; assets are not read."""
    if isinstance(image, ImageFile) and isinstance(mask, ImageFile) and (violation := mask_violation(image, mask)):
        yield name, violation


def ratio_conflicts(name: str, images: object, maximum: int) -> Iterator[tuple[str, str]]:
    """Yield a problem for each image that is longer than `maximum` times its width, or wider."""
    for image in as_tuple(images or ()):
        size = size_of(image)
        if size and max(size) > maximum * min(size):
            yield name, f"must have a ratio of at most {maximum}:1, not {size[0]}x{size[1]} pixels"


def size_conflicts(size: str | None, images: object) -> Iterator[tuple[str, str]]:
    """Yield a problem if the size of the source is wanted and there is none."""
    if size == "source" and not images:
        yield "size", "source needs images"


def _source(maximum: int, doc: str, *, any_format: bool = False) -> dict[str, object]:
    rule = SourceRule(max_bytes=maximum, any_format=any_format)
    return field_rule(rule, asset_wire="image_asset_identifier", doc=f"{doc}, or an `AssetIdentifier`.")


IMAGE = _source(MAX_FILE, "The image: PNG, JPEG or WebP of at most 25 MiB")
LARGE_IMAGE = _source(MAX_SOURCE, "The image: PNG, JPEG or WebP of at most 50 MiB")
ANY_IMAGE = _source(MAX_SOURCE, "The image, of at most 50 MiB and a ratio of at most 3:1", any_format=True)
DESCRIBED_IMAGE = _source(MAX_DESCRIBED, "The image: PNG, JPEG or WebP of at most 10 MiB")
MASK = field_rule(
    SourceRule(),
    asset_wire="mask_asset_identifier",
    doc="Mask of the same size in pixels as the image, or an `AssetIdentifier`. Black marks the area to change.",
)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Images(RequestBase):
    """The `images` field of models that also edit."""

    images: Iterable[Source] | None = field(
        default=None,
        converter=as_sources,
        metadata=field_rule(
            SourcesRule(maximum=5),
            asset_wire="image_asset_identifiers",
            doc="At most 5 sources, files of at most 25 MiB or `AssetIdentifier`s: the image to edit, and references.",
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class StyleReferences(RequestBase):
    """The `style_reference_images` field."""

    style_reference_images: Iterable[Source] | None = field(
        default=None,
        converter=as_sources,
        metadata=field_rule(
            SourcesRule(maximum=10),
            asset_wire="style_reference_asset_identifiers",
            doc="Images that define the style, at most 10 files of at most 25 MiB or `AssetIdentifier`s.",
        ),
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class StyleCollections(StyleReferences):
    """The fields of a collection as style reference, and `style_reference_images`."""

    style_reference_collection_id: str | None = field(
        default=None,
        metadata=field_rule(Text(), doc="Collection that defines the style, in place of `style_reference_images`."),
    )
    style_reference_collection_version_id: str | None = field(
        default=None, metadata=field_rule(Text(), doc="Version of that collection.")
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class OneStyle(StyleCodes, StyleCollections):
    """The fields of a style, of which a preset excludes codes and references, and a collection excludes images."""

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        for name in ("style_codes", "style_reference_images"):
            if self.style_preset is not None and getattr(self, name):
                yield "style_preset", f"cannot be combined with {name}"

        if self.style_reference_images and self.style_reference_collection_id is not None:
            yield "style_reference_collection_id", "cannot be combined with style_reference_images"


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Character(RequestBase):
    """The fields of a character reference."""

    character_reference_images: Iterable[Source] | None = field(
        default=None,
        converter=as_sources,
        metadata=field_rule(
            SourcesRule(maximum=1),
            asset_wire="character_reference_asset_identifiers",
            doc="Character to draw: one file of at most 25 MiB, or one `AssetIdentifier`.",
        ),
    )
    character_reference_mask: ImageSource | None = field(
        default=None,
        converter=as_optional_image,
        metadata=field_rule(FileRule(), doc="Mask of the character, of the same size in pixels as its image."),
    )
    character_reference_collection_id: str | None = field(
        default=None,
        metadata=field_rule(Text(), doc="Collection with the character, in place of `character_reference_images`."),
    )
    character_reference_collection_version_id: str | None = field(
        default=None, metadata=field_rule(Text(), doc="Version of that collection.")
    )

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        images = as_tuple(self.character_reference_images or ())
        if (len(images) > 0) == (self.character_reference_collection_id is not None):
            yield "character_reference_images", "needs one image, or character_reference_collection_id, and not both"

        if images:
            yield from mask_conflict("character_reference_mask", images[0], self.character_reference_mask)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class PreciseFields(RequestBase):
    """The mask, the references and the window of a precise edit."""

    image: Source
    mask: ImageSource | None = field(
        default=None,
        converter=as_optional_image,
        metadata=field_rule(
            FileRule(max_bytes=MAX_SOURCE),
            doc="Black and white mask of the same size in pixels as the image. Black marks the area to change.",
        ),
    )
    reference_images: Iterable[Source] | None = field(
        default=None,
        converter=as_sources,
        metadata=field_rule(
            SourcesRule(each=SourceRule(max_bytes=MAX_SOURCE), maximum=4),
            asset_wire="reference_image_asset_identifiers",
            doc="At most 4 references, 3 with a mask: files of at most 50 MiB, or `AssetIdentifier`s if the image is "
            "one.",
        ),
    )

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        references = as_tuple(self.reference_images or ())
        has_stored = isinstance(self.image, AssetIdentifier)
        if self.mask is not None:
            if has_stored:
                yield "mask", "needs a file as image, not an asset"
            else:
                yield from mask_conflict("mask", self.image, self.mask)

            if len(references) > 3:
                yield "reference_images", f"accepts at most 3 with a mask, not {len(references)}"

        if any(isinstance(item, AssetIdentifier) for item in references):
            if self.mask is not None:
                yield "reference_images", "cannot be assets with a mask"
            elif not has_stored:
                yield "reference_images", "can be assets only if image is one"

        yield from self._window_conflicts(getattr(self, "context_window", None), has_stored=has_stored)

    def _window_conflicts(self, window: str | None, *, has_stored: bool) -> Iterator[tuple[str, str]]:
        if window in (None, "none"):
            return

        if has_stored:
            yield "context_window", "needs a file as image, not an asset"
        elif window == "auto" and self.mask is None:
            yield "context_window", "auto needs a mask"
