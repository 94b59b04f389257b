"""The code of the page on web apps, run as printed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from support.clients import CANARY
from support.pages import fenced
from support.paths import ROOT
from support.pictures import picture
from support.serving import serving

from ideogram_async.errors import AmbiguousError, Phase
from ideogram_async.integrations.fastapi.problems import PROBLEMS, to_problem
from ideogram_async.sandbox import Sandbox

PAGE = ROOT / "docs" / "web.md"
PURCHASES = ROOT / "docs" / "idempotency.md"


@pytest.fixture
def shown(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """Run every block of the page on purchases, then those of the page on apps, with the first app of each."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", CANARY)
    monkeypatch.setenv("IDEOGRAM_BASE_URL", sandbox.url)
    monkeypatch.setenv("WEB_CONCURRENCY", "4")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    apps = []
    for page in (PURCHASES, PAGE):
        names.pop("app", None)
        for block in fenced(page.read_text(), "python"):
            first = names.get("app")
            exec(block, names)
            apps.append(names["app"])
            names["app"] = first or names["app"]

    return names | {"apps": list(dict.fromkeys(apps))}


async def test_the_app_of_the_page(shown: dict[str, Any], sandbox: Sandbox, tmp_path: Path) -> None:
    """An image, an upload, a started call whose images are downloaded, and a preview work as printed."""
    upload = aiohttp.FormData({"prompt": "a blue fox"})
    upload.add_field("image", picture(), filename="fox.png")
    async with serving(shown["app"]) as url, aiohttp.ClientSession(url) as http:
        async with http.post("/fox") as response:
            image = response.content_type

        async with http.post("/remix", data=upload) as response:
            remixed = await response.json()

        async with http.post("/draw", data={"prompt": "a fox"}) as response:
            drawn = await response.json()

        async with http.post("/preview", data={"prompt": "a fox"}) as response:
            previewed = response.status

    assert ("image/png", 1, 1, 200) == (image, len(remixed), len(drawn), previewed)
    assert 4 == sandbox.ledger.billed_images
    # The shutdown of the app has waited for the images of the started call.
    assert 1 == len(list((tmp_path / "images").iterdir()))


async def test_the_purchase_of_the_page(shown: dict[str, Any], sandbox: Sandbox) -> None:
    """A repeat of a request with its key has the same answer, and buys nothing."""
    [app] = [each for each in shown["apps"] if "/hero" in each.openapi()["paths"]]
    async with serving(app) as url, aiohttp.ClientSession(url, headers={"Idempotency-Key": "a"}) as http:
        answers = []
        for _ in range(2):
            async with http.post("/hero", json={"prompt": "a fox"}) as response:
                answers.append(await response.json())

    assert answers[:1] * 2 == answers
    assert 1 == sandbox.ledger.billed_images


async def test_the_lifespans_of_the_page(shown: dict[str, Any]) -> None:
    """Each lifespan of the page gives the app a client with the options that it shows."""
    limits = []
    for app in shown["apps"]:
        async with app.router.lifespan_context(app):
            limits.append(app.state.ideogram.limiter.statistics().limit)

    assert [10, 10, 5, 5, 10, 2] == limits


def test_the_problem_document_of_the_page() -> None:
    """The problem document of the page is the one that an ambiguous outcome is answered with."""
    shown = fenced(PAGE.read_text(), "json")

    assert to_problem(AmbiguousError("sent", phase=Phase.SENT)) == json.loads(shown[0])


def test_the_statuses_of_the_page() -> None:
    """Each error in the table of the page is answered with the status that the table states."""
    rows = re.findall(r"^\| (.*`\w+Error`.*) \| ([\d, ]+) \|", PAGE.read_text(), re.MULTILINE)
    stated = {}
    for names, statuses in rows:
        errors = re.findall(r"`(\w+)`", names)
        numbers = [int(status) for status in statuses.split(", ")]
        stated |= dict(zip(errors, numbers * len(errors) if len(numbers) == 1 else numbers, strict=False))

    answered = {kind.__name__: problem.status for kind, problem in PROBLEMS.items()}

    assert 22 == len(stated)
    assert stated == {name: answered[name] for name in stated}
