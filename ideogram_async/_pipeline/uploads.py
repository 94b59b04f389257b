"""Copies of one-shot files, written before the call takes its slots so that every attempt can read them."""

from __future__ import annotations

import inspect
import os
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from ideogram_async._formats import HEADER_BYTES
from ideogram_async._operations import Request
from ideogram_async._transport.tasks import in_thread, unlisted_context
from ideogram_async.errors import IdeogramError, InvalidRequestError
from ideogram_async.files import FromJob, HasUrl, ImageFile, PillowImage, as_tuple
from ideogram_async.requests._file_rules import ImageRule, file_rule

COPY_CHUNK = 2**18
PNG_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
"""Modes whose brightest value is not known: a conversion may return a black image."""
ANY_IMAGE = ImageRule()
R = TypeVar("R", bound=Request[object])
OpenLink = Callable[[HasUrl], AbstractAsyncContextManager[AsyncIterator[bytes]]]


@unlisted_context
async def spool_uploads(request: R, open_link: OpenLink, *, max_bytes: int) -> AsyncGenerator[R]:
    """Yield the request with files that can be opened again; the copies are deleted at the end.

    Open files are read from their current position and are not closed. Files that can be opened again are kept.

    Raises:
        InvalidRequestError: If a source cannot be read, or has more than `max_bytes` bytes. An archive for a dataset
            has no limit.
    """
    async with AsyncExitStack() as copies:

        async def copy(name: str, file: ImageFile) -> ImageFile:
            rule = file_rule(type(request), name)
            return await copy_file(name, file, open_link, max_bytes=max_bytes, copies=copies, rule=rule)

        yield await map_files(request, copy)


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
    name: str,
    file: ImageFile,
    open_link: OpenLink,
    *,
    max_bytes: int,
    copies: AsyncExitStack,
    rule: ImageRule = ANY_IMAGE,
) -> ImageFile:
    """Return a copy of a one-shot file, or the file itself if it can be opened again.

    Args:
        name: The field.
        file: The file.
        open_link: Opens an image of an earlier answer.
        max_bytes: Maximum number of bytes to copy, unless the rule sets no limit.
        copies: Deletes the copy at its end.
        rule: The rule for each file of the field.

    Raises:
        InvalidRequestError: If the source cannot be read, or is too large.
    """
    if file.is_reopenable:
        return file

    if isinstance(file.source, FromJob):
        raise InvalidRequestError([(name, f"is an image of the job {file.source.id!r}; send it in a batch")])

    max_bytes = rule.limit(max_bytes)
    # Not in a thread: cancelled there, it would leave an untracked file.
    path = _new_file()
    copies.callback(path.unlink, missing_ok=True)
    try:
        head = await _fill(path, file, open_link, max_bytes, rule)
    except _TooLargeError:
        size = f"{max_bytes} bytes{' as PNG' if isinstance(file.source, PillowImage) else ''}"
        setting = " (max_upload_bytes)" if rule.max_bytes is None else ""
        raise InvalidRequestError([(name, f"has more than {size}{setting}")]) from None
    except (OSError, ValueError, IdeogramError) as error:
        raise InvalidRequestError([(name, f"cannot be read: {error}")]) from error

    # The copy's own name means nothing to the service.
    return attrs.evolve(file, source=path, name=file.file_name(head))


def _has_file(value: object) -> bool:
    # A shortcut for most values: a long batch calls this for each field.
    if value is None or type(value) is str:
        return False

    return any(isinstance(item, ImageFile) for item in as_tuple(value))


async def _fill(path: Path, file: ImageFile, open_link: OpenLink, max_bytes: int, rule: ImageRule) -> bytes:
    """Write the copy and return its first bytes."""
    head, size = b"", 0

    async def add(chunk: bytes) -> None:
        nonlocal head, size
        head = head if len(head) >= HEADER_BYTES else (head + chunk)[:HEADER_BYTES]
        size += len(chunk)
        if size > max_bytes and not rule.is_unlimited(file, head):
            raise _TooLargeError

        await in_thread(partial(_append, path, chunk))

    if isinstance(file.source, PillowImage):
        await add(await in_thread(partial(_encode_png, file.source)))
        return head

    # Not an async generator, which the end of the event loop would close while a batch runs it.
    if isinstance(file.source, HasUrl):
        async with open_link(file.source) as stream:
            async for chunk in stream:
                await add(chunk)
    else:
        read = cast(Any, file.source).read
        while chunk := await _read(read):
            await add(chunk)

    return head


_encoding = threading.Lock()


def _encode_png(image: PillowImage) -> bytes:
    """Return a Pillow image as PNG.

    Raises:
        ValueError: If it cannot be encoded.
    """
    # Pillow reads an image at its first use, which is not safe in two threads.
    with _encoding:
        try:
            if image.mode in DEEP_MODES:
                raise ValueError(f"the mode {image.mode} has more than 8 bits; use image.convert('L') or similar")

            if image.mode not in PNG_MODES:
                image = image.convert("RGBA" if image.mode.lower().endswith("a") else "RGB")

            output = BytesIO()
            image.save(output, "PNG")
        except Exception as error:
            # A damaged file raises an error of nearly any type.
            raise ValueError(str(error) or type(error).__name__) from error

    return output.getvalue()


def _append(path: Path, chunk: bytes) -> None:
    # Opened for each chunk, so that many slow sources hold no files; never created again after it was deleted.
    with path.open("r+b") as copy:
        copy.seek(0, os.SEEK_END)
        copy.write(chunk)


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
