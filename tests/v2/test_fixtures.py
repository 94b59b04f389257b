"""Recorded bodies of the second contract: each is decoded, or sent, as the contract states."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from support.clients import connected
from support.contract_v2 import answer_problems
from support.paths import TESTS
from support.pictures import picture
from support.rawserver import RawServer, status

from ideogram_async import (
    AssetIdentifier,
    Billed,
    Ideogram,
    IdeogramError,
    JsonPrompt,
    PaymentRequiredError,
    RateLimitError,
    Retry,
    SafetyError,
    v2,
)
from ideogram_async._operations import Request
from ideogram_async._wire.converter import converter
from ideogram_async._wire.encode import encode
from ideogram_async.sandbox import Sandbox

FOLDER = TESTS / "data" / "v2" / "fixtures"
PNG = picture()
POLL = v2.GetGeneration("g1")
ANSWERS: dict[str, tuple[Request[Any], str]] = {
    "generate_45_sync": (v2.Generate45("x"), "GenerateImageIdeogram45Response"),
    "generate_46_sync_two": (v2.Generate46("x"), "GenerateImageIdeogram46Response"),
    "generate_3_sync_mixed": (v2.Generate3("x"), "GenerateImageIdeogramV3Response"),
    "generation_pending": (POLL, "GenerationResponse"),
    "generation_completed": (POLL, "GenerationResponse"),
    "generation_completed_usage_cost": (POLL, "GenerationResponse"),
    "generation_completed_without_prompt_or_seed": (POLL, "GenerationResponse"),
    "generation_completed_layerized": (POLL, "GenerationResponse"),
    "generation_failed": (POLL, "GenerationResponse"),
    "describe_3": (v2.Describe3(PNG), "DescribeImageIdeogramV3Response"),
    "describe_4": (v2.Describe4(PNG), "DescribeImageIdeogramV4Response"),
    "magic_prompt_4": (v2.MagicPrompt4("x"), "MagicPromptV4Response"),
    "layerize_3_sync": (v2.Layerize3(PNG), "LayerizeDesignIdeogramV3Response"),
    "upscale_auto_sync": (v2.UpscaleAuto(PNG), "UpscaleToolResponse"),
    "remove_background_sync": (v2.RemoveBackground(PNG), "RemoveBackgroundV2Response"),
    "account_usage": (
        v2.GetAccountUsage(datetime(2026, 11, 1, tzinfo=UTC), end_time=datetime(2026, 11, 2, tzinfo=UTC)),
        "GetAccountUsageResponse",
    ),
    "jwks": (v2.GetWebhookKeys(), "WebhookSigningJwks"),
}


def load(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


async def receive(name: str, code: int = 200) -> Any:
    """Return the answer of a server that responds with a body, or the error."""
    body = (FOLDER / f"{name}.json").read_bytes()
    request = ANSWERS[name][0] if name in ANSWERS else v2.Generate45("x")
    async with RawServer(status(code, body)) as server, connected(server.url, retry=Retry(throttle_wait=0)) as client:
        try:
            return await client.send(request)
        except IdeogramError as error:
            return error


def test_every_body_is_used() -> None:
    """Each body has a test."""
    others = "accepted_as_in_the_schema accepted_id_only error_402_insufficient_funds error_422_safety"
    others += " error_429_inflight_limit error_429_inflight_limit_full error_reject_reason_null json_prompt price_quote"
    others += " price_quote_estimate replace_background_3_accepted request_generate_45_json_prompt request_generate_46"
    others += " request_remix_3_asset webhook_body"

    assert {*others.split(), *ANSWERS} == {path.stem for path in FOLDER.iterdir()}


@pytest.mark.parametrize("name", ANSWERS)
async def test_an_answer(name: str) -> None:
    """A body of the contract has the class of its operation, leaves nothing unread, and is JSON again."""
    request, schema = ANSWERS[name]
    received = await receive(name)
    content = json.loads(json.dumps(received.to_dict()))

    assert [] == answer_problems(load(name), schema)
    assert request.endpoint.answer is type(received)
    assert {} == {key: value for key, value in received.extra.items() if key != "response_type"}
    assert [{}] * len(content.get("data", ())) == [item.extra for item in getattr(received, "data", ())]


async def test_images() -> None:
    """Images have their own prompts and seeds; one that is not safe has no link, and is counted."""
    body, mixed = await receive("generate_46_sync_two"), await receive("generate_3_sync_mixed")
    expected = load("generate_46_sync_two")

    assert [item["url"] for item in expected["data"]] == [item.url for item in body]
    assert [item["seed"] for item in expected["data"]] == [item.seed for item in body.images]
    assert (expected["generation_id"], expected["seed"], "completed") == (body.generation_id, body.seed, body.status)
    assert [True, False] == [item.is_image_safe for item in mixed]
    assert [False, True] == [item.url is None for item in mixed]
    assert 2 == len(mixed)


async def test_polls() -> None:
    """A poll has the state, the time, the cost and the reason of a failure."""
    pending, failed = await receive("generation_pending"), await receive("generation_failed")
    cost = await receive("generation_completed_usage_cost")

    assert ("pending", (), None) == (pending.status, pending.data, pending.failure_reason)
    assert ("failed", "content_policy_violation") == (failed.status, failed.failure_reason)
    assert datetime(2000, 1, 23, 4, 56, 7, tzinfo=UTC) == pending.created
    assert Decimal(load("generation_completed_usage_cost")["usage_cost_usd_micros"]) / 10**6 == cost.usage_cost_usd


@pytest.mark.parametrize("name", ["generation_completed_layerized", "layerize_3_sync"])
async def test_layers(name: str) -> None:
    """A layered image has its text blocks, and two pictures."""
    received = await receive(name)
    item = load(name)["data"][0]

    assert isinstance(received[0], v2.Layered)
    assert item["text_blocks"] == list(received[0].text_blocks)
    assert [item["base_image_url"], item["url"]] == [image.url for image in received.images]


async def test_images_without_a_prompt() -> None:
    """Images of tools have neither prompt nor seed."""
    for name in ("remove_background_sync", "generation_completed_without_prompt_or_seed"):
        assert {(None, None)} == {(image.prompt, image.seed) for image in (await receive(name)).images}

    upscaled, expected = await receive("upscale_auto_sync"), load("upscale_auto_sync")
    assert (expected["width"], expected["height"]) == (upscaled.width, upscaled.height)


@pytest.mark.parametrize("name", ["describe_4", "magic_prompt_4"])
async def test_structured_prompts(name: str) -> None:
    """The prompt of an answer is equal JSON when it is sent again."""
    received, expected = await receive(name), load(name)["json_prompt"]

    assert expected == json.loads(str(received.json_prompt))
    assert expected == received.to_dict()["json_prompt"]
    assert expected == json.loads(json.loads(encode(v2.Generate4(received.json_prompt)).json or b"")["prompt"])


def test_a_structured_prompt() -> None:
    """A structured prompt is made from JSON, and is equal JSON again."""
    prompt = JsonPrompt.from_json(load("json_prompt"))
    text, cup = prompt.elements

    assert load("json_prompt") == prompt.to_dict()
    assert [] == v2.Generate4(prompt).problems()
    assert isinstance(text, v2.Text)
    assert isinstance(cup, v2.Obj)
    assert ("MORNING, MADE BOLD", (360, 100, 600, 900), None) == (text.text, text.box, cup.colors)


async def test_usage() -> None:
    """Costs are decimals, as the service writes them."""
    received, expected = await receive("account_usage"), load("account_usage")
    items = [item for bucket in received for item in bucket.line_items]
    lines = [item for bucket in expected["buckets"] for item in bucket["line_items"]]

    assert [item["cost_total"] for item in lines] == [str(item.cost_total) for item in items]
    assert [item["billed_units"]["unit_price"] for item in lines if "billed_units" in item] == [
        str(item.billed_units.unit_price) for item in items if item.billed_units
    ]


@pytest.mark.parametrize(
    ("name", "usd", "exact"), [("price_quote", "0.06", True), ("price_quote_estimate", "0.03", False)]
)
async def test_quotes(name: str, usd: str, exact: bool) -> None:
    """A quote has its amounts in dollars and credits."""
    body = (FOLDER / f"{name}.json").read_bytes()
    async with RawServer(status(200, body)) as server, connected(server.url) as client:
        quote = await client.quote(v2.Generate45("x"))

    assert [] == answer_problems(load(name), "PriceQuote")
    assert (Decimal(usd), Decimal(usd), exact) == (quote.usd, quote.worst_usd, quote.exact)
    assert {} == quote.extra
    assert Decimal(load(name)["credit_millis"]) / 1000 == quote.credits


@pytest.mark.parametrize("name", ["accepted_as_in_the_schema", "accepted_id_only", "replace_background_3_accepted"])
async def test_acceptance(name: str) -> None:
    """An id without data is an acceptance, and what it contains is kept for the answer."""
    body, completed = (FOLDER / f"{name}.json").read_bytes(), (FOLDER / "generation_completed.json").read_bytes()
    async with (
        RawServer(status(200, body), status(200, completed)) as server,
        Ideogram("k", base_url=server.url) as client,
    ):
        ticket = await client.submit(v2.ReplaceBackground3(PNG, "a beach"))
        received = await client.generations.wait(ticket)

    assert load(name)["generation_id"] == ticket.generation_id
    assert load(name).get("seed") == received.seed
    assert 1 == len(received.images)


@pytest.mark.parametrize(
    ("name", "code", "kind", "reason", "maximum"),
    [
        ("error_402_insufficient_funds", 402, PaymentRequiredError, "insufficient_funds", None),
        ("error_422_safety", 422, SafetyError, None, None),
        ("error_429_inflight_limit", 429, RateLimitError, "inflight_limit", None),
        ("error_429_inflight_limit_full", 429, RateLimitError, "inflight_limit", 8),
        ("error_reject_reason_null", 429, RateLimitError, None, 8),
    ],
)
async def test_an_error(
    name: str, code: int, kind: type[IdeogramError], reason: str | None, maximum: int | None
) -> None:
    """A refusal has the reason and the limit of its body, and costs nothing."""
    error = await receive(name, code)

    assert kind is type(error)
    assert (Billed.NO, reason) == (error.billed, error.reason)
    assert load(name)["error"] in str(error)
    assert maximum == getattr(error, "max_in_flight", None)


def test_a_delivery() -> None:
    """The body of a delivery is a generation."""
    generation = converter().structure(load("webhook_body"), v2.Generation)

    assert [item["url"] for item in load("webhook_body")["data"]] == [item.url for item in generation.images]


POSTER = load("json_prompt")
FOX = AssetIdentifier(asset_type="RESPONSE", asset_id="kA3xQm2RTO6n0vYzW1sLpg")


@pytest.mark.parametrize(
    ("name", "request_"),
    [
        (
            "request_generate_46",
            v2.Generate46("A red fox in the snow", num_images=2, size="4096x2304", quality="medium"),
        ),
        ("request_generate_45_json_prompt", v2.Generate45(JsonPrompt.from_json(POSTER))),
        ("request_remix_3_asset", v2.Remix3(FOX, "the same fox at night", image_weight=60, color_palette="ember")),
    ],
)
async def test_a_request(client: Ideogram, sandbox: Sandbox, name: str, request_: Any) -> None:
    """A request is sent as this JSON; `async` is the mode of sending."""
    await client.send(request_)
    expected = {key: value for key, value in load(name).items() if key != "async"}
    sent = dict(sandbox.requests[0].json)
    if isinstance(request_.prompt, JsonPrompt):
        expected["prompt"], sent["prompt"] = json.loads(expected["prompt"]), json.loads(sent["prompt"])

    assert expected == sent
