"""Requests and answers, compared with the API contract, as classes and on the wire."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import pytest
from support.clients import CANARY
from support.schemas import (
    ALIAS,
    ANSWERS,
    ENUMS,
    OPERATIONS,
    REQUESTS,
    SCHEMAS,
    answer_in_class,
    answer_in_contract,
    request_in_class,
    request_in_contract,
)
from support.variants import VARIANTS, Stage, comparable, fields_of, variant

from ideogram_async import Ideogram
from ideogram_async._wire.encode import encode
from ideogram_async.requests import LegacyGenerate, Upscale
from ideogram_async.sandbox import Sandbox

every_request = pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)


# ---- classes


@every_request
def test_request_is_the_contract(kind: type[Any]) -> None:
    """Method, path, content type, envelope, answer, fields, required fields and allowed values are the contract's."""
    assert request_in_contract(str(kind.endpoint)) == request_in_class(kind)


def test_operations_and_requests() -> None:
    """Each operation of the contract has exactly one request class, and no class has another operation."""
    assert sorted(OPERATIONS) == sorted(str(kind.endpoint) for kind in REQUESTS.values())


def test_same_rules_everywhere() -> None:
    """A field has the same rule in every operation, except where the contract itself differs."""
    rules: dict[str, set[str]] = {}
    for kind in REQUESTS.values():
        for field in attrs.fields(kind):
            rule = field.metadata["rule"]
            rules.setdefault(field.name, set()).add(f"{type(rule).__name__} {attrs.asdict(rule)}")

    differing = {"aspect_ratio": 2, "model": 2, "prompt": 2, "rendering_speed": 2, "resolution": 2, "style_type": 2}

    assert differing == {name: len(texts) for name, texts in rules.items() if len(texts) > 1}


@pytest.mark.parametrize("name", ANSWERS)
def test_answer_is_the_contract(name: str) -> None:
    """Each object of an answer has the contract's fields: types, required fields and nulls."""
    expected, actual = answer_in_contract(name), answer_in_class(ANSWERS[name])
    for fields in (expected, actual):
        for field, (kind, is_required, may_be_null) in fields.items():
            fields[field] = kind, is_required, may_be_null and is_required

    if name == "AssetIdentifier":
        # The second contract adds it.
        del actual["collection_id"]

    assert expected == actual


@pytest.mark.parametrize("name", ENUMS)
def test_enum_is_the_contract(name: str) -> None:
    """Each enum has the values of the contract's schema of the same name."""
    assert sorted(SCHEMAS[name]["enum"]) == sorted(map(str, ENUMS[name]))


def test_schemas_and_classes() -> None:
    """Each schema of the contract has a class, and each class a schema."""
    bodies = {
        "CreateDatasetRequest",
        "GenerateImageRequest",
        "ImageRequest",
        "InitialImageRequest",
        "TrainModelV3Request",
        "UpscaleInitialImageRequest",
    }
    palettes = {
        "ColorPaletteMember",
        "ColorPaletteWithMembers",
        "ColorPaletteWithPresetName",
        "ColorPaletteWithPresetNameOrMembers",
    }
    primitives = {"NumImages", "Seed", "StyleCode", "StyleCodes"}
    errors = {"GenerateImageSafetyError", "ImageSafetyError"}

    assert {*SCHEMAS} == {*ANSWERS, *ENUMS, *ALIAS} | bodies | palettes | primitives | errors


@every_request
def test_defaults_are_never_sent(kind: type[Any], tmp_path: Path) -> None:
    """A request with only its required fields encodes to these fields only."""
    stage = Stage(tmp_path, "d", "m", "", "")
    request, expected = variant(kind, "required", stage)
    call = encode(request)

    assert sorted(part.name for part in expected.parts) == sorted(part.name for part in call.form or ())
    assert sorted(expected.query) == sorted(call.params)
    assert (expected.json is None) == (call.json is None)


def test_default_envelope() -> None:
    """An upscale without text fields sends an empty envelope; a generation sends its prompt only."""
    upscale, generate = encode(Upscale(b"")), encode(LegacyGenerate("狐"))

    assert ["{}"] == [part.body for part in upscale.form or () if part.name == "image_request"]
    assert '{"image_request":{"prompt":"狐"}}'.encode() == generate.json


# ---- wire


@pytest.mark.parametrize("which", VARIANTS)
@every_request
async def test_wire(kind: type[Any], which: str, client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """The server receives exactly the request of the contract and accepts it."""
    stage = await Stage.prepare(client, sandbox, tmp_path)
    request, expected = variant(kind, which, stage)
    before = len(sandbox.requests)
    answer = await client.send(request)
    arrived = sandbox.requests[before:]

    assert [(str(kind.endpoint), expected.path, 200)] == [(a.operation, a.path, a.status) for a in arrived]
    assert comparable(expected.parts) == comparable(arrived[0].parts)
    assert (expected.json, expected.query) == (arrived[0].json, arrived[0].query)
    assert CANARY == arrived[0].headers["Api-Key"]
    assert arrived[0].headers.get("Content-Type", "").startswith(kind.endpoint.body.value or "")
    assert kind.endpoint.answer is type(answer)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_variants_set_every_field(operation: str) -> None:
    """The variants together set every field of every operation."""
    expected = request_in_contract(operation)["fields"].keys()

    assert expected == set().union(*(fields_of(operation, which) for which in VARIANTS))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_charged(method: str) -> None:
    """Every POST is charged; no GET is."""
    kinds = [kind for kind in REQUESTS.values() if kind.endpoint.method == method]

    assert {method == "POST"} == {kind.endpoint.charged for kind in kinds}
