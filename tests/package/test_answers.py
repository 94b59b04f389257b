"""Answers as lists and as JSON-ready dictionaries."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ideogram_async._wire.converter import converter
from ideogram_async.models import (
    DescribeResponse,
    GetDatasetResponse,
    ImageGenerationResponseV3,
    LayerizeTextResponse,
    ListDatasetsResponse,
    ListModelsResponse,
    Reply,
)
from ideogram_async.models.base import Answer, ListAnswer

DATASET = {"dataset_id": "d", "name": "foxes", "user_id": "u", "creation_time": "2026-06-02T16:24Z"}
MODEL = {
    "model_id": "m",
    "name": "red foxes",
    "status": "COMPLETED",
    "creation_time": "2026-06-02T16:24:00+00:00",
    "is_available_for_generation": True,
    "is_owned": True,
}
IMAGE = {
    "url": "https://ideogram.ai/x.png",
    "prompt": "a fox",
    "resolution": "1024x1024",
    "is_image_safe": True,
    "seed": 7,
    "style_type": "FICTION",
}
IMAGES: dict[str, Any] = {"created": "2026-06-02T16:24:00+00:00", "data": [IMAGE, IMAGE | {"seed": 8}]}

LISTS: list[tuple[type[ListAnswer[Any]], dict[str, Any], str]] = [
    (ImageGenerationResponseV3, IMAGES, "data"),
    (DescribeResponse, {"descriptions": [{"text": "a fox"}, {"text": "a red fox"}]}, "descriptions"),
    (ListDatasetsResponse, {"datasets": [DATASET, DATASET | {"name": "dogs"}]}, "datasets"),
    (ListModelsResponse, {"models": [MODEL, MODEL | {"name": "dogs"}]}, "models"),
]


@pytest.mark.parametrize(("kind", "payload", "name"), LISTS, ids=lambda value: getattr(value, "__name__", ""))
def test_answer_is_a_list(kind: type[ListAnswer[Any]], payload: dict[str, Any], name: str) -> None:
    """An answer with one list has its items, its length and its indexes."""
    answer = converter().structure(payload, kind)
    items = getattr(answer, name)

    assert (items, 2) == (tuple(answer), len(answer))
    assert (items[0], items[-1], items[1:]) == (answer[0], answer[-1], answer[1:])
    assert items[1] in answer
    with pytest.raises(IndexError):
        answer[2]


@pytest.mark.parametrize(("kind", "payload", "name"), LISTS, ids=lambda value: getattr(value, "__name__", ""))
def test_empty_answer_is_true(kind: type[ListAnswer[Any]], payload: dict[str, Any], name: str) -> None:
    """An answer without items is true, so that `if answer` means the same for all answers."""
    answer = converter().structure(payload | {name: []}, kind)

    assert (True, 0) == (bool(answer), len(answer))


EVERY: list[tuple[type[Answer], dict[str, Any]]] = [
    *[(kind, payload) for kind, payload, _ in LISTS],
    (GetDatasetResponse, {"dataset": DATASET, "file_count": 0, "files": [], "custom_model_ids": ["m"]}),
    (LayerizeTextResponse, {"base_image_url": "https://ideogram.ai/x.png", "seed": 1, "text_blocks": [{"text": "a"}]}),
]


@pytest.mark.parametrize(("kind", "payload"), EVERY, ids=lambda value: getattr(value, "__name__", ""))
def test_dictionary_is_json(kind: type[Answer], payload: dict[str, Any]) -> None:
    """`to_dict` returns JSON of the service's form: decoded again, it is the same answer with the same extra fields."""
    answer = converter().structure(payload | {"notice": {"a": [1, None]}}, kind)
    dictionary = json.loads(json.dumps(answer.to_dict()))
    again = converter().structure(dictionary, kind)

    assert answer.to_dict() == dictionary
    assert (answer, answer.extra) == (again, again.extra)
    assert {"a": [1, None]} == dictionary["notice"]


def test_dictionary_of_an_answer() -> None:
    """Dates are ISO strings, enums are strings, fields that are not set are `None`, and `meta` is left out."""
    answer = converter().structure(IMAGES | {"data": [IMAGE | {"score": 0.5}]}, ImageGenerationResponseV3)
    expected = IMAGES | {"data": [IMAGE | {"score": 0.5, "upscaled_resolution": None}]}

    assert expected == answer.to_dict()
    assert Reply is type(answer.meta)
    assert {str} == {type(value) for value in answer[0].to_dict().values() if isinstance(value, str)}


def test_dictionary_is_a_copy() -> None:
    """A change to a dictionary does not change the answer."""
    answer = converter().structure(IMAGES | {"notice": {"a": []}}, ImageGenerationResponseV3)
    answer.to_dict()["notice"]["a"].append(1)

    assert {"notice": {"a": []}} == answer.extra


def test_an_answer_converts_to_a_dict() -> None:
    """`dict(answer)` is `to_dict()`, for items, too, and a field is read by its name."""
    answer = converter().structure(IMAGES | {"notice": "beta"}, ImageGenerationResponseV3)

    assert answer.to_dict() == dict(answer)
    assert answer[0].to_dict() == dict(answer[0])
    assert ("beta", 7) == (answer["notice"], answer[0]["seed"])
    with pytest.raises(KeyError, match="missing"):
        answer["missing"]

    with pytest.raises(TypeError, match="named by a string, not by 0"):
        answer[0][0]


def test_an_answer_shows_itself_in_a_notebook() -> None:
    """A table has a row for each image, escaped, and no signature of a link."""
    image = IMAGE | {"prompt": "<b>", "url": "https://ideogram.ai/x.png?exp=1&sig=secret"}
    html = converter().structure(IMAGES | {"data": [image, image]}, ImageGenerationResponseV3)._repr_html_()

    assert 3 == html.count("<tr>")
    assert 2 == html.count("&lt;b&gt;") == html.count("https://ideogram.ai/x.png<")
    assert "secret" not in html
