"""Each operation of the second contract takes what the contract declares, and replies in its own form."""

from __future__ import annotations

from typing import Any

import pytest
from support.contract_v2 import BODIES, FORM, JSON, ROUTES, answer_problems, example, form_of, request_problems

from ideogram_async.sandbox.contract import find_schema

ASYNC_ONLY = [operation for operation, route in ROUTES.items() if route.mode == "async-only"]


async def send(api: Any, operation: str, fields: dict[str, Any], media_type: str = JSON, query: str = "") -> Any:
    """Send a request with a body of a type."""
    body = {"json": fields} if media_type == JSON else {"data": form_of(operation, fields)}
    url = api.sandbox.url + operation.removeprefix("POST ") + query
    return await api.call("POST", url, headers={"Api-Key": "key"}, **body)


@pytest.mark.parametrize(("operation", "media_type"), [body for body in BODIES if body[0] not in ASYNC_ONLY])
async def test_answer(api: Any, sandbox: Any, operation: str, media_type: str) -> None:
    """The smallest request is answered at once, in the form of the contract, and billed once."""
    answer = await send(api, operation, example(operation, media_type), media_type)

    [entry] = sandbox.ledger.entries
    images = len(answer.json.get("data", []))

    assert 200 == answer.status, answer.body
    assert [] == answer_problems(answer.json, operation)
    assert [] == request_problems(sandbox.requests[0])
    assert (operation, images) == (entry.operation, entry.images)
    assert ("data" in ROUTES[operation].answer["properties"]) == bool(images)
    for image in answer.json.get("data", []):
        assert 200 == (await api.image(image["url"])).status


@pytest.mark.parametrize(("operation", "media_type"), BODIES)
async def test_required(api: Any, sandbox: Any, operation: str, media_type: str) -> None:
    """Without one of the fields that it needs, a request is refused by name, and nothing is billed."""
    fields = example(operation, media_type)
    for name in fields:
        answer = await send(api, operation, {key: fields[key] for key in fields if key != name}, media_type)

        assert 400 == answer.status
        assert "is required" in answer.json["error"]
        assert name in answer.json["error"]

    assert () == sandbox.ledger.entries


@pytest.mark.parametrize(("operation", "media_type"), BODIES)
async def test_unknown_field(api: Any, operation: str, media_type: str) -> None:
    """An unknown field is refused, except where the contract does not list all fields."""
    answer = await send(api, operation, {**example(operation, media_type), "background": "x"}, media_type)

    is_open = ROUTES[operation].bodies[media_type].schema.get("x-open", False)

    assert (200 if is_open else 400) == answer.status
    assert is_open == operation.endswith("4-6")


def test_find_schema_of_both_contracts() -> None:
    """Schemas of both contracts are found by name."""
    assert "512x1536" in find_schema("ResolutionV3")["enum"]
    assert "2048x2048" in find_schema("ResolutionV4")["enum"]
    assert FORM not in ROUTES["POST /v2/image/generate/ideogram-4"].bodies
