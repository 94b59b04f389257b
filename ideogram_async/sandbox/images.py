"""The image origin: serves what was made, to whoever has a valid link."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ideogram_async.sandbox.drawing import draw, suffix_of
from ideogram_async.sandbox.faults import IMAGES, Fault, instead
from ideogram_async.sandbox.recipe import Sketch
from ideogram_async.sandbox.records import Answer, ImageArrival
from ideogram_async.sandbox.server import deliver
from ideogram_async.sandbox.state import State, Watch

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

__all__ = ["Gallery"]

_KEPT = 16

_SECRETS = ("Api-Key", "Authorization")

_REFUSALS = {
    403: b"This link is not valid, or has expired.\n",
    404: b"There is no such image.\n",
    405: b"Images can only be fetched.\n",
}


class Gallery:
    """Answers requests for images.

    Images are drawn when they are asked for, by one thread, and the last few are kept.
    """

    def __init__(self, state: Callable[[], State], watch: Watch, on_taken: Callable[[], None]) -> None:
        self._state = state
        self._watch = watch
        self._on_taken = on_taken
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._painter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ideogram-sandbox-painter")

    def close(self) -> None:
        """Let the thread finish what it draws, and end it."""
        self._painter.shutdown(cancel_futures=True)

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Answer one request."""
        state = self._state()
        state.image_requests.append(ImageArrival(request.path_qs, request.headers))
        leaked = [request.headers[name] for name in _SECRETS if name in request.headers]
        state.leaked_keys.extend((request.path, value) for value in leaked)
        releases = state.releases
        fault = state.schedule.take(IMAGES)
        self._on_taken()
        self._watch.notify()

        async def released() -> None:
            await self._watch.until(lambda: state.releases > releases)

        return await deliver(request, await self._answer(state, request, fault), fault, released)

    async def _answer(self, state: State, request: BaseRequest, fault: Fault | None) -> Answer:
        if fault is not None and not fault.runs:
            return instead(fault, f"{state.image_url}/elsewhere")

        status = 405 if request.method != "GET" else state.links.verdict(request.path, request.query, state.now)
        sketch = state.links.find(request.path)

        if status != 200 or sketch is None:
            return Answer(status, _REFUSALS[status], {"Content-Type": "text/plain"})

        tag = f'"{request.path.rpartition("/")[2]}"'

        if request.headers.get("If-None-Match") == tag:
            return Answer(304, headers={"ETag": tag})

        kind = f"image/{suffix_of(sketch, state.options.image_format)}"
        body = await self._drawn(request.path, sketch, state.options.image_format)
        return Answer(200, body, {"Content-Type": kind, "ETag": tag})

    async def _drawn(self, path: str, sketch: Sketch, image_format: str) -> bytes:
        body = self._kept.get(path)

        if body is None:
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(self._painter, draw, sketch, image_format)

        self._kept[path] = body
        self._kept.move_to_end(path)

        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)

        return body
