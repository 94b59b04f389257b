"""One connection, as the faults want it: raw bytes, and every way to end."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from ideogram_async.sandbox.answer import Answer

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest

__all__ = ["Wire"]


class Wire:
    """The connection of a request."""

    def __init__(self, request: BaseRequest) -> None:
        self._transport: Any = request.transport

    @property
    def is_closed(self) -> bool:
        """Say whether the client has gone, or we have."""
        return self._transport is None or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        if not self.is_closed:
            self._transport.write(data)

    def write_head(self, answer: Answer, *, length: int | None) -> None:
        """Send the head of an answer, with any length or none; the connection ends after the body."""
        announced = {} if length is None else {"Content-Length": str(length)}
        lines = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            *(f"{name}: {value}" for name, value in {**answer.headers, **announced, "Connection": "close"}.items()),
        ]
        self.write("\r\n".join([*lines, "", ""]).encode())

    def close(self) -> None:
        """End the connection in good order: what was written arrives, then the end."""
        if not self.is_closed:
            self._transport.close()

    async def reset(self) -> None:
        """End the connection at once, so that the client sees a reset."""
        if self.is_closed:
            return

        # With a linger time of zero the system sends RST instead of FIN.
        connection = self._transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        # The socket is closed in the next turn of the loop.
        await asyncio.sleep(0)
