"""Answers that a route returns."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Annotated, Any

import aiohttp
import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from pydantic import BaseModel
from support.serving import serving

from ideogram_async import DescribeResponse, Ideogram, ImageGenerationResponseV3
from ideogram_async.integrations.fastapi import get_client, lifespan
from ideogram_async.sandbox import Sandbox

Client = Annotated[Ideogram, Depends(get_client)]


class Gallery(BaseModel):
    """Answers under a title."""

    title: str
    answers: list[ImageGenerationResponseV3]


async def generate(client: Client):
    return await client.generate("a red fox", num_images=2)


async def generate_annotated(client: Client) -> ImageGenerationResponseV3:
    return await client.generate("a red fox", num_images=2)


async def generate_gallery(client: Client) -> Gallery:
    return Gallery(title="foxes", answers=[await client.generate("a red fox")])


async def generate_list(client: Client) -> list[ImageGenerationResponseV3]:
    return [await client.generate("a red fox", num_images=2) for _ in range(2)]


async def generate_later(client: Client, tasks: BackgroundTasks) -> None:
    tasks.add_task(client.generate, "a red fox", num_images=2)


def make_app(sandbox: Sandbox) -> FastAPI:
    app = FastAPI(lifespan=partial(lifespan, client=Ideogram("sandbox", base_url=sandbox.url)))
    for route in (generate, generate_annotated, generate_gallery, generate_list, generate_later):
        app.get(f"/{route.__name__}")(route)

    app.get("/generate_model", response_model=ImageGenerationResponseV3)(generate)
    return app


async def get_json(url: str) -> tuple[int, Any]:
    async with aiohttp.ClientSession() as http, http.get(url) as response:
        return response.status, await response.json()


@pytest.mark.parametrize("route", ["generate", "generate_annotated", "generate_model"])
async def test_a_route_returns_an_answer(sandbox: Sandbox, client: Ideogram, route: str) -> None:
    """The response is what `to_dict()` returns, with or without an annotation."""
    expected = (await client.generate("a red fox", num_images=2)).to_dict()
    async with serving(make_app(sandbox)) as url:
        status, body = await get_json(f"{url}/{route}")

    assert 200 == status
    assert list(expected) == list(body)
    assert [list(image) for image in expected["data"]] == [list(image) for image in body["data"]]
    assert datetime.fromisoformat(body["created"]).tzinfo is not None


async def test_a_route_returns_a_list_of_answers(sandbox: Sandbox) -> None:
    """Each answer of a list is encoded."""
    async with serving(make_app(sandbox)) as url:
        status, body = await get_json(f"{url}/generate_list")

    assert (200, [2, 2]) == (status, [len(answer["data"]) for answer in body])


async def test_a_background_task_sends_a_call(sandbox: Sandbox) -> None:
    """A task that is added with an operation of the client runs after the response."""
    async with serving(make_app(sandbox)) as url:
        status, _ = await get_json(f"{url}/generate_later")
        await sandbox.wait_for_requests(1)

    await sandbox.wait_idle()

    assert (200, 2) == (status, sandbox.ledger.billed_images)


async def test_a_model_contains_answers(sandbox: Sandbox) -> None:
    """An answer is a field of a pydantic model."""
    async with serving(make_app(sandbox)) as url:
        status, body = await get_json(f"{url}/generate_gallery")

    assert (200, "foxes", 1) == (status, body["title"], len(body["answers"][0]["data"]))


def test_openapi_describes_an_answer(sandbox: Sandbox) -> None:
    """The schema of an annotated route names the answer's class, its fields and those of its images."""
    schemas = make_app(sandbox).openapi()["components"]["schemas"]

    assert ["created", "data"] == list(schemas["ImageGenerationResponseV3"]["properties"])
    assert {"url", "seed", "prompt"} < set(schemas["ImageGenerationObjectV3"]["properties"])
    assert "string" == schemas["ImageGenerationResponseV3"]["properties"]["created"]["type"]


def test_a_model_accepts_only_answers_of_its_class() -> None:
    """A field of a pydantic model refuses an answer of another class."""
    with pytest.raises(ValueError, match="instance of ImageGenerationResponseV3"):
        Gallery.model_validate({"title": "foxes", "answers": [DescribeResponse(descriptions=())]})
