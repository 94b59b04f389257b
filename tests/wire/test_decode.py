"""Decoding of replies: lenient about additions, strict about the contract."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from support.replies import CREATED, DATASET, FREE, IMAGE, MODEL, PAID, images, read, refused, without
from support.schemas import ANSWERS

from ideogram_async._wire.call import Call
from ideogram_async._wire.decode import decode, links_in
from ideogram_async.enums import AssetType, ModelStatus, ResolutionV3, StyleTypeV3
from ideogram_async.errors import AmbiguousError, Billed, DecodeError
from ideogram_async.models import (
    AssetIdentifier,
    CustomModel,
    Dataset,
    DescribeResponse,
    Description,
    GenerateImageResponse,
    GetDatasetResponse,
    ImageGenerationResponseV3,
    LayerizeTextResponse,
    ListDatasetsResponse,
    ListModelsResponse,
    RemoveBackgroundResponse,
    Reply,
    UploadDatasetAssetsResponse,
    V1EditImagesResponse,
)

SAMPLES: dict[str, Any] = {
    **dict.fromkeys(("prompt", "resolution", "name", "user_id", "file_name", "training_status", "model_name"), "x"),
    **dict.fromkeys(("asset_id", "dataset_id", "model_id", "layer", "asset_type", "failure_reason", "status"), "x"),
    **dict.fromkeys(("seed", "file_count", "total_count", "success_count", "failure_count"), 1),
    **dict.fromkeys(("is_image_safe", "is_owned", "is_available_for_generation"), True),
    **dict.fromkeys(("created", "creation_time"), CREATED),
    **{name: [] for name in ("datasets", "models", "files", "custom_model_ids")},
    "dataset": DATASET,
    "model": MODEL,
    "asset_identifier": {"asset_type": "UPLOAD", "asset_id": "a"},
}

# ---- leniency


def test_known_fields() -> None:
    """Fields of the contract become typed values."""
    answer = read(images(style_type="DESIGN", upscaled_resolution="2048x2028"))

    assert datetime(2026, 1, 23, 4, 56, 7, tzinfo=UTC) == answer.created
    assert StyleTypeV3.DESIGN is answer.data[0].style_type
    assert ResolutionV3("1024x1024") is answer.data[0].resolution
    assert ("2048x2028", 7, True, IMAGE["url"]) == (
        answer.data[0].upscaled_resolution,
        answer.data[0].seed,
        answer.data[0].is_image_safe,
        answer.data[0].url,
    )


def test_unknown_keys_are_kept() -> None:
    """Keys beyond the contract are kept at every level, also `meta` and `extra`."""
    body = images(object_type="image.generation", meta=1) | {"notice": {"a": [1]}, "extra": None}
    answer = read(body)
    deep = read(
        {"models": [MODEL | {"training_runs": [{"id": 1}]}], "next": None, "dataset": DATASET}, ListModelsResponse
    )

    assert {"notice": {"a": [1]}, "extra": None} == answer.extra
    assert {"object_type": "image.generation", "meta": 1} == answer.data[0].extra
    assert {"training_runs": [{"id": 1}]} == deep.models[0].extra


def test_extra_three_levels_down() -> None:
    """An unknown key is available inside a dataset inside a list."""
    cover = {"asset_type": "UPLOAD", "asset_id": "a", "album_id": "c"}
    answer = read({"datasets": [DATASET | {"cover_asset_identifier": cover}]}, ListDatasetsResponse)

    assert {"album_id": "c"} == answer.datasets[0].cover_asset_identifier.extra


def test_unknown_enum_values_stay_strings() -> None:
    """An enum value that this library does not know stays a string."""
    image = read(images(style_type="STYLIZED", resolution="2048x2048")).data[0]
    model = read({"models": [MODEL | {"status": "PAUSED"}]}, ListModelsResponse).models[0]

    assert ("STYLIZED", "2048x2048", "PAUSED") == (image.style_type, image.resolution, model.status)
    assert str is type(image.style_type)


@pytest.mark.parametrize("url", [{"url": None}, {"url": ""}, {}], ids=["null", "empty", "absent"])
def test_withheld_link(url: dict[str, Any]) -> None:
    """A withheld image has no link, whether it is null, empty or absent."""
    image = without(IMAGE, "url") | {"is_image_safe": False} | url
    answer = read({"created": CREATED, "data": [image]})
    layers = read(
        {"base_image_url": "https://x", "seed": 1} | {f"original_image_{k}": v for k, v in url.items()},
        LayerizeTextResponse,
    )

    assert [None] == [image.url for image in answer]
    assert None is layers.original_image_url


@pytest.mark.parametrize(
    "text",
    [
        "2000-01-23T04:56:07+00:00",
        "2000-01-23T04:56:07Z",
        "2000-01-23T05:56:07+01:00",
        "2000-01-23T04:56:07",
        "2000-01-23T04:56:07.000000Z",
    ],
)
def test_dates(text: str) -> None:
    """Every date format gives the same moment with its time zone, UTC by default."""
    assert datetime(2000, 1, 23, 4, 56, 7, tzinfo=UTC) == read(images() | {"created": text}).created


def test_date_without_seconds() -> None:
    """A date without seconds, which the service has sent, is accepted."""
    created = read(images() | {"created": "2026-06-02T16:24Z"}).created

    assert (datetime(2026, 6, 2, 16, 24, tzinfo=UTC), timedelta(0)) == (created, created.utcoffset())


@pytest.mark.parametrize(
    "kind", [ImageGenerationResponseV3, V1EditImagesResponse, GenerateImageResponse, RemoveBackgroundResponse]
)
def test_data_may_be_absent(kind: type[Any]) -> None:
    """An answer without its list of images is empty."""
    assert [] == [*read({"created": CREATED}, kind)]


def test_descriptions_may_be_absent() -> None:
    """An answer without descriptions is empty, and a text may be absent too."""
    assert [] == [*read({}, DescribeResponse)]
    assert [Description()] == [*read({"descriptions": [{}]}, DescribeResponse)]


@pytest.mark.parametrize("name", ["custom_model_uri", "dataset_id", "last_update_time"])
def test_nulls(name: str) -> None:
    """Null in an optional field is `None`, like an absent field."""
    expected = read({"models": [MODEL]}, ListModelsResponse)

    assert expected == read({"models": [MODEL | {name: None}]}, ListModelsResponse)


def test_nulls_of_the_examples() -> None:
    """A status, a failure reason and a type of asset are null in examples of the service."""
    identifier = {"asset_type": None, "asset_id": "a"}
    asset, failure = {"asset_identifier": identifier, "file_name": None}, {"failure_reason": None, "file_name": "a.png"}
    counts = dict.fromkeys(("total_count", "success_count", "failure_count"), 1)
    uploaded = read(counts | {"successful_assets": [asset], "failed_assets": [failure]}, UploadDatasetAssetsResponse)
    models = read({"models": [MODEL | {"status": None}, MODEL]}, ListModelsResponse)

    assert None is uploaded.successful_assets[0].asset_identifier.asset_type
    assert None is uploaded.failed_assets[0].failure_reason
    assert [None, ModelStatus(MODEL["status"])] == [model.status for model in models]


@pytest.mark.parametrize("name", ANSWERS)
def test_every_optional_null(name: str) -> None:
    """A null in every optional field of every object is the same as an object without them."""
    fields = [field for field in attrs.fields(ANSWERS[name]) if field.name not in ("extra", "meta")]
    required = {field.name: SAMPLES[field.name] for field in fields if field.default is attrs.NOTHING}
    nulls = {field.name: None for field in fields if field.default is not attrs.NOTHING}

    assert read(required, ANSWERS[name]) == read(required | nulls, ANSWERS[name])


WITHHELD = [{"base_image_url": None}, {"base_image_url": ""}, {}, {"is_image_safe": False, "text_blocks": None}]


@pytest.mark.parametrize("withheld", WITHHELD, ids=["null", "empty", "absent", "unsafe"])
def test_withheld_layers(withheld: dict[str, Any]) -> None:
    """Layers without a link are a withheld image, whatever else the answer contains."""
    alone = read({"seed": 1} | withheld, LayerizeTextResponse)
    both = read({"seed": 1, "original_image_url": "https://x"} | withheld, LayerizeTextResponse)

    assert [(None, False, "base")] == [(image.url, image.is_image_safe, image.layer) for image in alone.images]
    assert [None, "https://x"] == [image.url for image in both.images]
    assert withheld.get("is_image_safe") is alone.extra.get("is_image_safe")


def test_required_null() -> None:
    """A required field may be null where the contract says so, but not absent."""
    body = {"dataset": DATASET, "file_count": 1, "files": [{"file_name": None}], "custom_model_ids": []}
    error = refused(body | {"files": [{}]}, GetDatasetResponse)

    assert (None, None) == attrs.astuple(read(body, GetDatasetResponse).files[0])[1:]
    assert ("$.files[0].file_name: missing",) == error.problems


# ---- strictness


@pytest.mark.parametrize(
    ("body", "line"),
    [
        (images(prompt=3), "$.data[0].prompt: expected str, got int"),
        (images(prompt=None), "$.data[0].prompt: expected str, got NoneType"),
        (images(resolution=1024), "$.data[0].resolution: expected str, got int"),
        (images(style_type=1), "$.data[0].style_type: expected str, got int"),
        (images(seed=True), "$.data[0].seed: expected int, got bool"),
        (images(seed="7"), "$.data[0].seed: expected int, got str"),
        (images(seed=7.0), "$.data[0].seed: expected int, got float"),
        (images(is_image_safe=1), "$.data[0].is_image_safe: expected bool, got int"),
        (images(is_image_safe="true"), "$.data[0].is_image_safe: expected bool, got str"),
        (images(url=5), "$.data[0].url: expected str, got int"),
        ({"created": CREATED, "data": "abc"}, "$.data: expected list, got str"),
        ({"created": CREATED, "data": {"0": IMAGE}}, "$.data: expected list, got dict"),
        ({"created": CREATED, "data": [[]]}, "$.data[0]: expected dict, got list"),
        ({"created": 5, "data": []}, "$.created: expected str, got int"),
        ({"created": "soon", "data": []}, "$.created: Invalid isoformat string: 'soon'"),
        ({"data": []}, "$.created: missing"),
        ([], "$: expected dict, got list"),
        (None, "$: expected dict, got NoneType"),
        ("text", "$: expected dict, got str"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_nothing_is_coerced(body: Any, line: str) -> None:
    """A value of another type raises an error with its path, and is never converted."""
    assert (line,) == refused(body).problems


def test_all_errors_are_listed() -> None:
    """All errors of a body are listed with their paths."""
    broken = [IMAGE, without(IMAGE, "seed"), IMAGE | {"prompt": 3, "seed": "x"}]
    error = refused({"created": CREATED, "data": broken})

    assert {
        "$.data[1].seed: missing",
        "$.data[2].prompt: expected str, got int",
        "$.data[2].seed: expected int, got str",
    } == {*error.problems}
    assert str(error).startswith("POST /x: the response does not match the API contract\n  $.data[")


@pytest.mark.parametrize("name", ["model_id", "name", "status", "creation_time", "is_owned"])
def test_missing(name: str) -> None:
    """A required field that is missing is named."""
    assert (f"$.models[0].{name}: missing",) == refused({"models": [without(MODEL, name)]}, ListModelsResponse).problems


HTML = b"<!doctype html><a href='https://ideogram.ai/sign-in'>Sign in</a>"
UNREADABLE = {
    "cut": json.dumps(images()).encode()[:-9],
    "garbage": b'{"created": "2026-' + b"\xff\x00}{" * 8,
    "page": HTML,
    "too deep": b"[" * 100_000,
    "endless number": b'{"created": 1' + b"0" * 5000 + b"}",
    "not utf-8": b'{"created": "\xff\xfe"}',
}


@pytest.mark.parametrize(("call", "billed"), [(PAID, Billed.YES), (FREE, Billed.NO)], ids=["paid", "free"])
@pytest.mark.parametrize("raw", UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(raw: bytes, call: Call, billed: Billed) -> None:
    """A success that cannot be read was billed if the call costs anything, and its bytes are kept."""
    error = refused(raw, call=call)

    assert (billed, billed is Billed.NO, raw) == (error.billed, error.retryable, error.raw)
    assert error.problems[0].startswith("$: invalid JSON") or error.problems[0].startswith("$.created:")


@pytest.mark.parametrize("raw", [b"", b" \n", b"<html>", b"\xef\xbb\xbf<!doctype html><h1>Sign in</h1>"])
def test_no_content(raw: bytes) -> None:
    """An empty success, or a page without links, may come from a proxy: it is unknown whether the call was billed."""
    paid, free = refused(raw), refused(raw, call=FREE)

    assert (Billed.UNKNOWN, False, AmbiguousError.advice) == (paid.billed, paid.retryable, paid.advice)
    assert (Billed.NO, True) == (free.billed, free.retryable)


def test_links_are_found() -> None:
    """Every link is returned once and in order, from valid or invalid JSON, escaped or not."""
    raw = rb'[{"url":"https:\/\/ideogram.ai\/a.png?exp=1\u0026sig=2"},{"url":"https://h/b"},"https://h/b","http://c/\u003d1'

    assert ["https://ideogram.ai/a.png?exp=1&sig=2", "https://h/b", "http://c/=1"] == links_in(raw)
    assert ("https://ideogram.ai/sign-in",) == refused(HTML).links


def test_truncated_reply() -> None:
    """A truncated reply raises an error, even if it is complete JSON."""
    reply = Reply(status=200, raw=json.dumps(images()).encode(), cut="reset", headers={"x-request-id": "r"})
    with pytest.raises(DecodeError, match="POST /x: truncated response: reset") as caught:
        decode(PAID, reply, ImageGenerationResponseV3)

    assert (Billed.YES, (IMAGE["url"],), "r") == (caught.value.billed, caught.value.links, caught.value.request_id)


# ---- answers


def test_meta() -> None:
    """An answer contains the reply that it was decoded from."""
    reply = Reply(status=201, raw=json.dumps(images()).encode(), headers={"cf-ray": "r"}, attempts=3, elapsed=1.5)
    meta = decode(PAID, reply, ImageGenerationResponseV3).meta

    assert reply is meta
    assert (201, "r", 3, 1.5) == (meta.status, meta.request_id, meta.attempts, meta.elapsed)


@pytest.mark.parametrize(("depth", "is_kept"), [(40, True), (900, False)])
def test_a_deep_addition(depth: int, is_kept: bool) -> None:
    """An addition that is nested too deeply does not break the answer; the bytes contain it."""
    raw = json.dumps(images()).encode()[:-1] + b', "new": ' + b"[" * depth + b"]" * depth + b"}"
    answer = read(raw)
    copies = (copy.deepcopy(answer), pickle.loads(pickle.dumps(answer)))

    assert is_kept == ("new" in answer.extra) == ("new" in json.loads(json.dumps(answer.to_dict())))
    assert [raw, raw] == [each.meta.raw for each in copies]


@pytest.mark.parametrize(
    "value", [b"NaN", b"-Infinity", b"1e999", b"9" * 4000, b'"\\ud800"', b'7, "seed": 8', b"[" * 900 + b"]" * 900]
)
@pytest.mark.parametrize("name", [b"seed", b"new"])
def test_unusual_values(value: bytes, name: bytes) -> None:
    """A value that is valid for some parsers only gives an answer or `DecodeError`, with the links."""
    raw = json.dumps(images()).encode().replace(b'"seed": 7', b'"seed": 7, "%b": %b' % (name, value))
    try:
        found = [image.url for image in read(raw)]
    except DecodeError as error:
        found = [*error.links]

    assert [IMAGE["url"]] == found


def test_equality() -> None:
    """Extra keys and the reply do not affect equality and hash."""
    one, other = read(images(new=1) | {"notice": "x"}), read(images())

    assert one == other
    assert hash(one) == hash(other)
    assert one != read(images(seed=8))


def test_answers_pickle() -> None:
    """A pickled answer keeps its extra keys and its reply."""
    answer = read(images(new=1) | {"notice": "x"})
    again = pickle.loads(pickle.dumps(answer))

    assert answer == again
    assert (answer.extra, answer.data[0].extra, answer.meta) == (again.extra, again.data[0].extra, again.meta)


def test_iteration() -> None:
    """An answer with exactly one list iterates over it."""
    cover = {"asset_type": "RESPONSE", "asset_id": "a"}
    datasets = read({"datasets": [DATASET | {"cover_asset_identifier": cover}]}, ListDatasetsResponse)
    models = read({"models": [MODEL]}, ListModelsResponse)
    texts = read({"descriptions": [{"text": "a"}, {"text": "b"}]}, DescribeResponse)

    assert [AssetIdentifier(asset_type=AssetType.RESPONSE, asset_id="a")] == [
        d.cover_asset_identifier for d in datasets
    ]
    assert [(Dataset, "foxes")] == [(type(d), d.name) for d in datasets]
    assert [(CustomModel, ModelStatus.TRAINING)] == [(type(m), m.status) for m in models]
    assert ["a", "b"] == [text.text for text in texts]
    assert not hasattr(UploadDatasetAssetsResponse, "__iter__")
    assert not hasattr(GetDatasetResponse, "__iter__")
