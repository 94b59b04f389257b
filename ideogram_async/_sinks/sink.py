"""Protocol of a sink, and the values that pass through it."""

# Evaluated annotations: `typing.get_type_hints` works on the classes and on the initializers that attrs generates.

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from attrs import field, frozen


@frozen(kw_only=True)
class Facts:
    """Facts about an image before its bytes arrive."""

    content_type: str
    """Media type, from the image's first bytes."""
    length: int | None = None
    """Size in bytes, if the image host declares it."""
    max_bytes: int = 64 * 2**20
    """Size in bytes that the image never exceeds."""


@frozen(kw_only=True)
class Stored:
    """An image in a sink."""

    name: str
    """Name in the sink, with its extension."""
    uri: str
    """Its location, such as `s3://bucket/prefix/name` or `file:///folder/name`."""
    sha256: str
    size: int
    """Bytes."""
    etag: str | None = None
    """The object store's entity tag of this content."""
    content_type: str = "application/octet-stream"
    _adopted: bool = field(default=False, repr=False, eq=False, alias="_adopted")
    """Whether the same bytes were there before."""


@runtime_checkable
class Sink(Protocol):
    """A place for images: create-only, by name."""

    @property
    def uri(self) -> str:
        """The location of the images; the same for each sink of the same place."""
        ...

    async def put(self, name: str, image: AsyncIterator[bytes], facts: Facts, /) -> Stored:
        """Store an image under a name that is free, or has the same bytes already.

        An error of the iteration means that the image is incomplete: nothing is stored, and the error is raised.

        Raises:
            FileConflictError: If the name is taken by other bytes, which are not overwritten.
            OSError: If the image cannot be stored.
        """
        ...

    async def head(self, name: str, /) -> Stored | None:
        """Return the image with that name, or `None`.

        Raises:
            OSError: If the sink cannot be read.
        """
        ...

    def open(self, name: str, /) -> AsyncIterator[bytes]:
        """Return the bytes of an image, in chunks. Iterating raises `OSError` if it is missing or cannot be read."""
        ...

    async def link(self, name: str, lifetime: float, /) -> str:
        """Return a URL that needs no credentials, and is valid for that many seconds.

        Raises:
            OSError: If the sink has no such links.
            ValueError: If the lifetime is out of range.
        """
        ...


def is_adopted(stored: Stored) -> bool:
    """Return whether the same bytes were in the sink before."""
    return stored._adopted  # pyright: ignore[reportPrivateUsage]


def check_name(name: str) -> str:
    """Return the name of an image, if it does not lead elsewhere.

    Raises:
        ValueError: If a part between two `/` is empty, `.` or `..`, or has a backslash, which Azure takes for `/`.
    """
    if "\\" in name or {"", ".", ".."} & {*name.split("/")}:
        raise ValueError(f"name must be a file name such as 'order-4711' or 'orders/4711', not {name!r}")

    return name
