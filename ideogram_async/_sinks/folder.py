"""Sink of a local folder.

part file ─▶ fsync ─▶ hard link ─▶ fsync of the folder
"""

# Evaluated annotations: `typing.get_type_hints` works on the class.

import hashlib
import io
import os
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path

from anyio import CancelScope

from ideogram_async._download.atomic import CommittedFile, PartFile, open_folder
from ideogram_async._download.disk import make_folder
from ideogram_async._download.held import HeldFolder
from ideogram_async._download.incoming import reject
from ideogram_async._formats import HEADER_BYTES, sniff
from ideogram_async._sinks.sink import Facts, Stored, check_name
from ideogram_async._transport.tasks import in_thread
from ideogram_async.errors import DownloadError

WRITE_BYTES = 1 << 21
"""Bytes buffered before a thread writes them: switching to a thread costs as much as writing some 100 KB."""
READ_BYTES = 1 << 18


class FolderSink:
    """A folder. An image appears complete or not at all, and is durable when `put` returns.

    A name with `/` is a file in a subfolder.

    Args:
        folder: The folder. It is created when it is first needed.
    """

    def __init__(self, folder: "str | os.PathLike[str] | HeldFolder") -> None:
        self._folder = folder if isinstance(folder, HeldFolder) else Path(folder)

    def __repr__(self) -> str:
        return f"FolderSink({str(self.path)!r})"

    @property
    def path(self) -> Path:
        """The folder."""
        return self._folder.path if isinstance(self._folder, HeldFolder) else self._folder

    @property
    def uri(self) -> str:
        """The folder as a `file` URI."""
        return self.path.absolute().as_uri()

    async def put(self, name: str, image: AsyncIterator[bytes], facts: Facts, /) -> Stored:
        """Store an image; see `Sink.put`. A cancellation leaves nothing, or the complete image."""
        folder, file_name = self._locate(name)
        part = PartFile(folder, file_name)
        is_taken_over = False
        block: list[bytes] = []
        size = 0
        try:
            async for chunk in image:
                block.append(chunk)
                size += len(chunk)
                if size >= WRITE_BYTES:
                    written, block, size = block, [], 0
                    await in_thread(partial(_write, part, folder, written))

            last, block = block, []
            committed = await in_thread(partial(_commit, part, folder, file_name, last))
        except DownloadError:
            is_taken_over = reject(image, block, part)
            raise
        finally:
            if not (part.is_over or is_taken_over):
                with CancelScope(shield=True):
                    await in_thread(part.discard)

        return self._stored(name, committed, facts.content_type)

    async def head(self, name: str, /) -> Stored | None:
        """Return the image with that name, or `None`. Reads the file; see `Sink.head`."""
        return await in_thread(partial(self._read_facts, name))

    async def open(self, name: str, /) -> AsyncIterator[bytes]:
        """Yield the bytes of an image; see `Sink.open`."""
        folder, file_name = self._locate(name)
        # Opened for each chunk: an iteration that is not finished leaves no open file.
        position = 0
        while chunk := await in_thread(partial(_read, folder, file_name, position)):
            yield chunk
            position += len(chunk)

    async def link(self, name: str, lifetime: float, /) -> str:
        """Return the `file` URI of an image, which does not expire."""
        return self._uri_of(name)

    def contains(self, name: str) -> bool:
        """Return whether the folder has an entry with that name. Blocks for a lookup.

        Raises:
            OSError: If the folder cannot be read.
        """
        folder, file_name = self._locate(name)
        return folder.contains(file_name) if isinstance(folder, HeldFolder) else os.path.lexists(folder / file_name)

    def _locate(self, name: str) -> tuple[Path | HeldFolder, str]:
        *parents, file_name = check_name(name).split("/")
        return (self.path.joinpath(*parents) if parents else self._folder), file_name

    def _uri_of(self, name: str) -> str:
        return self.path.absolute().joinpath(name).as_uri()

    def _read_facts(self, name: str) -> Stored | None:
        folder, file_name = self._locate(name)
        try:
            with _open(folder, file_name) as file:
                image_format = sniff(file.read(HEADER_BYTES))
                file.seek(0)
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = file.tell()
        except FileNotFoundError:
            return None

        content_type = image_format.content_type if image_format else "application/octet-stream"
        return Stored(name=name, uri=self._uri_of(name), sha256=digest, size=size, content_type=content_type)

    def _stored(self, name: str, file: CommittedFile, content_type: str) -> Stored:
        return Stored(
            name=name,
            uri=self._uri_of(name),
            sha256=file.sha256,
            size=file.size,
            content_type=content_type,
            _adopted=file.already_present,
        )


def _write(part: PartFile, folder: Path | HeldFolder, block: Sequence[bytes]) -> None:
    _create(part, folder)
    part.write(block)


def _commit(part: PartFile, folder: Path | HeldFolder, name: str, last: Sequence[bytes]) -> CommittedFile:
    _create(part, folder)
    return part.commit(name, last)


def _create(part: PartFile, folder: Path | HeldFolder) -> None:
    """Create the folder before the first write."""
    if not part.size and isinstance(folder, Path):
        make_folder(folder)


def _read(folder: Path | HeldFolder, name: str, position: int) -> bytes:
    with _open(folder, name) as file:
        file.seek(position)
        return file.read(READ_BYTES)


def _open(folder: Path | HeldFolder, name: str) -> io.BufferedReader:
    """Open a file of a folder, never through a symbolic link and never a pipe."""
    folder_fd = open_folder(folder)
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder_fd)
    finally:
        os.close(folder_fd)

    return os.fdopen(fd, "rb")
