"""Rules of the legacy operations about the model: the same for all of them, and those of the service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from support.clients import connected
from support.pictures import picture

from ideogram_async import APIStatusError, Unchecked
from ideogram_async.enums import ModelEnum
from ideogram_async.requests import LegacyEdit, LegacyGenerate, LegacyReframe, LegacyRemix
from ideogram_async.sandbox import Sandbox

PNG, SIZE = picture(), "RESOLUTION_1280_704"
FEATURES = {"style_type": "ANIME", "negative_prompt": "fog", "color_palette": "EMBER", "resolution": SIZE}
OPERATIONS: dict[type[Any], tuple[Any, ...]] = {
    LegacyGenerate: ("a fox",),
    LegacyRemix: (PNG, "a fox"),
    LegacyEdit: (PNG, PNG, "a fox"),
    LegacyReframe: (PNG, SIZE),
}


def requests(model: str) -> Iterator[tuple[str, Any]]:
    """Yield a request for each operation and each of its fields that depend on the model, and the field."""
    for kind, required in OPERATIONS.items():
        for name, value in FEATURES.items():
            is_positional = kind is LegacyReframe and name == "resolution"
            if hasattr(kind(*required, model=model), name):
                yield name, kind(*required, model=model, **({} if is_positional else {name: value}))


@pytest.mark.parametrize("model", ModelEnum)
def test_same_rule_everywhere(model: ModelEnum) -> None:
    """A field that a model supports, or does not, is judged alike and in the same words by every operation."""
    rules: dict[str, set[str]] = {}
    for name, request in requests(model):
        rules.setdefault(name, set()).update(text for field, text in request.problems() if field == name)
        if not any(field == name for field, _ in request.problems()):
            rules[name].add("supported")

    assert dict.fromkeys(FEATURES, 1) == {name: len(texts) for name, texts in rules.items()}


async def test_the_service_agrees() -> None:
    """The sandbox, which has its own rules, accepts and refuses the same requests of every model."""
    expected, actual = [], []
    async with Sandbox() as sandbox, connected(sandbox.url) as client:
        for model in ModelEnum:
            for name, request in requests(model):
                expected.append((name, request.problems() == []))
                try:
                    await client.with_options(validate=False).send(request)
                except APIStatusError as error:
                    actual.append((name, error.status != 400))
                else:
                    actual.append((name, True))

    assert expected == actual


@pytest.mark.parametrize("model", [*map(Unchecked, ModelEnum), Unchecked("V_9")])
def test_unchecked_model(model: Unchecked) -> None:
    """A model that is not checked supports every field."""
    assert [] == [problem for _, request in requests(model) for problem in request.problems()]


@pytest.mark.parametrize("model", ["V_9", "v_1", 5, None, ["V_1"]])
def test_unknown_model(model: Any) -> None:
    """A model that does not exist is the only problem of a request."""
    fields = {name for _, request in requests(model) for name, _ in request.problems()}

    assert {"model"} == fields
