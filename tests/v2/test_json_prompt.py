"""Structured prompts: what an answer contains goes back unchanged, and limits are checked when it is sent."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Any

import attrs
import pytest
from support.clients import connected
from support.pictures import picture
from support.rawserver import RawServer, status

from ideogram_async import Ideogram, JsonPrompt, v2
from ideogram_async.sandbox import Sandbox

PLAIN: dict[str, Any] = {
    "high_level_description": "a fox",
    "compositional_deconstruction": {"background": "snow", "elements": []},
}


def with_elements(*elements: Any) -> dict[str, Any]:
    return {**PLAIN, "compositional_deconstruction": {"background": "snow", "elements": list(elements)}}


BODIES: list[dict[str, Any]] = [
    PLAIN,
    {**PLAIN, "tags": ["a", "b"], "mood": {"x": [1, None]}},
    {**PLAIN, "tags": None, "style_description": None},
    {**PLAIN, "tags": "a", "style_description": "bold"},
    {**PLAIN, "style_description": {}},
    {**PLAIN, "style_description": {"photo": "macro", "art_style": None, "grain": 3, "color_palette": ["#abc", 5]}},
    {**PLAIN, "compositional_deconstruction": {"background": None, "elements": None, "depth": 2}},
    {**PLAIN, "compositional_deconstruction": {"background": "", "elements": [], "layers": [{}]}},
    with_elements({"type": "obj", "desc": "a"}, {"type": "text", "text": "A", "desc": "b", "bbox": [0, 0, 1, 1]}),
    with_elements({"type": "obj", "desc": "a", "bbox": None, "glow": True, "color_palette": []}),
    with_elements({"type": "obj", "desc": None}, {"type": "text", "desc": "b"}, {"type": "text", "text": None}),
    with_elements({"type": "obj", "desc": "a", "bbox": "left"}, {"type": "obj", "desc": "a", "bbox": [1, 2]}),
    with_elements({"type": "neon", "power": 1}, {"desc": "no type"}, "text", None, 5, []),
    with_elements(*({"type": "obj", "desc": "x", "color_palette": ["#000000"] * 9} for _ in range(40))),
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_round_trip(body: dict[str, Any]) -> None:
    """The prompt of a description is equal JSON again, with unknown fields, nulls, elements and broken limits."""
    answer = {"created": "2026-11-28T09:30:00Z", "description_id": "d", "json_prompt": body}
    async with RawServer(status(200, json.dumps(answer).encode())) as server, connected(server.url) as client:
        prompt = (await client.v2.describe_4(picture())).json_prompt

    again = JsonPrompt.from_json(json.loads(str(prompt)))

    assert body == prompt.to_dict() == json.loads(str(prompt))
    assert prompt == again == copy.deepcopy(prompt) == pickle.loads(pickle.dumps(prompt))
    assert hash(prompt) == hash(again)


async def test_describe_edit_generate(client: Ideogram, sandbox: Sandbox) -> None:
    """A description can be changed like any value, and sent."""
    described = (await client.v2.describe_4(picture())).json_prompt
    changed = attrs.evolve(described, background="a beach", elements=[*described.elements, v2.Obj("a crab")])
    await client.v2.generate_46(changed)
    sent = json.loads(sandbox.requests[-1].json["prompt"])

    assert "a beach" == sent["compositional_deconstruction"]["background"]
    assert {"type": "obj", "desc": "a crab"} == sent["compositional_deconstruction"]["elements"][-1]


@pytest.mark.parametrize(
    "value", [None, [], "a fox", {}, {"high_level_description": "x"}, {**PLAIN, "high_level_description": 1}]
)
def test_other_json(value: Any) -> None:
    """JSON that is not a structured prompt is a `TypeError`."""
    with pytest.raises(TypeError, match="expected a structured prompt"):
        JsonPrompt.from_json(value)


@pytest.mark.parametrize(
    ("prompt", "message"),
    [
        (JsonPrompt("x", extra={"a": float}), "cannot be sent as JSON"),
        (JsonPrompt("\ud800"), "contains an unpaired surrogate"),
        (JsonPrompt(None), "needs a description of type str, not NoneType"),  # type: ignore[arg-type]
    ],
)
def test_wrong_types(prompt: JsonPrompt, message: str) -> None:
    """A value that JSON does not have is refused, also without validation."""
    [(field, problem)] = v2.Generate4(prompt).problems(validate=False)

    assert "prompt" == field
    assert message in problem


def test_limits_are_not_checked_before_sending() -> None:
    """Constructing a prompt refuses nothing; a request lists every fault with its place."""
    box: Any = (9, 0, 0, 1)
    prompt = JsonPrompt("x", elements=[v2.Obj("a"), v2.Text("A", "b", box=box, colors=["red"] * 6)])
    problems = [text for _, text in v2.Generate4(prompt).problems()]

    assert 8 == len(problems)
    assert all(text.startswith("elements[1].") for text in problems)
    assert [] == v2.Generate4(prompt).problems(validate=False)
