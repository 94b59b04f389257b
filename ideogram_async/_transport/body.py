"""The body of one attempt, rebuilt each time: neither an open file nor aiohttp's form can be sent twice."""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator
from functools import partial
from typing import BinaryIO, Self

import aiohttp
from aiohttp.payload import BytesPayload

from ideogram_async._formats import HEADER_BYTES, sniff
from ideogram_async._transport.tasks import in_thread, unlisted_context
from ideogram_async._wire.call import Call, Part
from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import ImageFile

CONTENT_TYPES = {".txt": "text/plain", ".zip": "application/zip"}


@unlisted_context
async def open_body(call: Call) -> AsyncGenerator[aiohttp.FormData | BytesPayload | None]:
    """Open the files of a call and close them when the attempt ends.

    Raises:
        InvalidRequestError: If a file cannot be opened; nothing has been sent.
    """
    if call.json is not None:
        yield BytesPayload(call.json, content_type="application/json")
        return

    if call.form is None:
        yield None
        return

    with _OpenFiles() as files:
        # Names are not percent-encoded, because the captions of a dataset match their images by name.
        form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
        for part in call.form:
            await _add(form, part, files)

        yield form if files else await _serialize(form)


async def _serialize(form: aiohttp.FormData) -> BytesPayload:
    """Serialize a form without files: aiohttp would send each of its lines separately."""
    writer = form()
    return BytesPayload(await writer.as_bytes(), content_type=writer.content_type)


async def _add(form: aiohttp.FormData, part: Part, files: _OpenFiles) -> None:
    field, file = _escape_line_breaks(part.name), part.body
    if isinstance(file, str):
        form.add_field(field, file, content_type=part.content_type)
        return

    try:
        handle, head = await in_thread(partial(files.open, file))
    except OSError as error:
        raise InvalidRequestError([(part.name, f"cannot be read: {error.strerror or error}: {file.path}")]) from None

    name = file.file_name(head)
    content_type = file.content_type or _content_type_of(name, head)
    form.add_field(field, handle, filename=_escape_line_breaks(name), content_type=content_type)


class _OpenFiles:
    """The open files of an attempt. A file that a thread opens after a cancellation is closed, too."""

    def __init__(self) -> None:
        self._opened: list[BinaryIO] | None = []
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            opened, self._opened = self._opened or [], None

        for handle in opened:
            handle.close()

    def __bool__(self) -> bool:
        return bool(self._opened)

    def open(self, file: ImageFile) -> tuple[BinaryIO, bytes]:
        """Open a file, in a thread, and read its first bytes."""
        handle = file.open()
        with self._lock:
            if self._opened is None:
                handle.close()
            else:
                self._opened.append(handle)

        head = handle.read(HEADER_BYTES)
        handle.seek(0)
        return handle, head


def _content_type_of(name: str, head: bytes) -> str:
    if image := sniff(head):
        return image.content_type

    by_suffix = (content_type for suffix, content_type in CONTENT_TYPES.items() if name.lower().endswith(suffix))
    return next(by_suffix, "application/octet-stream")


def _escape_line_breaks(name: str) -> str:
    # A line break would end the header and let a file name inject the next one.
    return name.replace("\r", "%0D").replace("\n", "%0A")
