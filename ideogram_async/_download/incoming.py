"""Bytes of an image between its download and a sink."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from attrs import define, field

from ideogram_async._download.atomic import PartFile
from ideogram_async._download.stream import ImageStream


@define
class Received:
    """Bytes of one attempt that are not stored: those of a part file, and those after them."""

    part: PartFile | None = None
    rest: list[bytes] = field(factory=list[bytes])

    def discard(self) -> None:
        """Remove the part file. Blocks if there is one."""
        if self.part is not None:
            self.part.discard()


class Incoming:
    """An image on its way to a sink, in one attempt to download it.

    Args:
        stream: The image.
        received: Receives the bytes if they are not accepted.
    """

    def __init__(self, stream: ImageStream, received: Received) -> None:
        self.is_complete = False
        """Whether all bytes have arrived, and are an image."""
        self._stream = stream
        self._received = received

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._stream)
        except StopAsyncIteration:
            self.is_complete = True
            raise

    def reject(self, block: Sequence[bytes], part: PartFile | None) -> None:
        """Take over what a sink does not store."""
        self._received.part = part
        self._received.rest[:0] = block


def reject(image: AsyncIterator[bytes], block: Sequence[bytes], part: PartFile | None = None) -> bool:
    """Return what is not stored of an image to its download, if it comes from one.

    Args:
        image: The image that was passed to the sink.
        block: Its last bytes.
        part: The file of the bytes before them.

    Returns:
        Whether the download discards the part file.
    """
    if isinstance(image, Incoming):
        image.reject(block, part)
        return True

    return False
