"""Where a downloaded image goes, and how its file is called."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from ideogram_async.download.disk import check_folder, make_folder
from ideogram_async.download.links import link_id
from ideogram_async.formats import Format

__all__ = ["Target"]


@frozen
class Target:
    """Where an image goes."""

    folder: Path
    name: str
    """Without its extension, where `is_stem`."""
    is_stem: bool = True
    """Whether the extension is told by the image's first bytes."""

    @classmethod
    def of(cls, target: str | os.PathLike[str], link: str) -> Target:
        """Read what a caller gave; blocks. A folder is created, and its image named after the link.

        Raises:
            OSError: If the folder cannot be created, or is nowhere to write.
        """
        path = Path(target)
        is_folder = os.fspath(target).endswith("/") or path.is_dir()
        if is_folder:
            make_folder(path)

        made = cls(path, link_id(link)) if is_folder else cls(path.parent, path.name, is_stem=False)
        check_folder(made.folder)
        return made

    def file_name(self, kind: Format) -> str:
        """Return the file's name, for an image of that format."""
        return f"{self.name}.{kind.extension}" if self.is_stem else self.name
