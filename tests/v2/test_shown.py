"""Answers of the second contract in web applications, galleries and notebooks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import aiohttp
import pytest
from fastapi import FastAPI
from support.batches import run_batch
from support.pictures import picture
from support.serving import serving

from ideogram_async import AssetIdentifier, Ideogram, Job, JsonPrompt, v2
from ideogram_async._batch.gallery.cards import iter_cards
from ideogram_async.batch import Folder

FILE = ("fox.png", picture())


@pytest.mark.parametrize("is_annotated", [True, False])
async def test_a_route_returns_an_answer(client: Ideogram, is_annotated: bool) -> None:
    """A route returns every field: links of both kinds of items, structured prompts, and amounts as text."""
    answers = {
        "images": await client.v2.generate_4("a fox", num_images=2),
        "layers": await client.v2.layerize_3(FILE),
        "prompt": await client.v2.magic_prompt_4("a fox"),
        "price": await client.quote(v2.Generate4("a fox")),
    }
    app = FastAPI()
    for name, answer in answers.items():
        app.get(f"/{name}", response_model=type(answer) if is_annotated else None)(returning(answer))

    async with serving(app) as url, aiohttp.ClientSession() as http:
        bodies = {name: await (await http.get(f"{url}/{name}")).json() for name in answers}
        schema = await (await http.get(f"{url}/openapi.json")).json()

    assert {name: answer.to_dict() for name, answer in answers.items()} == bodies
    assert {f"/{name}" for name in answers} == schema["paths"].keys()


def returning(answer: object) -> Any:
    async def route() -> Any:
        return answer

    return route


async def test_the_cards_of_a_gallery(client: Ideogram, tmp_path: Path) -> None:
    """A card shows the description of a structured prompt and its JSON, assets, and the prompt of a custom call."""
    poster = JsonPrompt("a poster", background="paper")
    asset = AssetIdentifier(asset_type="UPLOAD", asset_id="x_1")
    jobs = [
        Job(v2.Generate46(poster, images=[asset], extra={"background": "transparent"})),
        Job(v2.Layerize3(FILE)),
        Job(v2.Custom("image", "remix", "ideogram-4", {"prompt": "a hat"}, files={"image": FILE})),
    ]
    await run_batch(client, jobs, tmp_path)
    drawn, layers, custom = iter_cards(Folder(tmp_path).results(), tmp_path)

    assert ("v2:image/generate/ideogram-4-6", "a poster") == (drawn["operation"], drawn["prompt"])
    assert {
        "structured_prompt": str(poster),
        "images": "asset:UPLOAD:x_1",
        "extra": '{"background": "transparent"}',
    } == drawn["settings"]
    assert ["stored", "stored"] == [image["state"] for image in layers["images"]]  # type: ignore[attr-defined]
    assert ("v2 custom", "a hat") == (custom["operation"], custom["prompt"])


async def test_a_notebook_shows_an_answer(client: Ideogram) -> None:
    """A structured prompt is shown with its content, and an item with its link."""
    described, layers = await client.v2.describe_4(FILE), await client.v2.layerize_3(FILE)

    assert described.json_prompt.description in described._repr_html_()
    assert "base_image_url" in layers._repr_html_()
