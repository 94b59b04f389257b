"""Store of the files that a batch sends: their paths, and copies of those that are not paths."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
from attrs import frozen

from ideogram_async._download.atomic import atomic_write
from ideogram_async._download.disk import make_folder, sync_folder
from ideogram_async._ledger.serialization import FileDescription, digest
from ideogram_async._operations import Request
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.call import Call, Send
from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import FromJob, ImageFile, as_tuple
from ideogram_async.models.base import Reply


@frozen
class RecordedFile:
    """A file to send, with the hash that the journal has for it."""

    field: str
    file: ImageFile
    sha256: str

    def verify(self) -> None:
        """Verify that the file still has the content that was recorded. Blocks.

        Raises:
            InvalidRequestError: If it has changed or cannot be read.
        """
        name = self.file.path or self.file.name or "the file"
        try:
            if digest(self.file) == self.sha256:
                return
        except OSError as error:
            problem = f"{name} cannot be read: {error.strerror or error}"
        else:
            problem = f"{name} changed after the job was recorded"

        raise InvalidRequestError([(self.field, problem)], subject="input")


def recorded_files(request: Request[object], serialized: str) -> list[RecordedFile]:
    """Return the files of a request, other than images of earlier jobs, with the hashes in its serialized form."""
    fields = json.loads(serialized)["fields"]
    files: list[RecordedFile] = []
    for field, value in vars(request).items():
        descriptions = fields.get(field)
        for position, item in enumerate(as_tuple(value)):
            if isinstance(item, ImageFile) and not isinstance(item.source, FromJob):
                description = descriptions[position] if isinstance(descriptions, list) else descriptions
                files.append(RecordedFile(field, item, description["file"]["sha256"]))

    return files


def verifying(send: Send, files: Sequence[RecordedFile]) -> Send:
    """Wrap a layer so that the files are verified before each attempt. A later change is not noticed."""

    def verify_all() -> None:
        for file in files:
            file.verify()

    async def send_verified(call: Call) -> Reply:
        await in_thread(verify_all)
        return await send(call)

    return send_verified if files else send


class InputStore:
    """Copies of the files that are not paths, named by their hash. A file at a path is not copied.

    Args:
        folder: The folder of the copies.
        before_copy: Called before a file is copied. It raises an error if the folder was replaced.
    """

    def __init__(self, folder: Path, before_copy: Callable[[], None] = lambda: None) -> None:
        self._folder = folder
        self._before_copy = before_copy

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
            content = digest(file)
        except OSError as error:
            raise InvalidRequestError([(str(path), f"cannot be read: {error.strerror or error}")]) from None

        location = {"path": str(path.absolute()), "size": status.st_size, "modified": status.st_mtime_ns}
        return {**description, **location, "sha256": content}

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

    def _path_of(self, description: FileDescription) -> Path:
        return Path(description.get("path") or self._folder / description["sha256"])

    def _copy(self, content: bytes) -> Path:
        self._before_copy()
        target = self._folder / hashlib.sha256(content).hexdigest()
        if not (target.exists() and digest(ImageFile(target)) == target.name):
            make_folder(self._folder, mode=0o700)
            with atomic_write(target, mode=0o600) as copy:
                copy.write(content)

            sync_folder(self._folder)

        return target
