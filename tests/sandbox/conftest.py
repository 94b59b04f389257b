"""A sandbox, and a plain HTTP client of it."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import aiohttp
import pytest
from attrs import field, frozen
from PIL import Image

from ideogram_async.sandbox import Sandbox

Content = str | tuple[str, bytes]


@frozen
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes

    @property
    def json(self) -> Any:
        """The parsed JSON body."""
        return json.loads(self.body)

    @property
    def url(self) -> str:
        """The link of the first image."""
        return str(self.json["data"][0]["url"])


@frozen
class Api:
    """A client of a sandbox; every call has its own connection."""

    sandbox: Sandbox
    session: aiohttp.ClientSession

    async def form(self, path: str, fields: Sequence[tuple[str, Content]], *, key: str = "key") -> Answer:
        """Send a multipart form; a pair is a file."""
        form = aiohttp.FormData(quote_fields=False, default_to_multipart=True)
        for name, content in fields:
            if isinstance(content, str):
                form.add_field(name, content)
            else:
                form.add_field(name, io.BytesIO(content[1]), filename=content[0], content_type="image/png")

        return await self.call("POST", self.sandbox.url + path, data=form, headers={"Api-Key": key})

    async def generate(self, prompt: str = "a fox", **fields: str) -> Answer:
        """Generate images."""
        return await self.form("/v1/ideogram-v3/generate", [("prompt", prompt), *fields.items()])

    async def post(self, path: str, body: Any) -> Answer:
        """Send JSON."""
        return await self.call("POST", self.sandbox.url + path, json=body, headers={"Api-Key": "key"})

    async def get(self, path: str, params: Sequence[tuple[str, str]] = ()) -> Answer:
        """Send a GET request."""
        return await self.call("GET", self.sandbox.url + path, params=params, headers={"Api-Key": "key"})

    async def image(self, url: str, **headers: str) -> Answer:
        """Download an image."""
        return await self.call("GET", url, headers=headers)

    async def call(self, method: str, url: str, **options: Any) -> Answer:
        """Send a request."""
        async with self.session.request(method, url, allow_redirects=False, **options) as reply:
            return Answer(reply.status, reply.headers, await reply.read())


def picture(size: tuple[int, int] = (64, 48), color: str = "teal", *, file_format: str = "PNG") -> bytes:
    """Return an image of one color."""
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, file_format)
    return buffer.getvalue()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session that keeps no connection."""
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:
        yield session


@pytest.fixture
def api(sandbox: Sandbox, session: aiohttp.ClientSession) -> Api:
    """Return a client of the sandbox."""
    return Api(sandbox, session)


@pytest.fixture
def png() -> bytes:
    """Return a small image."""
    return picture()


@pytest.fixture
def make_picture() -> Any:
    """Return the function that makes images."""
    return picture


@pytest.fixture
def make_api(session: aiohttp.ClientSession) -> Any:
    """Return the function that makes clients of other sandboxes."""
    return lambda sandbox: Api(sandbox, session)
