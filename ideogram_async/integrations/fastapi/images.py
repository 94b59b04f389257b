"""An image on its way from the image host to the browser, never whole in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from anyio import CancelScope, create_task_group
from starlette.background import BackgroundTask
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ideogram_async._client import Ideogram
from ideogram_async.files import HasUrl

__all__ = ["ImageResponse", "image_response"]

CACHING = "private, max-age=86400, immutable"

"""What a link leads to never changes, and lives as long; a shared cache must not hand it to others."""

BROWSER_HAS_LEFT = 499

"""What logs of web servers say of a browser that has not waited for its answer."""


class ImageResponse(Response):
    """Passes an image on while it comes. Its headers may be changed before it is returned."""

    def __init__(self, client: Ideogram, image: str | HasUrl) -> None:
        self.status_code = 200
        self.background: BackgroundTask | None = None
        self._client = client
        self._image = image
        self._has_begun = False
        headers = {"Cache-Control": CACHING, "X-Content-Type-Options": "nosniff"}
        link = image if isinstance(image, str) else image.url
        if link:
            headers["ETag"] = f'"{hashlib.sha256(link.encode()).hexdigest()[:32]}"'

        self.init_headers(headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request. The connection to the image host ends when the browser leaves."""
        if self._is_known(scope):
            await Response(status_code=304, headers=self.headers)(scope, receive, send)
            return

        failure: Exception | None = None
        async with create_task_group() as group:
            group.start_soon(_until_gone, receive, group.cancel_scope)
            try:
                await self._pass_on(scope, send)
            except Exception as error:
                # Some servers tell so that the browser has left.
                if not (self._has_begun and isinstance(error, OSError)):
                    # Raised below: a group would wrap it, and no handler would know it.
                    failure = error

            group.cancel_scope.cancel()

        if failure is not None:
            raise failure

        if not self._has_begun:
            # Nobody reads it, but a middleware may wait for an answer.
            await Response(status_code=BROWSER_HAS_LEFT)(scope, receive, send)

        if self.background is not None:
            await self.background()

    async def _pass_on(self, scope: Scope, send: Send) -> None:
        async with self._client.stream(self._image) as stream:
            self.headers["Content-Type"] = stream.content_type
            if stream.length is not None:
                self.headers["Content-Length"] = str(stream.length)

            self._has_begun = True
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            if scope["method"] != "HEAD":
                # A server takes a chunk when there is room for it: so a slow browser slows the image host.
                async for chunk in stream:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})

        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _is_known(self, scope: Scope) -> bool:
        asked = _header(scope, b"if-none-match")
        tags = {tag.strip().removeprefix("W/") for tag in asked.split(",")}
        return bool(asked) and self.headers.get("ETag") in tags


def image_response(client: Ideogram, image: str | HasUrl) -> ImageResponse:
    """Answer with a generated image: streamed, with its type, its length where that is known, and caching headers.

        @app.get("/images/{id}")
        async def show(id: str, client: Annotated[Ideogram, Depends(get_client)]):
            return image_response(client, find_image(id))

    The image is asked for when the response is sent. What goes wrong before its first byte is raised there, and
    `install_error_handlers` answers it; what goes wrong later cuts the answer, which the browser notices. One that
    comes again with the `ETag` gets a 304, and nobody is asked. For an address whose image changes, set another header:
    `response.headers["Cache-Control"] = "no-store"`.

    Args:
        client: Collects the image; see `Ideogram.stream` for what it raises.
        image: A link, or an image of an answer.
    """
    return ImageResponse(client, image)


async def _until_gone(receive: Receive, scope: CancelScope) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

    scope.cancel()


def _header(scope: Scope, name: bytes) -> str:
    headers: Mapping[bytes, bytes] = dict(scope["headers"])
    return headers.get(name, b"").decode("latin-1")
