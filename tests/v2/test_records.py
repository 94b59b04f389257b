"""Requests of the second contract in journals and ledgers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.pictures import picture

from ideogram_async import (
    AssetIdentifier,
    FromJob,
    Ideogram,
    ImageFile,
    Job,
    JobState,
    JsonPrompt,
    RemoveBackground,
    Unchecked,
    v2,
)
from ideogram_async._batch.inputs import InputStore
from ideogram_async._ledger.serialization import deserialize, fingerprint_of, serialize
from ideogram_async._operations import Request
from ideogram_async._wire.encode import encode
from ideogram_async.sandbox import Sandbox

FILE = ("a.png", b"\x89PNG")
SHA256 = "0f4636c78f65d3639ece5a064b5ae753e3408614a14fb18ab4d7540d2c248543"
ASSET = AssetIdentifier(asset_type="RESPONSE", asset_id="a1")
POSTER = JsonPrompt(
    "a poster",
    elements=[v2.Text("BOLD", "large", box=(0, 0, 10, 20)), {"type": "neon", "glow": 3}],
    style=v2.Style(photo="macro", extra={"grain": None}),
    tags=["a"],
    extra={"mood": {"b": 1, "a": 2}},
)
# A form or fingerprint that changed would make every job of an existing folder a new one, which is bought again.
RECORDS: list[tuple[Request[object], str, str]] = [
    (
        v2.Generate46("a fox", size="2048x1024", images=[ASSET], extra={"background": "transparent"}),
        '{"fields":{"extra":{"json":"{\\"background\\":\\"transparent\\"}"},"images":[{"asset":{"asset_id":"a1",'
        '"asset_type":"RESPONSE"}}],"prompt":"a fox","size":"2048x1024"},'
        '"operation":"POST /v2/image/generate/ideogram-4-6"}',
        "6576109140298fb98e49c016fcdaed602a974459a7db99e5eb7e3a4fd857575f",
    ),
    (
        v2.Generate4(JsonPrompt("a fox", tags=["red"])),
        '{"fields":{"prompt":{"json_prompt":"{\\"high_level_description\\":\\"a fox\\",'
        '\\"compositional_deconstruction\\":{\\"background\\":\\"\\",\\"elements\\":[]},\\"tags\\":[\\"red\\"]}"}},'
        '"operation":"POST /v2/image/generate/ideogram-4"}',
        "a26071aa2467efbafe0ce21807dd903eca0700057a556525e1f3ab593eb67c31",
    ),
    (
        v2.RemoveBackground(FILE),
        f'{{"fields":{{"image":{{"file":{{"content_type":null,"name":"a.png","sha256":"{SHA256}"}}}}}},'
        '"operation":"POST /v2/image/remove-background/ideogram-1"}',
        "200dd2785fac43696756095c96b7f00eef9d1e5407a0af92421ca46615c68e80",
    ),
    (
        v2.Custom("image", "restyle", "ideogram-5", {"prompt": "x"}, files={"image": FILE}, weight=2, quote=True),
        '{"fields":{"action":"restyle","content":"image","fields":{"json":"{\\"prompt\\":\\"x\\"}"},"files":[{"field":'
        f'"image","file":{{"content_type":null,"name":"a.png","sha256":"{SHA256}"}}}}],"model":"ideogram-5",'
        '"version":"v2"},"mode":{"accept":"async","quote":true,"weight":2},'
        '"operation":"POST /v2/image/restyle/ideogram-5"}',
        "d3d85c6e002dc3613487ef28184704da3dd9b15b1fa9e5ceb67b96e56b0018df",
    ),
]


@pytest.fixture
def inputs(tmp_path: Path) -> InputStore:
    return InputStore(tmp_path / "inputs")


@pytest.mark.parametrize(("request_", "serialized", "fingerprint"), RECORDS)
def test_the_form_never_changes(inputs: InputStore, request_: Request[object], serialized: str, fingerprint: str):
    """A request is recorded with its method and path, and keeps its fingerprint."""
    assert (serialized, fingerprint) == (serialize(request_, inputs), fingerprint_of(serialized))


@pytest.mark.parametrize(
    "original",
    [
        v2.Generate46(POSTER, images=[ASSET], extra={"background": ["a", {"b": None}]}, quality=Unchecked("ultra")),
        v2.Remix3(AssetIdentifier(asset_type="UPLOAD", asset_id="a", collection_id="c" * 22), "x", private=False),
        v2.PreciseEdit45(FromJob("fox", 1), "x", context_window=(0, 0, 256, 256)),
        v2.Generate3("x", color_palette="ember"),
        v2.Generate3("x", color_palette=[("#FF5733", 0.6), "#000"]),
        v2.Custom("image", "generate", "ideogram-4-6", {"prompt": "x", "n": 2.5}, accept="always", quote=True),
        v2.Custom("design", "a", "b", files={"image": FromJob("fox"), "masks": [FromJob("hen"), FromJob("cat", 2)]}),
        v2.GetAccountUsage(datetime(2026, 11, 29, 12, 30, 1, 5, UTC), sources=["api"]),
        v2.GetGeneration("g1"),
        v2.MagicPrompt4("a fox"),
    ],
    ids=lambda request: type(request).__name__,
)
def test_a_stored_request_equals_the_original(inputs: InputStore, original: Request[object]) -> None:
    """Structured prompts, assets, further fields, times and requests of unknown operations survive the journal."""
    again = deserialize(serialize(original, inputs), inputs)

    assert (type(original), original) == (type(again), again)
    assert encode(original).operation == encode(again).operation


def test_files_stay_in_their_fields(inputs: InputStore) -> None:
    """The files of a custom request keep their field, name and content type."""
    image = ImageFile(picture(), name="a.png", content_type="image/x-png")
    request = v2.Custom("image", "a", "b", files={"mask": picture(), "image": [image, picture()]})
    again = deserialize(serialize(request, inputs), inputs)
    parts = [
        [(part.name, part.body.file_name(picture()), part.body.content_type) for part in encode(each).form or ()]  # type: ignore[union-attr]
        for each in (request, again)
    ]

    assert (
        [
            ("mask", "image.png", None),
            ("image", "a.png", "image/x-png"),
            ("image", "image.png", None),
        ]
        == parts[0]
        == parts[1]
    )


def test_what_is_sent_decides(inputs: InputStore, tmp_path: Path) -> None:
    """The sending mode and weight of a custom request, the order of names, and the path of a file do not count."""
    path = tmp_path / "b.png"
    path.write_bytes(picture())
    same = [
        (v2.Custom("image", "a", "b"), v2.Custom("image", "a", "b", accept="never", weight=5, quote=True)),
        (v2.Generate46("x", extra={"a": 1, "b": 2}), v2.Generate46("x", extra={"b": 2, "a": 1})),
        (
            v2.Generate4(JsonPrompt("x", extra={"a": 1, "b": 2})),
            v2.Generate4(JsonPrompt("x", extra={"b": 2, "a": 1})),
        ),
        (
            v2.Custom("image", "a", "b", files={"image": path}),
            v2.Custom("image", "a", "b", files={"image": ("c.png", picture())}),
        ),
    ]

    assert [True] * len(same) == [
        fingerprint_of(serialize(one, inputs)) == fingerprint_of(serialize(other, inputs)) for one, other in same
    ]


def test_different_requests_differ(inputs: InputStore) -> None:
    """Requests that send something else have other fingerprints, and so do operations of the same name."""
    requests: list[Request[object]] = [
        RemoveBackground(FILE),
        v2.RemoveBackground(FILE),
        v2.RemoveBackground(ASSET),
        v2.RemoveBackground(AssetIdentifier(asset_type="UPLOAD", asset_id="a1")),
        v2.RemoveBackground(AssetIdentifier(asset_type="RESPONSE", asset_id="a1", collection_id="c" * 22)),
        v2.Generate45("x"),
        v2.Generate46("x"),
        v2.Generate46("x", extra={"a": 1}),
        v2.Generate46("x", extra={"a": "1"}),
        v2.Generate46(JsonPrompt("x")),
        v2.Generate46(str(JsonPrompt("x"))),
        v2.Custom("image", "generate", "ideogram-4-6", {"prompt": "x"}),
        v2.Custom("image", "generate", "ideogram-4-6", {"prompt": "x"}, version="v1"),
        v2.Custom("image", "generate", "ideogram-4-6", {"prompt": "x"}, files={"image": FILE}),
        v2.Custom("image", "generate", "ideogram-4-6", {"prompt": "x"}, files={"mask": FILE}),
    ]

    assert len(requests) == len({fingerprint_of(serialize(request, inputs)) for request in requests})


def test_weight() -> None:
    """A custom request has as many images in progress as it states."""
    requests = [v2.Custom("image", "a", "b", weight=3), v2.Generate46("x", num_images=4), v2.MagicPrompt4("x")]

    assert [3, 4, 1, 0] == [encode(request).weight for request in (*requests, v2.GetGeneration("g"))]


async def test_a_batch_resumes(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """Jobs that a budget has stopped are read from the journal and sent, and those that are done are not."""
    jobs = [
        Job(v2.Generate4(POSTER, rendering_speed="turbo"), "poster"),
        Job(v2.UpscaleAuto(FromJob("poster")), "large"),
        Job(v2.Generate46(POSTER, images=[ASSET], size="auto", quality="low", extra={"background": "x"}), "again"),
        Job(v2.Custom("image", "generate", "ideogram-4-5", {"prompt": "x"}, quote=True), "custom"),
    ]
    async with client.batch(jobs, tmp_path / "out", max_cost_usd="0.03") as batch:
        first = [result.state async for result in batch]

    async with client.batch(None, tmp_path / "out", max_cost_usd=9) as batch:
        second = [(result.id, result.state) async for result in batch]

    posts = [request for request in sandbox.requests if request.method == "POST" and not request.query]

    assert [JobState.DONE] == first
    assert {(name, JobState.DONE) for name in ("large", "again", "custom")} == set(second)
    assert 4 == len(posts)
    assert json.loads(str(POSTER)) == json.loads(posts[0].json["prompt"])
