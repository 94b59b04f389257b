"""Files that can be read once only are copied before the call takes its place, so that every attempt can read them."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from ideogram_async._operations import Request
from ideogram_async._transport.tasks import in_thread
from ideogram_async.errors import IdeogramError, InvalidRequestError
from ideogram_async.files import FromJob, HasUrl, ImageFile, as_tuple, is_one_shot

CHUNK = 2**18

R = TypeVar("R", bound=Request[Any])

OpenLink = Callable[[HasUrl], AbstractAsyncContextManager[AsyncIterator[bytes]]]


@asynccontextmanager
async def spooled(request: R, open_link: OpenLink, *, max_bytes: int) -> AsyncGenerator[R]:
    """Yield the request with files that can be opened again; the copies are deleted at the end.

    Open files are read from where they stand and are not closed. What can be opened again is left alone.

    Raises:
        InvalidRequestError: If a source cannot be read, or has more than `max_bytes` bytes.
    """
    async with AsyncExitStack() as copies:
        changes: dict[str, Any] = {}
        for name, value in _once_only(request):
            files = value if isinstance(value, tuple) else (value,)
            made = [await _copy(name, file, open_link, max_bytes, copies) for file in files]
            changes[name] = tuple(made) if isinstance(value, tuple) else made[0]

        yield cast(R, attrs.evolve(cast(Any, request), **changes)) if changes else request


def has_files(request: Request[Any]) -> bool:
    """Say whether a request sends files, so that a disk is read for it."""
    for value in vars(request).values():
        # Most are neither, and a long batch asks very often.
        if value is None or type(value) is str:
            continue

        if any(isinstance(item, ImageFile) for item in as_tuple(value)):
            return True

    return False


def _once_only(request: Request[Any]) -> list[tuple[str, Any]]:
    found = [(field.name, getattr(request, field.name)) for field in attrs.fields(cast(Any, type(request)))]
    return [(name, value) for name, value in found if any(map(is_one_shot, as_tuple(value)))]


async def _copy(name: str, file: ImageFile, open_link: OpenLink, max_bytes: int, copies: AsyncExitStack) -> ImageFile:
    if file.is_reopenable:
        return file

    if isinstance(file.source, FromJob):
        raise InvalidRequestError([(name, f"is made by the job {file.source.id!r}, which only a batch knows")])

    # Not in a thread: cancelled there, it would leave a file that nobody knows.
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


async def _fill(path: Path, file: ImageFile, open_link: OpenLink, max_bytes: int) -> bytes:
    """Write the copy, and return its first bytes."""
    head, size = b"", 0
    async for chunk in _chunks(file, open_link):
        head = head or chunk
        size += len(chunk)
        if size > max_bytes:
            raise _TooLargeError

        await in_thread(partial(_append, path, chunk))

    return head


def _append(path: Path, chunk: bytes) -> None:
    # Opened for each chunk, so that many slow sources hold no files; never created anew after it was deleted.
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
    # An async `read` is called here, for its coroutine belongs to this loop; a plain one blocks, so in a thread.
    chunk = read(CHUNK) if inspect.iscoroutinefunction(read) else await in_thread(partial(read, CHUNK))
    chunk = await chunk if inspect.isawaitable(chunk) else chunk
    if not isinstance(chunk, bytes):
        raise ValueError(f"read() gave {type(chunk).__name__}; open the file in binary mode")

    return chunk


def _new_file() -> Path:
    handle, name = tempfile.mkstemp(prefix="ideogram_async-")
    os.close(handle)
    return Path(name)


class _TooLargeError(Exception):
    pass
