"""The files that a batch sends: where they are, and what they held when they were noted."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import ImageFile

__all__ = ["Inputs"]

CHUNK = 2**20


class Inputs:
    """Copies of what was given as bytes, under their hash; what was given as a path stays where it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, file: ImageFile) -> dict[str, Any]:
        """Note a file, and copy it if it is no path.

        Raises:
            OSError: If it cannot be read or copied.
        """
        path = file.path
        if path is None:
            return {"sha256": self._copy(file), "name": file.name}

        facts = path.stat()
        return {
            "path": str(path.absolute()),
            "name": file.name,
            "size": facts.st_size,
            "modified": facts.st_mtime_ns,
            "sha256": _digest(path),
        }

    def find(self, told: dict[str, Any]) -> ImageFile:
        """Return a file that was noted."""
        path = told.get("path") or self._folder / told["sha256"]
        return ImageFile(path, name=told["name"])

    def check(self, told: dict[str, Any]) -> None:
        """Make sure that a file still holds what it held when it was noted.

        Raises:
            InvalidRequestError: If it has changed or gone: sending it would send something else.
        """
        path = Path(told.get("path") or self._folder / told["sha256"])
        try:
            facts = path.stat()
            is_same = (facts.st_size, facts.st_mtime_ns) == (told.get("size"), told.get("modified"))
            if is_same or _digest(path) == told["sha256"]:
                return
        except OSError as error:
            raise InvalidRequestError([(str(path), f"cannot be read: {error.strerror}")], subject="input") from None

        raise InvalidRequestError([(str(path), "has changed since the job was noted")], subject="input")

    def _copy(self, file: ImageFile) -> str:
        with file.open() as opened:
            content = opened.read()

        digest = hashlib.sha256(content).hexdigest()
        target = self._folder / digest
        if not target.exists():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            part = target.with_suffix(f".{os.getpid()}.part")
            part.touch(mode=0o600)
            with part.open("wb") as copy:
                copy.write(content)
                copy.flush()
                os.fsync(copy.fileno())

            part.replace(target)

        return digest


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
