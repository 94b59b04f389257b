"""The image origin: serves images by signed link."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from typing import TYPE_CHECKING

from ideogram_async.sandbox.drawing import draw, suffix_of
from ideogram_async.sandbox.faults import IMAGES, Fault, replacement
from ideogram_async.sandbox.recipe import Recipe
from ideogram_async.sandbox.records import RecordedImageRequest, Reply
from ideogram_async.sandbox.server import deliver
from ideogram_async.sandbox.state import State

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

MAX_CACHED_IMAGES = 16
SECRET_HEADERS = ("Api-Key", "Authorization")
REFUSALS = {
    403: b"This link is invalid or has expired.\n",
    404: b"This image does not exist.\n",
    405: b"Images support GET only.\n",
}


class ImageOrigin:
    """Handler of image requests.

    Images are drawn on request, by one thread, and the most recent ones are cached.
    """

    def __init__(self, state: Callable[[], State], apply_refusals: Callable[[], None]) -> None:
        self._state = state
        self._apply_refusals = apply_refusals
        self._cache: OrderedDict[str, bytes] = OrderedDict()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ideogram-sandbox-drawing")

    def close(self) -> None:
        """Shut the thread down after the image that it is drawing."""
        self._executor.shutdown(cancel_futures=True)

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        state = self._state()
        state.image_requests.append(RecordedImageRequest(request.path_qs, request.headers))
        secrets = [request.headers[name] for name in SECRET_HEADERS if name in request.headers]
        state.leaked_keys.extend((request.path, secret) for secret in secrets)
        released = state.next_release()
        fault = state.schedule.pop(IMAGES)
        self._apply_refusals()
        state.condition.notify()
        response = await deliver(request, await self._answer(state, request, fault), fault, released)
        if not response.prepared:
            # By the sandbox's clock, like the expiry of links.
            response.headers.setdefault("Date", formatdate(state.now, usegmt=True))

        return response

    async def _answer(self, state: State, request: BaseRequest, fault: Fault | None) -> Reply:
        if fault is not None and not fault.runs:
            return replacement(fault, state.image_url)

        status = 405 if request.method != "GET" else state.links.check(request.path, request.query, state.now)
        # Only a path that carries a valid signature is certain to be the path of a URL.
        recipe = state.links.find(request.path) if status == 200 else None
        if status != 200 or recipe is None:
            return Reply(status, REFUSALS[status], {"Content-Type": "text/plain"})

        tag = f'"{request.path.rpartition("/")[2]}"'
        if request.headers.get("If-None-Match") == tag:
            return Reply(304, headers={"ETag": tag})

        image_format = state.options.image_format
        body = await self._draw(request.path, recipe, image_format)
        return Reply(200, body, {"Content-Type": f"image/{suffix_of(recipe, image_format)}", "ETag": tag})

    async def _draw(self, path: str, recipe: Recipe, image_format: str) -> bytes:
        body = self._cache.get(path)
        if body is None:
            loop = asyncio.get_running_loop()
            body = await loop.run_in_executor(self._executor, draw, recipe, image_format)

        self._cache[path] = body
        self._cache.move_to_end(path)
        if len(self._cache) > MAX_CACHED_IMAGES:
            self._cache.popitem(last=False)

        return body
