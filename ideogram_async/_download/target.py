"""Target of a download: a sink, and a name in it."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from attrs import frozen

from ideogram_async._download.disk import check_folder, make_folder
from ideogram_async._download.hosts import link_id
from ideogram_async._formats import FORMATS, Format
from ideogram_async._sinks.folder import FolderSink
from ideogram_async._sinks.sink import Sink, Stored


@frozen
class DownloadTarget:
    """A sink, and the name of an image in it."""

    sink: Sink
    name: str
    """Without the extension if `is_stem`."""
    is_stem: bool = True
    """Whether the extension follows from the image's format."""

    @classmethod
    def of(cls, target: str | os.PathLike[str], link: str) -> DownloadTarget:
        """Convert a caller's path. Creates a folder, in which the image is named after the link. Blocks.

        Raises:
            OSError: If the folder cannot be created or written.
        """
        path = Path(target)
        is_folder = os.fspath(target).endswith("/") or path.is_dir()
        if is_folder:
            make_folder(path)

        folder = path if is_folder else path.parent
        check_folder(folder)
        sink = FolderSink(folder)
        return cls(sink, link_id(link)) if is_folder else cls(sink, path.name, is_stem=False)

    def file_name(self, image_format: Format) -> str:
        """Return the file name of an image of that format."""
        return f"{self.name}.{image_format.extension}" if self.is_stem else self.name

    def path_of(self, stored: Stored) -> Path | None:
        """Return the file of a stored image, if the sink is a folder."""
        return self.sink.path / stored.name if isinstance(self.sink, FolderSink) else None

    async def find_taken(self) -> str | None:
        """Return the name of an existing image that this one may be stored as, in one of the formats."""
        names = list(map(self.file_name, FORMATS))
        if isinstance(self.sink, FolderSink):
            # Not in a thread, which takes longer than the few lookups.
            return next(filter(self.sink.contains, names), None)

        taken = await asyncio.gather(*map(self.sink.head, names))
        return next((stored.name for stored in taken if stored is not None), None)
