"""Images of a sink, for a page that is written without an event loop."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

from anyio.from_thread import BlockingPortal, start_blocking_portal

from ideogram_async._sinks.sink import Sink


class LinkedImages:
    """The images of a sink, with links that expire. Safe from any thread.

    Args:
        sink: The sink.
        lifetime: Lifetime of the links in seconds.
        portal: The event loop in which the sink runs.

    Raises:
        OSError: If the sink has no links.
        ValueError: If the lifetime is out of range.
    """

    def __init__(self, sink: Sink, lifetime: float, portal: BlockingPortal) -> None:
        self.uri = sink.uri
        self.expires_at = datetime.now(UTC) + timedelta(seconds=lifetime)
        self._sink = sink
        self._lifetime = lifetime
        self._portal = portal
        url = urlsplit(self.link("image.png"))
        self.origin = f"{url.scheme}://{url.netloc}" if url.netloc else ""
        """The host that the page may load images from; empty if they are files."""

    def link(self, name: str) -> str:
        """Return the link of an image."""
        return self._portal.call(self._sink.link, name, self._lifetime)

    def read(self, name: str) -> bytes:
        """Return the bytes of an image."""
        return self._portal.call(self._read, name)

    async def _read(self, name: str) -> bytes:
        return b"".join([chunk async for chunk in self._sink.open(name)])


@contextmanager
def open_sink(sink: Sink | None, lifetime: float) -> Generator[LinkedImages | None]:
    """Run an event loop for a sink in a thread, and yield its images; `None` without a sink."""
    if sink is None:
        yield None
        return

    with start_blocking_portal() as portal:
        yield LinkedImages(sink, lifetime, portal)
