"""Images that the client brings home."""

from __future__ import annotations

import os
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from ideogram_async.client.wired import Wired
from ideogram_async.files import HasLink

if TYPE_CHECKING:
    from ideogram_async.download.images import ImageStream

__all__ = ["Images"]


class Images(Wired):
    """Collects images by their links. Costs nothing."""

    async def download(self, image: str | HasLink, target: str | os.PathLike[str]) -> Path:
        """Store an image, streamed, verified and all at once; return its path.

        An explicit file path is kept exactly. A folder (one that exists, or a string that ends in `/`) is created, and
        gets `<link id>.<extension>`. The same bytes at the target are adopted, other bytes are left as they are.
        Costs nothing; no failure ever leads to a new generation. A cancellation leaves either nothing or all of it.

        Raises:
            DownloadError: One of its kinds, if the image cannot be collected.
            OSError: If the target cannot be written.
        """
        return await self._exchange.collect(lambda: self._exchange.downloads.download(image, target))

    async def fetch(self, image: str | HasLink) -> bytes:
        """Return an image's bytes, verified. Costs nothing; a cancellation leaves nothing behind.

        Raises:
            DownloadError: One of its kinds, if the image cannot be collected.
        """
        return await self._exchange.collect(lambda: self._exchange.downloads.fetch(image))

    def stream(self, image: str | HasLink) -> AbstractAsyncContextManager[ImageStream]:
        """Open an image to pass it on while it comes: `async with client.stream(image) as stream`.

        Iterating gives chunks of bytes; `stream.content_type` and `stream.length` (in bytes, `None` where the host does
        not tell) are known before the first. Costs nothing; leaving the block, also by a cancellation, ends the
        connection.

        Raises:
            DownloadError: One of its kinds, on opening or while iterating.
        """
        return self._exchange.stream(image)
