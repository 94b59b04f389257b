"""The files that a batch sends: where they are, and what they held when they were noted."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs

from ideogram_async._download.atomic import atomic_write
from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import ImageFile

HEAD = 64


class Inputs:
    """Copies of what was given as bytes, under their hash; what was given as a path stays where it is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, file: ImageFile) -> dict[str, Any]:
        """Note a file, and copy it if it is no path.

        Raises:
            InvalidRequestError: If a path cannot be read.
            OSError: If the copy cannot be written.
        """
        path = file.path
        if path is None:
            file = self.adopt(file)
            path = file.path or self._folder

        told = {"name": file.name, "content_type": file.content_type}
        if path.parent == self._folder:
            return {**told, "sha256": path.name}

        try:
            facts = path.stat()
            digest = _digest(path)
        except OSError as error:
            raise InvalidRequestError([(str(path), f"cannot be read: {error.strerror or error}")]) from None

        place = {"path": str(path.absolute()), "size": facts.st_size, "modified": facts.st_mtime_ns}
        return {**told, **place, "sha256": digest}

    def adopt(self, file: ImageFile) -> ImageFile:
        """Copy a file that can be opened again, and return it as it lies here.

        Raises:
            OSError: If it cannot be read or copied.
        """
        with file.open() as opened:
            content = opened.read()

        # The copy's own name is its hash, which would mean nothing to the service.
        return attrs.evolve(file, source=self._copy(content), name=file.file_name(content[:HEAD]))

    def find(self, told: dict[str, Any]) -> ImageFile:
        """Return a file that was noted."""
        path = told.get("path") or self._folder / told["sha256"]
        return ImageFile(path, name=told["name"], content_type=told.get("content_type"))

    def check_all(self, packed: str) -> None:
        """Check every file of a request that was written down."""
        for told in _files_in(json.loads(packed)):
            self.check(told)

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

    def _copy(self, content: bytes) -> Path:
        digest = hashlib.sha256(content).hexdigest()
        target = self._folder / digest
        if not target.exists():
            self._folder.mkdir(mode=0o700, exist_ok=True)
            with atomic_write(target, mode=0o600) as copy:
                copy.write(content)

        return target


def _files_in(value: Any) -> Iterator[dict[str, Any]]:
    match value:
        case {"file": dict(told)}:
            yield told
        case dict():
            for item in value.values():
                yield from _files_in(item)
        case list():
            for item in value:
                yield from _files_in(item)
        case _:
            pass


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
