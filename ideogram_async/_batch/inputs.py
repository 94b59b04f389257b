"""Store of the files that a batch sends: their paths, and copies of those that are not paths."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from ideogram_async._download.atomic import atomic_write
from ideogram_async._download.disk import make_folder, sync_folder
from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import ImageFile

FileDescription: TypeAlias = Mapping[str, Any]
"""A file as the journal records it: a path with size, modification time and hash, or the hash of a copy."""


class InputStore:
    """Copies of the files that are not paths, named by their hash. A file at a path is not copied."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def describe(self, file: ImageFile) -> FileDescription:
        """Return the description of a file and copy the file if it is not a path.

        Raises:
            InvalidRequestError: If a path cannot be read.
            OSError: If the copy cannot be written.
        """
        path = file.path
        if path is None:
            file = self.store(file)
            path = file.path or self._folder

        description = {"name": file.name, "content_type": file.content_type}
        if path.parent == self._folder:
            return {**description, "sha256": path.name}

        try:
            status = path.stat()
            digest = _digest(path)
        except OSError as error:
            raise InvalidRequestError([(str(path), f"cannot be read: {error.strerror or error}")]) from None

        location = {"path": str(path.absolute()), "size": status.st_size, "modified": status.st_mtime_ns}
        return {**description, **location, "sha256": digest}

    def store(self, file: ImageFile) -> ImageFile:
        """Copy a file that can be opened again, and return the copy.

        Raises:
            OSError: If it cannot be read or copied.
        """
        with file.open() as opened:
            content = opened.read()

        # The copy is named by its hash, which means nothing to the service.
        return attrs.evolve(file, source=self._copy(content), name=file.file_name(content))

    def load(self, description: FileDescription) -> ImageFile:
        """Return the file of a description."""
        return ImageFile(
            self._path_of(description), name=description["name"], content_type=description.get("content_type")
        )

    def verify_all(self, serialized: str) -> None:
        """Verify every file of a serialized request.

        Raises:
            InvalidRequestError: If a file has changed since it was recorded, or cannot be read.
        """
        for description in _descriptions(json.loads(serialized)):
            self.verify(description)

    def verify(self, description: FileDescription) -> None:
        """Verify that a file still has the content that was recorded.

        Raises:
            InvalidRequestError: If it has changed or cannot be read.
        """
        path = self._path_of(description)
        try:
            status = path.stat()
            is_same = (status.st_size, status.st_mtime_ns) == (description.get("size"), description.get("modified"))
            if is_same or _digest(path) == description["sha256"]:
                return
        except OSError as error:
            raise InvalidRequestError([(str(path), f"cannot be read: {error.strerror}")], subject="input") from None

        raise InvalidRequestError([(str(path), "changed after the job was recorded")], subject="input")

    def _path_of(self, description: FileDescription) -> Path:
        return Path(description.get("path") or self._folder / description["sha256"])

    def _copy(self, content: bytes) -> Path:
        target = self._folder / hashlib.sha256(content).hexdigest()
        if not target.exists():
            make_folder(self._folder, mode=0o700)
            with atomic_write(target, mode=0o600) as copy:
                copy.write(content)

            sync_folder(self._folder)

        return target


def _descriptions(value: Any) -> Iterator[FileDescription]:
    match value:
        case {"file": dict(description)}:
            yield description
        case dict():
            for item in value.values():
                yield from _descriptions(item)
        case list():
            for item in value:
                yield from _descriptions(item)
        case _:
            pass


def _digest(path: Path) -> str:
    with path.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
