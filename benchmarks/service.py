"""A service of next to no cost, for benchmarks: it makes images in the time that is asked for, and serves them.

It runs in a process of its own. One loop over `epoll` takes a connection, reads the request and sets a timer in one go,
and its timers keep time to some tenths of a millisecond. asyncio's would be up to a whole one late, and with a web
framework around it a request would cost more than a millisecond of processor time: on a small machine that would be
measured as ours. The real service is far away and shares no processor with us.

    python benchmarks/service.py DOWNLOAD_SECONDS BYTES

The prompt says how many seconds the call takes; what is no number takes none. Its address is printed.
"""

from __future__ import annotations

import heapq
import itertools
import json
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from attrs import define, field

FIELD = re.compile(rb'name="(prompt|num_images)".*?\r\n\r\n(.*?)\r\n', re.DOTALL)
LENGTH = re.compile(rb"content-length: (\d+)", re.IGNORECASE)
CREATED = "2026-01-01T00:00:00Z"


@contextmanager
def service(*, download_seconds: float = 0.0, size: int = 0) -> Generator[str]:
    """Run it beside the benchmark, and yield its address. An image has at least so many bytes."""
    command = [sys.executable, __file__, str(download_seconds), str(size)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip() if process.stdout else ""
    finally:
        process.terminate()
        process.communicate()


@define
class Connection:
    """What has come on one connection and is not answered yet."""

    socket: socket.socket
    received: bytearray = field(factory=bytearray)

    def request(self) -> tuple[bytes, bytes] | None:
        """Return the request, if it is whole: its head and its body."""
        head, end, body = bytes(self.received).partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return None

        self.received.clear()
        return head, body


class Service:
    """Serves until it is ended."""

    def __init__(self, download_seconds: float, picture: bytes) -> None:
        self._download_seconds = download_seconds
        self._image = response("image/png", picture)
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        self._due: list[tuple[float, int, Connection, bytes]] = []
        self._numbers = itertools.count()
        self._door = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._door.setblocking(False)
        self._poll.register(self._door, select.EPOLLIN)
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}"

    def serve(self) -> None:
        """Take what comes, and answer what is due."""
        while True:
            # `epoll` itself waits in whole milliseconds.
            patience = max(0.0, self._due[0][0] - time.monotonic()) if self._due else None
            if select.select([self._poll], [], [], patience)[0]:
                for handle, _ in self._poll.poll(0):
                    self._take(handle)

            while self._due and self._due[0][0] <= time.monotonic():
                _, _, connection, answer = heapq.heappop(self._due)
                with suppress(OSError):
                    connection.socket.setblocking(True)
                    connection.socket.sendall(answer)
                    connection.socket.setblocking(False)

    def _take(self, handle: int) -> None:
        if handle != self._door.fileno():
            self._read(handle)
            return

        with suppress(BlockingIOError):
            while True:
                accepted, _ = self._door.accept()
                accepted.setblocking(False)
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._connections[accepted.fileno()] = Connection(accepted)
                self._poll.register(accepted, select.EPOLLIN)
                self._read(accepted.fileno())

    def _read(self, handle: int) -> None:
        connection = self._connections[handle]
        try:
            received = connection.socket.recv(2**18)
        except BlockingIOError:
            return
        except OSError:
            received = b""

        connection.received += received
        if not received:
            self._poll.unregister(handle)
            connection.socket.close()
            del self._connections[handle]
        elif request := connection.request():
            seconds, answer = self._answer(*request)
            heapq.heappush(self._due, (time.monotonic() + seconds, next(self._numbers), connection, answer))

    def _answer(self, head: bytes, body: bytes) -> tuple[float, bytes]:
        if head.startswith(b"GET"):
            return self._download_seconds, self._image

        fields = dict(FIELD.findall(body))
        image = {"url": f"{self.url}/a.png", "is_image_safe": True, "prompt": "", "seed": 1, "resolution": "1024x1024"}
        images = [image] * int(fields.get(b"num_images", 1))
        answer = response("application/json", json.dumps({"created": CREATED, "data": images}).encode())
        try:
            return float(fields[b"prompt"]), answer
        except ValueError:
            return 0.0, answer


def response(content_type: str, body: bytes) -> bytes:
    """Write a whole response."""
    return f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def main() -> None:
    """Serve."""
    sys.path.append(str(Path(__file__).parents[1] / "tests"))
    from pictures import picture

    download_seconds, size = sys.argv[1:]
    served = Service(float(download_seconds), picture(length=int(size)))
    print(served.url, flush=True)
    served.serve()


if __name__ == "__main__":
    main()
