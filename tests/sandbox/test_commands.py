"""Control of the sandbox over HTTP."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.paths import ROOT

from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox.faults import NAMES

GENERATE = {"image_request": {"prompt": "a fox", "num_images": 2}}


@pytest.fixture
async def controlled(make_api: Any) -> AsyncIterator[Any]:
    """Return a client of a sandbox that is controlled over HTTP."""
    async with Sandbox(control=True) as sandbox:
        yield make_api(sandbox)


async def test_off_unless_requested(api: Any, sandbox: Sandbox) -> None:
    """Without the option the paths of the control are unknown operations, and have no effect."""
    await api.post("/generate", GENERATE)
    answers = [await api.get("/sandbox/ledger"), await api.post("/sandbox/reset", {})]

    assert [404, 404] == [answer.status for answer in answers]
    assert 2 == sandbox.ledger.billed_images


async def test_ledger(controlled: Any) -> None:
    """The ledger contains every billed call, and amounts as strings."""
    for _ in range(2):
        await controlled.post("/generate", GENERATE)

    ledger = (await controlled.get("/sandbox/ledger")).json
    [first, second] = ledger["entries"]

    assert (4, "0.32", 2) == (ledger["billed_images"], ledger["billed_usd"], ledger["peak_in_flight"])
    assert [first["fingerprint"]] == [second["fingerprint"]] == ledger["duplicates"]
    assert ("POST /generate", 2, "0.16") == (first["operation"], first["images"], first["usd"])


async def test_an_unpublished_price_is_null(controlled: Any, png: bytes) -> None:
    """A call without a published price has none in the ledger, either."""
    fields = [("prompt", "a fox"), ("rendering_speed", "FLASH"), ("character_reference_images", ("a.png", png))]
    await controlled.form("/v1/ideogram-v3/generate", fields)

    assert [None] == [entry["usd"] for entry in (await controlled.get("/sandbox/ledger")).json["entries"]]


@pytest.mark.parametrize(
    ("fault", "status", "images"),
    [
        ({"fault": "html_502"}, 502, 2),
        ({"fault": "status", "code": 401, "body": {"error": "no"}, "headers": {"X-Reason": "test"}}, 401, 0),
        ({"fault": "status", "code": 503, "operation": "/generate"}, 503, 0),
        ({"fault": "unsafe", "count": 1}, 200, 2),
        ({"fault": "html_502", "after": 1}, 200, 2),
        ({"fault": "html_502", "operation": "describe"}, 200, 2),
    ],
)
async def test_faults(controlled: Any, fault: dict[str, Any], status: int, images: int) -> None:
    """A fault is injected with the arguments that it has in Python."""
    added = await controlled.post("/sandbox/faults", fault)
    answer = await controlled.post("/generate", GENERATE)

    assert (200, status) == (added.status, answer.status)
    assert images == controlled.sandbox.ledger.billed_images


async def test_hold_wait_and_release(controlled: Any) -> None:
    """A held call occupies its slots until it is released."""
    await controlled.post("/sandbox/hold", {})
    running = asyncio.create_task(controlled.post("/generate", GENERATE))
    await controlled.post("/sandbox/wait", {"requests": 1})
    before = (await controlled.get("/sandbox/ledger")).json
    await controlled.post("/sandbox/release", {})
    await controlled.post("/sandbox/wait", {})
    after = (await controlled.get("/sandbox/ledger")).json

    assert (0, 2) == (before["billed_images"], after["billed_images"])
    assert 200 == (await running).status


async def test_requests(controlled: Any, png: bytes) -> None:
    """The records contain parts and headers, but no key; commands are not recorded."""
    form = await controlled.form(
        "/v1/ideogram-v3/remix", [("prompt", "a fox"), ("image", ("a.png", png))], key="secret"
    )
    await controlled.post("/generate", {"image_request": {"prompt": "\ud800"}})
    await controlled.image(form.url)
    answer = await controlled.get("/sandbox/requests")

    remix, generate = answer.json["requests"]
    [prompt, image] = remix["parts"]

    assert b"secret" not in answer.body
    assert ("POST /v1/ideogram-v3/remix", 200, 400) == (remix["operation"], remix["status"], generate["status"])
    assert ["Api-Key", "***"] in remix["headers"]
    assert ("a fox", None) == (prompt["text"], prompt["filename"])
    assert (None, "a.png", len(png)) == (image["text"], image["filename"], image["bytes"])
    assert {"image_request": {"prompt": "\ud800"}} == generate["json"]
    assert 1 == len(answer.json["image_requests"])


async def test_generations(controlled: Any) -> None:
    """Accepted calls are listed with their state, polls and deliveries."""
    hook = {"prompt": "a fox", "webhook_url": "http://127.0.0.1:9/hook"}
    accepted = await controlled.post("/v2/image/generate/ideogram-4-5", hook)
    await controlled.post("/sandbox/wait", {})
    await controlled.get(f"/v2/generations/{accepted.json['generation_id']}")
    answer = await controlled.get("/sandbox/generations")

    [generation] = answer.json["generations"]

    assert ("completed", 1) == (generation["status"], generation["polls"])
    assert accepted.json["generation_id"] == generation["generation_id"]
    assert [(hook["webhook_url"], None)] * 3 == [(each["url"], each["status"]) for each in answer.json["deliveries"]]


async def test_advance_and_reset(controlled: Any) -> None:
    """The clock is moved, and a reset forgets everything."""
    link = (await controlled.post("/generate", GENERATE)).url
    await controlled.post("/sandbox/advance", {"seconds": 86_400})
    expired = await controlled.image(link)
    await controlled.post("/sandbox/reset", {})

    assert 403 == expired.status
    assert 0 == (await controlled.get("/sandbox/ledger")).json["billed_images"]


async def test_a_refused_port_is_opened_from_the_other(controlled: Any) -> None:
    """While the port of the API refuses connections, that of the images runs commands."""
    await controlled.post("/sandbox/faults", {"fault": "refuse"})
    with pytest.raises(aiohttp.ClientConnectorError):
        await controlled.get("/sandbox/ledger")
    await controlled.call("POST", f"{controlled.sandbox.image_url}/sandbox/release")

    assert 200 == (await controlled.post("/generate", GENERATE)).status


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("faults", {}, "'fault'"),
        ("faults", {"fault": "nonsense"}, "unknown fault 'nonsense'; expected one of refuse, "),
        ("faults", {"fault": "__init__"}, "unknown fault"),
        ("faults", {"fault": ["hang"]}, "unknown fault"),
        ("faults", {"fault": "hang", "code": 5}, "hang has no argument 'code'"),
        ("faults", {"fault": "status"}, "'code'"),
        ("faults", {"fault": "status", "code": "401"}, "code must be an integer"),
        ("faults", {"fault": "hang", "operation": "draw"}, "unknown operation 'draw'"),
        ("faults", {"fault": "hang", "times": 0}, "times must be at least 1"),
        ("advance", {"seconds": "60"}, "seconds"),
        ("advance", {"seconds": 1e300}, "seconds must lead to a year up to 9999"),
        ("advance", {"seconds": 1, "minutes": 1}, "'minutes'"),
        ("wait", {"requests": "1"}, "wait: "),
        ("reset", [], "JSON object"),
        ("reset", None, "JSON object"),
    ],
)
async def test_invalid_commands(controlled: Any, path: str, body: object, message: str) -> None:
    """An invalid command is answered with 400 and the reason, and has no effect."""
    await controlled.post("/generate", GENERATE)
    headers = {"Content-Type": "application/json"}
    url = f"{controlled.sandbox.url}/sandbox/{path}"
    answer = await controlled.call("POST", url, data=json.dumps(body).encode(), headers=headers)

    assert 400 == answer.status
    assert message in answer.json["error"]
    assert 200 == (await controlled.post("/generate", GENERATE)).status
    assert 4 == controlled.sandbox.ledger.billed_images


async def test_unknown_commands(controlled: Any) -> None:
    """An unknown command, or one of another method, is 404 and lists the commands."""
    answers = [await controlled.get("/sandbox/reset"), await controlled.post("/sandbox/", {})]

    assert [404, 404] == [answer.status for answer in answers]
    assert all("GET /sandbox/ledger, " in answer.json["error"] for answer in answers)


async def test_every_fault_has_a_name(controlled: Any) -> None:
    """Every fault can be injected over HTTP."""
    arguments = {"status": {"code": 500}, "rejected": {"reason": "daily_limit"}}
    faults = [{"fault": name, "operation": "describe", **arguments.get(name, {})} for name in NAMES]
    statuses = [
        (await controlled.post("/sandbox/faults", fault)).status for fault in faults if fault["fault"] != "refuse"
    ]

    assert {200} == set(statuses)
    assert set(NAMES) == {name for name in vars(Fault) if name in NAMES}


async def test_the_command_on_the_page(controlled: Any) -> None:
    """The page's command line for curl makes calls fail as it says."""
    page = (ROOT / "docs" / "sandbox.md").read_text()
    [line] = re.findall(r"^curl (.+)$", page, re.MULTILINE)
    url, _, body = shlex.split(line)
    # curl declares a form, whatever it sends.
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    path = url.removeprefix("http://127.0.0.1:8080")
    added = await controlled.call("POST", controlled.sandbox.url + path, data=body.encode(), headers=headers)
    statuses = [(await controlled.post("/v1/ideogram-v3/generate", {"prompt": "a"})).status for _ in range(3)]

    assert 200 == added.status
    assert [503, 503, 200] == statuses
