"""Prices of the second contract, quotes, and the usage of the account."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from support.contract_v2 import FORM, ROUTES, answer_problems, example, form_of
from support.pictures import picture

from ideogram_async._prices import bundled_prices
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox.contract import Route

ASSET = {"asset_type": "RESPONSE", "asset_id": "x"}
GENERATE_45, GENERATE_46 = "/v2/image/generate/ideogram-4-5", "/v2/image/generate/ideogram-4-6"
QUOTED = [operation for operation, route in ROUTES.items() if route.has_quote]
NOT_QUOTED = [operation for operation, route in ROUTES.items() if route.method == "POST" and not route.has_quote]


@pytest.mark.parametrize("operation", QUOTED)
async def test_quote(api: Any, sandbox: Sandbox, operation: str) -> None:
    """A quote is the price that the call is then billed, and is itself neither run nor billed."""
    path, body = operation.removeprefix("POST "), example(operation, "application/json")
    quote = await api.post(f"{path}?dry_run=true", body)
    before = (sandbox.ledger.entries, sandbox.generations, sandbox.peak_in_flight)
    await api.post(path, body)
    await sandbox.wait_idle()

    assert [] == answer_problems(quote.json, "PriceQuote")
    assert ((), [], 0) == before
    assert sandbox.ledger.billed_usd * 10**6 == quote.json["usd_micros"]
    assert quote.json["usd_micros"] // 10 == quote.json["credit_millis"]


@pytest.mark.parametrize("operation", [*NOT_QUOTED, "POST /v1/ideogram-v3/generate"])
async def test_undeclared_dry_run(api: Any, sandbox: Sandbox, operation: str) -> None:
    """Where `dry_run` is not declared, the call runs and is billed."""
    body = example(operation, "application/json") if operation in ROUTES else {"prompt": "a fox"}
    answer = await api.post(operation.removeprefix("POST ") + "?dry_run=true", body)

    assert 200 == answer.status
    assert "object" not in answer.json
    assert [operation] == [entry.operation for entry in sandbox.ledger.entries]


async def test_undeclared_operations() -> None:
    """Describing and magic prompts have no quote."""
    assert 3 == len(NOT_QUOTED)


async def test_quote_is_a_check(api: Any, sandbox: Sandbox) -> None:
    """A quote validates like the call, but needs neither balance nor slots, and reviews nothing for safety."""
    async with Sandbox(balance_usd=0, max_in_flight=1) as poor:
        url = poor.url + GENERATE_45 + "?dry_run=true"
        unsafe = {"prompt": "an unsafe-prompt", "num_images": 8}
        quote = await api.call("POST", url, headers={"Api-Key": "key"}, json=unsafe)
        refused = await api.call("POST", url, headers={"Api-Key": "key"}, json={"prompt": ""})

    assert (200, 400) == (quote.status, refused.status)
    assert ("exact", 8, 800_000) == tuple(quote.json[name] for name in ("qualifier", "quantity", "usd_micros"))
    assert "ideogram_4_5_generate" == quote.json["billing_identifier"]


@pytest.mark.parametrize(("value", "status"), [("true", "price_quote"), ("false", None), ("yes", None)])
async def test_values_of_dry_run(api: Any, value: str, status: str | None) -> None:
    """`dry_run` is `true` or `false`."""
    answer = await api.post(f"{GENERATE_45}?dry_run={value}", {"prompt": "a fox"})

    assert status == answer.json.get("object")
    assert (400 if value == "yes" else 200) == answer.status


async def test_quote_of_an_accepted_call(api: Any, sandbox: Sandbox) -> None:
    """A quote of a call that would be accepted accepts nothing."""
    quote = await api.post(f"{GENERATE_45}?dry_run=true", {"prompt": "a fox", "async": True})

    assert "price_quote" == quote.json["object"]
    assert [] == sandbox.generations


async def test_quote_of_an_unpublished_price(api: Any) -> None:
    """An unpublished price is an estimate, with an upper bound."""
    body = {"prompt": "a fox", "image_asset_identifier": ASSET}
    quote = await api.post("/v2/image/precise-edit/ideogram-4-6?dry_run=true", body)

    assert "estimate" == quote.json["qualifier"]
    assert quote.json["usd_micros"] <= quote.json["upper_bound_usd_micros"]


def priced_fields(route: Route) -> list[dict[str, Any]]:
    """Return the fields that may set the price of an operation, in all combinations."""
    by = route.price.get("by", "")
    tiers = [{by: tier} for tier in route.price["usd"]] if by else []
    areas = [{"size": size} for size in ("auto", "2048x2048", "2048x2080")] if "large" in route.price else []
    if route.has("output_resolution"):
        areas = [{"output_resolution": each} for each in ("1k", "2k", "8k")]

    refused = {"quality": "very_low", "size": "2048x2080"}
    sources = {"image_asset_identifiers": [ASSET]} if "default_with_sources" in route.price else {}
    each = [tier | area | sources for tier in [{}, *tiers] for area in [{}, *areas]]
    return [fields for fields in each if fields != refused]


PRICED = [(name, fields) for name, route in ROUTES.items() if route.has_quote for fields in priced_fields(route)]


@pytest.mark.parametrize(("operation", "fields"), PRICED, ids=str)
async def test_exact_prices_are_published(api: Any, operation: str, fields: dict[str, Any]) -> None:
    """A quote is exact only if the price table has its price; any other has an upper bound."""
    path = operation.removeprefix("POST ")
    quote = (await api.post(f"{path}?dry_run=true", {**example(operation, "application/json"), **fields})).json
    rates = {usd.usd for name, usd in bundled_prices().items() if re.match(rate_pattern(path, fields), name)}
    unit_usd = Decimal(quote["usd_micros"]) / 10**6 / quote["quantity"]

    assert (quote["qualifier"] == "exact") == ("upper_bound_usd_micros" not in quote)
    assert quote["qualifier"] == "estimate" or unit_usd in rates


def rate_pattern(path: str, fields: dict[str, Any]) -> str:
    """Return a pattern of the rates that a call may have."""
    *_, action, model = path.split("/")
    tier = fields.get("quality") or fields.get("rendering_speed") or r"\w+"
    area = {"2048x2080": "-large", "2k": "-2k", "8k": "-8k", "1k": "-1k"}
    suffix = area.get(fields.get("size") or fields.get("output_resolution") or "", "(-1k)?")
    return rf"v2/{action}/{model}{suffix}(\.{tier})?$"


@pytest.mark.parametrize(
    ("path", "fields", "worst"),
    [
        (GENERATE_46, {}, "0.20"),
        (GENERATE_46, {"quality": "low"}, "0.06"),
        (GENERATE_46, {"size": "auto"}, "0.20"),
        (GENERATE_45, {"quality": "very_low", "image_asset_identifiers": [ASSET], "num_images": 2}, "0.20"),
        ("/v2/image/generate/ideogram-4-transparent", {"rendering_speed": "turbo"}, "0.10"),
    ],
)
async def test_upper_bounds(api: Any, path: str, fields: dict[str, Any], worst: str) -> None:
    """A price that depends on what is left open, or that is not published, is an estimate with the highest price."""
    quote = (await api.post(f"{path}?dry_run=true", {"prompt": "a fox", **fields})).json

    assert ("estimate", int(Decimal(worst) * 10**6)) == (quote["qualifier"], quote["upper_bound_usd_micros"])


@pytest.mark.parametrize(
    ("path", "fields", "usd"),
    [
        (GENERATE_46, {}, "0.10"),
        (GENERATE_46, {"quality": "low", "num_images": 3}, "0.09"),
        (GENERATE_46, {"quality": "low", "size": "auto"}, "0.03"),
        (GENERATE_46, {"quality": "low", "size": "4096x4096"}, "0.06"),
        (GENERATE_46, {"quality": "high", "size": "2048x2048"}, "0.10"),
        (GENERATE_46, {"quality": "high", "size": "2048x2080"}, "0.20"),
        (GENERATE_45, {}, "0.10"),
        (GENERATE_45, {"image_asset_identifiers": [ASSET]}, "0.06"),
        ("/v2/image/generate/ideogram-4", {"rendering_speed": "turbo"}, "0.03"),
        ("/v2/image/generate/ideogram-4", {"rendering_speed": "quality"}, "0.10"),
        ("/v2/image/generate/ideogram-3", {"rendering_speed": "quality"}, "0.09"),
        ("/v2/image/precise-edit/ideogram-4-5", {"image_asset_identifier": ASSET, "quality": "high"}, "0.22"),
    ],
)
async def test_prices(api: Any, sandbox: Sandbox, path: str, fields: dict[str, Any], usd: str) -> None:
    """The options decide the price."""
    await api.post(path, {"prompt": "a fox", **fields})

    assert Decimal(usd) == sandbox.ledger.billed_usd


@pytest.mark.parametrize(("factor", "usd"), [("x2", "0.251659"), ("x4", "1.006636")])
async def test_price_of_upscaling(api: Any, sandbox: Sandbox, factor: str, usd: str) -> None:
    """Upscaling is billed by the size of its result, and its polls have the cost."""
    operation = "POST /v2/image/upscale/auto"
    fields = {"image": picture(size=(1024, 1024)), "upscale_factor": factor, "async": True}
    url = sandbox.url + operation.removeprefix("POST ")
    accepted = await api.call("POST", url, headers={"Api-Key": "key"}, data=form_of(operation, fields))
    await sandbox.wait_idle()
    polled = await api.get(f"/v2/generations/{accepted.json['generation_id']}")

    assert FORM in ROUTES[operation].bodies
    assert Decimal(usd) == sandbox.ledger.billed_usd
    assert int(Decimal(usd) * 10**6) == polled.json["usage_cost_usd_micros"]


def params(start: datetime, **others: str) -> list[tuple[str, str]]:
    """Return a query from a start time on."""
    return [("start_time", start.isoformat()), *others.items()]


async def test_usage(api: Any, sandbox: Sandbox) -> None:
    """Usage lists what was billed, by day, endpoint and unit price, in decimal text; failed calls are absent."""
    start = datetime.now(UTC) - timedelta(hours=1)
    for images in (1, 2):
        await api.post(GENERATE_45, {"prompt": "a fox", "num_images": images})
    await api.generate()
    sandbox.fail(GENERATE_45, fault=Fault.failed())
    await api.post(GENERATE_45, {"prompt": "a fox", "async": True})
    sandbox.advance(2 * 86400)
    await api.generate()
    answer = await api.get("/v2/account/usage", params(start))

    days = [bucket["line_items"] for bucket in answer.json["buckets"]]
    first, second, third = [[(item["endpoint"], item["cost_total"]) for item in items] for items in days]

    assert [] == answer_problems(answer.json, "GET /v2/account/usage")
    assert [(GENERATE_45, "0.30"), ("/v1/ideogram-v3/generate", "0.06")] == first
    assert ([], [("/v1/ideogram-v3/generate", "0.06")]) == (second, third)
    assert {"quantity": "3", "unit": "image", "unit_price": "0.10"} == days[0][0]["billed_units"]
    assert sandbox.ledger.billed_usd == sum(Decimal(usd) for _, usd in [*first, *third])


async def test_usage_by_the_hour(api: Any) -> None:
    """Buckets have the asked width, from the start on, and the last one ends at the end."""
    start = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
    end = (start + timedelta(hours=2, minutes=5)).isoformat()
    answer = await api.get("/v2/account/usage", params(start, end_time=end, bucket_width="1h"))

    times = [(bucket["start_time"][11:16], bucket["end_time"][11:16]) for bucket in answer.json["buckets"]]

    assert [("09:30", "10:30"), ("10:30", "11:30"), ("11:30", "11:35")] == times


@pytest.mark.parametrize(("sources", "items"), [(["api"], 1), (["app"], 0), (["api", "app"], 1)])
async def test_sources(api: Any, sources: list[str], items: int) -> None:
    """Everything that a sandbox bills is usage of the API."""
    await api.post(GENERATE_45, {"prompt": "a fox"})
    query = params(datetime.now(UTC) - timedelta(hours=1)) + [("sources", source) for source in sources]
    answer = await api.get("/v2/account/usage", query)

    assert items == len(answer.json["buckets"][0]["line_items"])


@pytest.mark.parametrize(
    "query",
    [
        [],
        [("start_time", "yesterday")],
        [("start_time", "2026-11-28")],
        [("start_time", "0001-01-01T00:00:00+23:59"), ("end_time", "0001-01-01T00:00:00+00:01")],
        [("start_time", "9999-12-31T00:00:00Z"), ("end_time", "9999-12-31T23:59:59-23:59")],
        [("start_time", "2026-11-28T09:30:00")],
        [("start_time", "2026-11-28T09:30:00Z"), ("end_time", "2026-11-27T09:30:00Z")],
        [("start_time", "2026-01-01T00:00:00Z"), ("end_time", "2026-04-04T00:00:00Z")],
        [("start_time", "2026-01-01T00:00:00Z"), ("end_time", "2026-01-08T01:00:00Z"), ("bucket_width", "1h")],
        [("start_time", "2026-11-28T09:30:00Z"), ("bucket_width", "1w")],
        [("start_time", "2026-11-28T09:30:00Z"), ("sources", "web")],
        [("start_time", "2026-11-28T09:30:00Z"), ("page", "2")],
    ],
)
async def test_invalid_usage(api: Any, query: list[tuple[str, str]]) -> None:
    """A span that is too long, or a parameter that is not declared, is refused."""
    assert 400 == (await api.get("/v2/account/usage", query)).status


async def test_keys_need_no_key(api: Any, sandbox: Sandbox) -> None:
    """The public keys need no key; other operations need a key."""
    urls = [sandbox.url + path for path in ("/v1/.well-known/jwks.json", "/v2/account/usage", "/v2/generations/x")]

    assert [200, 401, 401] == [(await api.call("GET", url)).status for url in urls]
