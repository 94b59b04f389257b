"""Invalid arguments and listeners of a caller."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from support.clients import connected
from support.rawserver import OK, RawServer

from ideogram_async import Generate
from ideogram_async.events import Answered, Event, Sending, Waiting


@pytest.mark.parametrize("kind", [Waiting, Sending, Answered])
async def test_listener_raises_a_cancellation(kind: type[Event]) -> None:
    """A listener that raises the cancellation of a future does not affect the call."""

    def on_event(event: Event) -> None:
        if isinstance(event, kind):
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            future.result()

    async with RawServer(OK) as server, connected(server.url, on_event=on_event) as client:
        answer = await client.generate("a fox")

        assert (1, 1) == (len(answer.data), server.posts)


@pytest.mark.parametrize("request_", [Generate, None, "a fox", {"prompt": "a fox"}])
async def test_not_a_request(request_: Any) -> None:
    """A value that is not a request raises `TypeError` and sends nothing."""
    async with RawServer(OK) as server, connected(server.url) as client:
        with pytest.raises(TypeError, match=r"send takes a request such as Generate\(\.\.\.\), not"):
            await client.send(request_)

        assert 0 == server.connections


async def test_not_an_image(tmp_path: Path) -> None:
    """A value that is not an image or a link raises `TypeError` and downloads nothing."""
    async with RawServer(OK) as server, connected(server.url) as client:
        answer: Any = await client.generate("a fox")
        for wrong in (answer, None, b"https://ideogram.ai/x.png"):
            with pytest.raises(TypeError, match=r"expected a URL or an image such as answer.data\[0\], not"):
                await client.download(wrong, tmp_path)

            with pytest.raises(TypeError, match=r"expected a URL or an image such as answer.data\[0\], not"):
                await client.fetch(wrong)

        assert ([], 1) == (list(tmp_path.iterdir()), server.connections)
