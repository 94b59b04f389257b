"""Copies of one-shot files, written before the call takes its slots so that every attempt can read them."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from ideogram_async._operations import Request
from ideogram_async._transport.tasks import in_thread
from ideogram_async.errors import IdeogramError, InvalidRequestError
from ideogram_async.files import FromJob, HasUrl, ImageFile, as_tuple

COPY_CHUNK = 2**18
R = TypeVar("R", bound=Request[object])
OpenLink = Callable[[HasUrl], AbstractAsyncContextManager[AsyncIterator[bytes]]]


@asynccontextmanager
async def spool_uploads(request: R, open_link: OpenLink, *, max_bytes: int) -> AsyncGenerator[R]:
    """Yield the request with files that can be opened again; the copies are deleted at the end.

    Open files are read from their current position and are not closed. Files that can be opened again are kept.

    Raises:
        InvalidRequestError: If a source cannot be read, or has more than `max_bytes` bytes.
    """
    async with AsyncExitStack() as copies:
        yield await map_files(
            request, lambda name, file: copy_file(name, file, open_link, max_bytes=max_bytes, copies=copies)
        )


async def map_files(request: R, replace: Callable[[str, ImageFile], Awaitable[ImageFile]]) -> R:
    """Return a request with each file replaced, or the request itself if none was.

    Args:
        request: The request.
        replace: Returns the replacement of a field's file, or the file itself to keep it.
    """
    changes: dict[str, ImageFile | tuple[ImageFile, ...]] = {}
    for name, value in vars(request).items():
        if not _has_file(value):
            continue

        items = as_tuple(value)
        files = tuple([await replace(name, item) if isinstance(item, ImageFile) else item for item in items])
        if any(file is not item for file, item in zip(files, items, strict=True)):
            changes[name] = files if isinstance(value, tuple) else files[0]

    return cast(R, attrs.evolve(cast(Any, request), **changes)) if changes else request


def has_files(request: Request[object]) -> bool:
    """Return whether a request sends files, so that checking it reads a disk."""
    return any(map(_has_file, vars(request).values()))


async def copy_file(
    name: str, file: ImageFile, open_link: OpenLink, *, max_bytes: int, copies: AsyncExitStack
) -> ImageFile:
    """Return a copy of a one-shot file, or the file itself if it can be opened again.

    Args:
        name: The field.
        file: The file.
        open_link: Opens an image of an earlier answer.
        max_bytes: Maximum number of bytes to copy.
        copies: Deletes the copy at its end.

    Raises:
        InvalidRequestError: If the source cannot be read, or is too large.
    """
    if file.is_reopenable:
        return file

    if isinstance(file.source, FromJob):
        raise InvalidRequestError([(name, f"is an image of the job {file.source.id!r}; send it in a batch")])

    # Not in a thread: cancelled there, it would leave an untracked file.
    path = _new_file()
    copies.callback(path.unlink, missing_ok=True)
    try:
        head = await _fill(path, file, open_link, max_bytes)
    except _TooLargeError:
        raise InvalidRequestError([(name, f"has more than {max_bytes} bytes (max_upload_bytes)")]) from None
    except (OSError, ValueError, IdeogramError) as error:
        raise InvalidRequestError([(name, f"cannot be read: {error}")]) from error

    # The copy's own name means nothing to the service.
    return attrs.evolve(file, source=path, name=file.file_name(head))


def _has_file(value: object) -> bool:
    # A shortcut for most values: a long batch calls this for each field.
    if value is None or type(value) is str:
        return False

    return any(isinstance(item, ImageFile) for item in as_tuple(value))


async def _fill(path: Path, file: ImageFile, open_link: OpenLink, max_bytes: int) -> bytes:
    """Write the copy and return its first bytes."""
    head, size = b"", 0
    async for chunk in _chunks(file, open_link):
        head = head or chunk
        size += len(chunk)
        if size > max_bytes:
            raise _TooLargeError

        await in_thread(partial(_append, path, chunk))

    return head


def _append(path: Path, chunk: bytes) -> None:
    # Opened for each chunk, so that many slow sources hold no files; never created again after it was deleted.
    with path.open("r+b") as copy:
        copy.seek(0, os.SEEK_END)
        copy.write(chunk)


async def _chunks(file: ImageFile, open_link: OpenLink) -> AsyncIterator[bytes]:
    source = file.source
    if isinstance(source, HasUrl):
        async with open_link(source) as stream:
            async for chunk in stream:
                yield chunk

        return

    read = cast(Any, source).read
    while chunk := await _read(read):
        yield chunk


async def _read(read: Callable[[int], Any]) -> bytes:
    # The coroutine of an async `read` belongs to this loop; a plain `read` blocks, so it runs in a thread.
    chunk = read(COPY_CHUNK) if inspect.iscoroutinefunction(read) else await in_thread(partial(read, COPY_CHUNK))
    chunk = await chunk if inspect.isawaitable(chunk) else chunk
    if not isinstance(chunk, bytes):
        raise ValueError(f"read() returned {type(chunk).__name__}; open the file in binary mode")

    return chunk


def _new_file() -> Path:
    handle, name = tempfile.mkstemp(prefix="ideogram_async-")
    os.close(handle)
    return Path(name)


class _TooLargeError(Exception):
    pass
