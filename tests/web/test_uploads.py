"""Uploads of a browser as files of a request."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from io import BytesIO
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import Depends, FastAPI, Form, UploadFile
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from support.clients import CANARY
from support.pictures import TOO_LARGE, picture
from support.serving import serving

from ideogram_async import Generate, Ideogram
from ideogram_async.integrations.fastapi import get_client, install_error_handlers, lifespan
from ideogram_async.sandbox import Sandbox

Client = Annotated[Ideogram, Depends(get_client)]
LARGE = picture(length=3 * 2**20)
"""Larger than the part of an upload that a server keeps in memory."""


def app_of(sandbox: Sandbox) -> FastAPI:
    app = FastAPI(lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=sandbox.url)))
    install_error_handlers(app)

    @app.post("/remix")
    async def remix(image: UploadFile, prompt: Annotated[str, Form()], client: Client) -> int:
        return len((await client.remix(image, prompt)).data)

    @app.post("/again")
    async def again(image: UploadFile, client: Client) -> int:
        await image.read()
        await image.seek(0)
        return len((await client.remix(image, "a fox")).data)

    @app.post("/styled")
    async def styled(images: list[UploadFile], client: Client) -> int:
        return len((await client.send(Generate("a fox", style_reference_images=images))).data)

    return app


def digest(body: bytes) -> str:
    """Return a short form of bytes, for readable failures."""
    return sha256(body).hexdigest()


async def upload(url: str, name: str, *images: tuple[str, bytes], **fields: str) -> tuple[int, Any]:
    form = aiohttp.FormData(fields)
    for file_name, body in images:
        form.add_field(name, BytesIO(body), filename=file_name, content_type="application/octet-stream")

    async with aiohttp.ClientSession() as http, http.post(url, data=form) as response:
        return response.status, await response.json(content_type=None)


@pytest.mark.parametrize("body", [picture(), picture("JPEG"), LARGE], ids=["png", "jpeg", "large"])
@pytest.mark.parametrize("path", ["remix", "again"])
async def test_an_upload_is_a_file(sandbox: Sandbox, path: str, body: bytes) -> None:
    """An upload in memory or on disk is sent completely, with its name and the type of its content."""
    async with serving(app_of(sandbox)) as url:
        answer = await upload(f"{url}/{path}", "image", ("my-fox.bin", body), prompt="a blue fox")

    part = sandbox.requests[0].parts[0]

    assert (200, 1) == answer
    assert ("image", "my-fox.bin", digest(body)) == (part.name, part.filename, digest(part.body))
    assert f"image/{'jpeg' if body == picture('JPEG') else 'png'}" == part.content_type


async def test_several_uploads(sandbox: Sandbox) -> None:
    """A field for several files accepts several uploads."""
    files = [(f"{n}.png", picture(size=(64 + n, 48))) for n in range(3)]
    async with serving(app_of(sandbox)) as url:
        answer = await upload(f"{url}/styled", "images", *files)

    parts = [part for part in sandbox.requests[0].parts if part.name.startswith("style_reference_images")]

    assert (200, 1) == answer
    assert files == [(part.filename, part.body) for part in parts]


@pytest.mark.parametrize(
    ("body", "message"),
    [(b"", "empty"), (b"no image at all", "PNG, JPEG or WebP"), (picture(length=TOO_LARGE), "bytes")],
)
async def test_an_invalid_upload(sandbox: Sandbox, body: bytes, message: str) -> None:
    """An upload that is empty, not an image or too large is reported by field, and nothing is sent."""
    async with serving(app_of(sandbox)) as url:
        status, problem = await upload(f"{url}/remix", "image", ("fox.png", body), prompt="a blue fox")

    assert (422, []) == (status, sandbox.requests)
    assert message in " ".join(problem["problems"]["image"])


async def test_an_upload_in_starlette(sandbox: Sandbox) -> None:
    """An upload of a Starlette app is sent completely."""

    async def remix(request: Request) -> JSONResponse:
        client = await get_client(request)
        async with request.form() as form:
            call = await client.start(Generate("a fox", style_reference_images=[form["image"]]))  # type: ignore[list-item]

        return JSONResponse(len((await call).data))

    app = Starlette(
        routes=[Route("/remix", remix, methods=["POST"])],
        lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=sandbox.url)),
    )
    async with serving(app) as url:
        assert (200, 1) == await upload(f"{url}/remix", "image", ("fox.png", LARGE))

    assert digest(LARGE) in [digest(part.body) for part in sandbox.requests[0].parts]
