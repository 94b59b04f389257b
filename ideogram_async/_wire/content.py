"""Content codings of response bodies: gzip and deflate, unless the label is wrong."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from itertools import takewhile

ACCEPTED = "gzip, deflate"
"""Value of Accept-Encoding."""

STEP_BYTES = 2**16
GZIP = b"\x1f\x8b"
GZIP_OR_ZLIB, RAW_DEFLATE = zlib.MAX_WBITS | 32, -zlib.MAX_WBITS

# Some servers send deflate without its envelope.
WINDOWS = {"gzip": (GZIP_OR_ZLIB,), "x-gzip": (GZIP_OR_ZLIB,), "deflate": (GZIP_OR_ZLIB, RAW_DEFLATE)}


def codings_of(values: Iterable[str]) -> list[str]:
    """Return the codings in Content-Encoding headers, in the order in which they are undone."""
    names = (name.strip().lower() for value in values for name in value.split(","))
    return [name for name in names if name not in ("", "identity")][::-1]


def decode_content(body: bytes, codings: Iterable[str], max_bytes: int) -> tuple[bytes, str | None]:
    """Undo the content codings of a body.

    A body that does not have the coding of its label, or has an unknown one, stays as it is.

    Returns:
        The body, at most `max_bytes` of it, and the reason if it is truncated.
    """
    for coding in takewhile(WINDOWS.__contains__, codings):
        attempts = (_inflate(body, window, max_bytes) for window in WINDOWS[coding])
        decoded = None if _is_text(body) else next(filter(None, attempts), None)
        if decoded is None:
            break

        output, cut = decoded
        if cut:
            return output or body, cut

        body = output

    return body, None


def _is_text(body: bytes) -> bool:
    # No compressed JSON or HTML begins like this, not even without an envelope.
    return body.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in (b"{", b"[", b"<", b"")


def _inflate(body: bytes, window: int, max_bytes: int) -> tuple[bytes, str | None] | None:
    """Return the decompressed body and the reason if it is truncated; `None` if it is not compressed like this."""
    output, inflater = bytearray(), Inflater(window)
    inflater.feed(body)
    try:
        while step := inflater.step():
            output += step
            if len(output) > max_bytes:
                return bytes(output[:max_bytes]), f"more than {max_bytes} bytes"
    except zlib.error as error:
        return (bytes(output), f"the compressed body is damaged: {error}") if output else None

    if inflater.is_complete:
        return bytes(output), None

    return (bytes(output), "the compressed body ends early") if output or window > 0 else None


def inflater_for(codings: Sequence[str], start: bytes) -> Inflater | None:
    """Return a decompressor for a body with one coding that begins like this; `None` if it is not compressed."""
    for window in WINDOWS.get(codings[0], ()) if len(codings) == 1 else ():
        try:
            zlib.decompressobj(window).decompress(start, 1)
        except zlib.error:
            continue

        return Inflater(window)

    return None


class Inflater:
    """Decompressor of a body that arrives in parts, with steps of bounded size."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._stream = zlib.decompressobj(window)
        self._input = b""

    @property
    def is_complete(self) -> bool:
        """Return whether the end of the compressed data was reached."""
        return self._stream.eof

    def feed(self, data: bytes) -> None:
        """Add a part of the body."""
        self._input += data

    def step(self) -> bytes:
        """Return the next decompressed bytes, or none if more input is needed or the data is complete.

        Raises:
            zlib.error: If the data is damaged, or not compressed like this.
        """
        while True:
            if self._stream.eof:
                if not self._input.startswith(GZIP):
                    return b""

                # Gzip data can have several members.
                self._stream = zlib.decompressobj(self._window)

            output = self._stream.decompress(self._input, STEP_BYTES)
            self._input = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            if output or not (self._stream.eof or self._input):
                return output
