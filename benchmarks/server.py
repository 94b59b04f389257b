"""Minimal HTTP server that is not the bottleneck, in its own process.

The prompt of a POST is the delay of its response in seconds; any other prompt means none. The response has a link for
each image. The response to a GET is a PNG of noise. Nothing is drawn or validated: the work per request is less than
half of a bare aiohttp client's. Timers are accurate to tenths of a millisecond. If nginx is installed, it serves the
requests that need no delay (see `nginx.py`).

    python benchmarks/server.py [--image-bytes N] [--image-seconds S] [--images-at URL]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import random
import re
import select
from io import BytesIO
from selectors import EpollSelector, SelectorKey

from attrs import define
from PIL import Image

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CLOSE = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
FIELD = rb'name="%s".*?\r\n\r\n(.*?)\r\n'
PROMPT = re.compile(FIELD % b"prompt", re.DOTALL)
NUM_IMAGES = re.compile(FIELD % b"num_images", re.DOTALL)

MAX_BODY_BYTES = 65_536
"""Bytes of a body that are kept: enough for the fields before a file."""


def draw_noise(length: int) -> bytes:
    """Return a PNG of about that many bytes that compresses as badly as a photograph."""
    side = max(16, math.isqrt(length // 3))
    file = BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(0).randbytes(3 * side * side)).save(file, "PNG")
    return file.getvalue()


@define
class Content:
    """The responses of the server."""

    picture: bytes
    image_seconds: float
    images_at: str

    def answer_to(self, body: bytes) -> tuple[bytes, float]:
        """Return the answer to a request for images, and its delay in seconds."""
        match = NUM_IMAGES.search(body)
        return make_answer(self.images_at, int(match[1]) if match else 1).encode(), delay_of(body)


def make_answer(images_at: str, images: int) -> str:
    """Return the JSON of an answer with that many links."""
    image = {"url": f"{images_at}/a.png", "is_image_safe": True, "prompt": "", "seed": 1, "resolution": "1024x1024"}
    return json.dumps({"created": "2026-01-01T00:00:00Z", "data": [image] * images})


def delay_of(body: bytes) -> float:
    """Return the seconds in the prompt; 0 if it is not a number."""
    match = PROMPT.search(body)
    try:
        return float(match[1]) if match else 0.0
    except ValueError:
        return 0.0


class Connection(asyncio.Protocol):
    """A connection that carries one request after the other."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self._body = b""
        self._missing = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Collect the request, and respond once it is complete. No client pipelines a second one."""
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return

            data, self._head = self._head[end + 4 :], self._head[: end + 2]
            length = LENGTH.search(self._head)
            self._missing = int(length[1]) if length else 0

        self._missing -= len(data)
        self._body += data[: MAX_BODY_BYTES - len(self._body)]
        if self._missing <= 0:
            self._respond()

    def _respond(self) -> None:
        content = self._content
        if self._head.startswith(b"GET"):
            body, kind, seconds = content.picture, b"image/png", content.image_seconds
        else:
            (body, seconds), kind = content.answer_to(self._body), b"application/json"

        closing = bool(CLOSE.search(self._head))
        head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n" % (kind, len(body))
        self._head, self._body, self._missing = b"", b"", -1
        if seconds:
            self._loop.call_later(seconds, self._write, head, body, closing)
        else:
            self._write(head, body, closing)

    def _write(self, head: bytes, body: bytes, closing: bool) -> None:
        self._transport.writelines([head, body])
        if closing:
            self._transport.close()


class ExactSelector(EpollSelector):
    """A selector whose waits end on time. `epoll` counts in milliseconds, which makes timers up to one late."""

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Return the events that are ready, after waiting for at most `timeout` seconds."""
        if timeout is None or timeout > 0:
            select.select([self], [], [], timeout)

        return super().select(0)


async def serve(content: Content) -> None:
    """Print the URL, and serve until the process is terminated."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(content), "127.0.0.1", 0, backlog=1024)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    content.images_at = content.images_at or url
    print(url, flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve as the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image-bytes", type=int, default=2_000)
    parser.add_argument("--image-seconds", type=float, default=0.0)
    parser.add_argument("--images-at", default="", metavar="URL", help="the server of the images, if not this one")
    options = parser.parse_args()
    content = Content(draw_noise(options.image_bytes), options.image_seconds, options.images_at)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(ExactSelector())) as runner:
        runner.run(serve(content))


if __name__ == "__main__":
    main()
