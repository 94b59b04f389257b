"""Streaming response that forwards an image from its host to the browser."""

from __future__ import annotations

import hashlib

from anyio import CancelScope, create_task_group
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ideogram_async._client import Ideogram
from ideogram_async.files import HasUrl

__all__ = ["ImageResponse", "image_response"]

CACHE_CONTROL = "private, max-age=86400, immutable"
"""The image at a link never changes. A shared cache must not serve it to other users."""

CLIENT_CLOSED_REQUEST = 499
"""Status that web servers log if the client disconnects before the response."""


class ImageResponse(Response):
    """A response that streams an image. Its headers may be changed before it is returned."""

    def __init__(self, client: Ideogram, image: str | HasUrl) -> None:
        self.status_code = 200
        self.background: BackgroundTask | None = None
        self._client = client
        self._image = image
        self._has_started = False
        headers = {"Cache-Control": CACHE_CONTROL, "X-Content-Type-Options": "nosniff"}
        link = image if isinstance(image, str) else image.url
        if link:
            headers["ETag"] = f'"{hashlib.sha256(link.encode()).hexdigest()[:32]}"'

        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the response. A disconnect of the client closes the connection to the image host."""
        if self._is_cached(scope):
            await Response(status_code=304, headers=self.headers)(scope, receive, send)
            return

        failure: Exception | None = None
        async with create_task_group() as group:
            group.start_soon(_watch_disconnect, receive, group.cancel_scope)
            try:
                await self._forward(scope, send)
            except Exception as error:
                # Some servers report a disconnect this way.
                if not (self._has_started and isinstance(error, OSError)):
                    # Raised below: the group would wrap it, and exception handlers would not match.
                    failure = error

            group.cancel_scope.cancel()

        if failure is not None:
            raise failure

        if not self._has_started:
            # The client is gone, but a middleware may wait for a response.
            await Response(status_code=CLIENT_CLOSED_REQUEST)(scope, receive, send)

        if self.background is not None:
            await self.background()

    async def _forward(self, scope: Scope, send: Send) -> None:
        async with self._client.stream(self._image) as stream:
            self.headers["Content-Type"] = stream.content_type
            if stream.length is not None:
                self.headers["Content-Length"] = str(stream.length)

            self._has_started = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                # Backpressure: the server accepts a chunk when the client has room for it.
                async for chunk in stream:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})

        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _is_cached(self, scope: Scope) -> bool:
        header = dict(scope["headers"]).get(b"if-none-match", b"").decode("latin-1")
        return self.headers.get("ETag") in {tag.strip().removeprefix("W/") for tag in header.split(",")}


def image_response(client: Ideogram, image: str | HasUrl) -> ImageResponse:
    """Return a response that streams an image, with its type, its length if known, and caching headers.

        @app.get("/images/{id}")
        async def show(id: str, client: Annotated[Ideogram, Depends(get_client)]):
            return image_response(client, find_image(id))

    The image is requested when the response is sent. Errors before its first byte are raised and handled by
    `install_error_handlers`; later ones truncate the response, which the browser detects. A request with a matching
    `ETag` is answered with 304, without a request to the image host. If the image at a URL can change, set another
    header: `response.headers["Cache-Control"] = "no-store"`.

    Args:
        client: Downloads the image; see `Ideogram.stream` for its errors.
        image: A link, or an image of an answer.
    """
    return ImageResponse(client, image)


async def _watch_disconnect(receive: Receive, scope: CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

    scope.cancel()
