"""Nonsense from the caller: it is told apart at once, or does no harm."""

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
    """A listener that looks into a cancelled future loses nobody's answer."""

    def on_event(event: Event) -> None:
        if isinstance(event, kind):
            future = asyncio.get_running_loop().create_future()
            future.cancel()
            future.result()

    async with RawServer(OK) as server, connected(server.url, on_event=on_event) as client:
        answer = await client.generate("a fox")

        assert (1, 1) == (len(answer.data), server.posts)


@pytest.mark.parametrize("request_", [Generate, None, "a fox", {"prompt": "a fox"}])
async def test_no_request(request_: Any) -> None:
    """What is no request is refused with words that say so."""
    async with RawServer(OK) as server, connected(server.url) as client:
        with pytest.raises(TypeError, match=r"send takes a request such as Generate\(\.\.\.\), not"):
            await client.send(request_)

        assert 0 == server.connections


async def test_no_image(tmp_path: Path) -> None:
    """So is a whole answer, or nothing, in the place of an image."""
    async with RawServer(OK) as server, connected(server.url) as client:
        answer: Any = await client.generate("a fox")
        for wrong in (answer, None, b"https://ideogram.ai/x.png"):
            with pytest.raises(TypeError, match=r"expected a URL or an image such as answer.data\[0\], not"):
                await client.download(wrong, tmp_path)

            with pytest.raises(TypeError, match=r"expected a URL or an image such as answer.data\[0\], not"):
                await client.fetch(wrong)

        assert ([], 1) == (list(tmp_path.iterdir()), server.connections)
