"""Serialized requests and their fingerprints, which records of every version must agree on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ideogram_async import Generate, Remix, RemoveBackground
from ideogram_async._batch.inputs import InputStore
from ideogram_async._ledger.serialization import deserialize, fingerprint_of, serialize
from ideogram_async._operations import Request
from ideogram_async.requests import LegacyGenerate

PICTURE = ("a.png", b"\x89PNG picture")
# A fingerprint that changed would make every job of an existing folder a new one, which is bought again.
FINGERPRINTS = [
    (
        Generate("a red fox"),
        '{"fields":{"prompt":"a red fox"},"operation":"POST /v1/ideogram-v3/generate"}',
        "910e03ad3cc0929fc70aa1a175bae1af431cb5c765d67c8b5539a4a467cb082e",
    ),
    (
        Generate("a fox", rendering_speed="TURBO", num_images=2, color_palette="EMBER"),
        '{"fields":{"color_palette":{"palette":"EMBER"},"num_images":2,"prompt":"a fox","rendering_speed":"TURBO"},'
        '"operation":"POST /v1/ideogram-v3/generate"}',
        "2a518a7a90fd7633c1fc6507ee2ccd55a7099aefb030c2f9c5a49d078ed8107d",
    ),
    (
        Remix(PICTURE, "a fox"),
        '{"fields":{"image":{"file":{"content_type":null,"name":"a.png","sha256":'
        '"61578ad7d8afde50f365251304f0c5e711cfb3f18d4fc2f620f1969bac827f2f"}},"prompt":"a fox"},'
        '"operation":"POST /v1/ideogram-v3/remix"}',
        "870ab2f45337b48e2fe0893df0940cf739b60863d4e38c58216717fc00b03d3e",
    ),
    (
        LegacyGenerate("a fox"),
        '{"fields":{"prompt":"a fox"},"operation":"POST /generate"}',
        "f8dcae9fb32e295859e21ccad444e30ab82bdd5329346914a48d64f6b1ae1300",
    ),
    (
        RemoveBackground(("b.png", b"\x89PNG")),
        '{"fields":{"image":{"file":{"content_type":null,"name":"b.png","sha256":'
        '"0f4636c78f65d3639ece5a064b5ae753e3408614a14fb18ab4d7540d2c248543"}}},'
        '"operation":"POST /v1/remove-background"}',
        "33967976964ab7041326d7624f8897bb480f3bba72af9998a32f2ec95146db5a",
    ),
]
NAMES = [type(request).__name__ for request, _, _ in FINGERPRINTS]


@pytest.fixture
def inputs(tmp_path: Path) -> InputStore:
    return InputStore(tmp_path / "inputs")


@pytest.mark.parametrize(("request_", "serialized", "fingerprint"), FINGERPRINTS, ids=NAMES)
def test_the_form_never_changes(inputs: InputStore, request_: Request[object], serialized: str, fingerprint: str):
    """A request is serialized with its method and path, and has the fingerprint that earlier versions recorded."""
    assert (serialized, fingerprint) == (serialize(request_, inputs), fingerprint_of(serialized))


@pytest.mark.parametrize(("request_", "serialized", "fingerprint"), FINGERPRINTS, ids=NAMES)
def test_records_of_earlier_versions(inputs: InputStore, request_: Request[object], serialized: str, fingerprint: str):
    """Earlier versions recorded the name of the class."""
    earlier = serialized.replace(str(request_.endpoint), type(request_).__name__)
    serialize(request_, inputs)

    assert (type(request_), fingerprint) == (type(deserialize(earlier, inputs)), fingerprint_of(earlier))
