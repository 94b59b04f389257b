"""A server that is not the bottleneck: it speaks as much HTTP as the contenders need, in a process of its own.

A POST is answered after the seconds that its prompt names, or at once, with as many links as it asks for images. A GET
is answered with a PNG of noise. Nothing is drawn, nothing is checked: its work per request is less than half of a bare
aiohttp client's. Its timers keep time to some tenths of a millisecond. Where nginx is installed, this serves only what
somebody has to wait for (see `nginx.py`).

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

# What is kept of a body: enough for the fields that stand before a file.
HEAD = 65_536


def noise(length: int) -> bytes:
    """Make a PNG of about so many bytes that cannot be packed any smaller, as a photograph is."""
    side = max(16, math.isqrt(length // 3))
    file = BytesIO()
    Image.frombytes("RGB", (side, side), random.Random(0).randbytes(3 * side * side)).save(file, "PNG")
    return file.getvalue()


@define
class Content:
    """What is served."""

    picture: bytes
    image_seconds: float
    images_at: str

    def answer(self, body: bytes) -> tuple[bytes, float]:
        """Return the answer to a request for images, and after how many seconds it is given."""
        found = NUM_IMAGES.search(body)
        return answer(self.images_at, int(found[1]) if found else 1).encode(), seconds_in(body)


def answer(images_at: str, images: int) -> str:
    """Return an answer with links to so many images."""
    image = {"url": f"{images_at}/a.png", "is_image_safe": True, "prompt": "", "seed": 1, "resolution": "1024x1024"}
    return json.dumps({"created": "2026-01-01T00:00:00Z", "data": [image] * images})


def seconds_in(body: bytes) -> float:
    """Return the seconds that the prompt names."""
    found = PROMPT.search(body)
    try:
        return float(found[1]) if found else 0.0
    except ValueError:
        return 0.0


class Connection(asyncio.Protocol):
    """Reads one request after the other."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._loop = asyncio.get_running_loop()
        self._head = b""
        self._body = b""
        self._missing = -1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Take what has come; answer when the request is whole. Nobody sends a second one before that."""
        if self._missing < 0:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return

            data, self._head = self._head[end + 4 :], self._head[: end + 2]
            length = LENGTH.search(self._head)
            self._missing = int(length[1]) if length else 0

        self._missing -= len(data)
        self._body += data[: HEAD - len(self._body)]
        if self._missing <= 0:
            self._answer()

    def _answer(self) -> None:
        content = self._content
        if self._head.startswith(b"GET"):
            body, kind, seconds = content.picture, b"image/png", content.image_seconds
        else:
            (body, seconds), kind = content.answer(self._body), b"application/json"

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
    """Ends a wait when its time is over. `epoll` counts whole milliseconds, so that timers were up to one late."""

    def select(self, timeout: float | None = None) -> list[tuple[SelectorKey, int]]:
        """Wait as long as that, and list what is ready."""
        if timeout is None or timeout > 0:
            select.select([self], [], [], timeout)

        return super().select(0)


async def serve(content: Content) -> None:
    """Print the address, and serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Connection(content), "127.0.0.1", 0, backlog=1024)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    content.images_at = content.images_at or url
    print(url, flush=True)
    await server.serve_forever()


def main() -> None:
    """Serve what the options say."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--image-bytes", type=int, default=2_000)
    parser.add_argument("--image-seconds", type=float, default=0.0)
    parser.add_argument("--images-at", default="", metavar="URL", help="who serves the images, if this does not")
    options = parser.parse_args()
    content = Content(noise(options.image_bytes), options.image_seconds, options.images_at)
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(ExactSelector())) as runner:
        runner.run(serve(content))


if __name__ == "__main__":
    main()
