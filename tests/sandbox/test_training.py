"""Datasets and models, from the first upload to the first image."""

from __future__ import annotations

import io
import random
import zipfile
from decimal import Decimal

import pytest

from ideogram_async.sandbox.resources import TRAINING_SECONDS


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return a ZIP archive of files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as packed:
        for name, body in files.items():
            packed.writestr(name, body)

    return buffer.getvalue()


async def create(api) -> str:
    """Create a dataset and return its id."""
    answer = await api.post("/datasets", {"name": "Foxes"})
    return answer.json["dataset_id"]


async def upload(api, dataset_id: str, *files: tuple[str, bytes]):
    """Upload files to a dataset."""
    return await api.form(f"/datasets/{dataset_id}/upload_assets", [("files", file) for file in files])


async def trained(api, png: bytes, images: int = 15):
    """Fill a dataset and train a model."""
    dataset_id = await create(api)
    await upload(api, dataset_id, *[(f"{number}.png", png) for number in range(images)])
    return await api.post("/v1/ideogram-v3/train-model", {"dataset_id": dataset_id, "model_name": "My foxes"})


async def test_empty_dataset(api, sandbox):
    """A new dataset is listed, returned, empty and free."""
    created = await api.post("/datasets", {"name": "Foxes"})
    listed = await api.get("/datasets")
    details = await api.get(f"/datasets/{created.json['dataset_id']}")

    assert [created.json] == listed.json["datasets"]
    assert {"dataset": created.json, "file_count": 0, "files": [], "custom_model_ids": []} == details.json
    assert () == sandbox.ledger.entries


async def test_upload_and_captions(api, png):
    """Captions match their images by stem in any order, and the first image is the cover."""
    dataset_id = await create(api)

    uploaded = await upload(api, dataset_id, ("a fox.txt", b"A fox, asleep"), ("a fox.png", png), ("b.png", png))
    details = (await api.get(f"/datasets/{dataset_id}")).json

    assert (2, 2, 0) == tuple(uploaded.json[f"{kind}_count"] for kind in ("total", "success", "failure"))
    assert [
        {"file_name": "a fox.png", "file_size_bytes": len(png), "caption": "A fox, asleep"},
        {"file_name": "b.png", "file_size_bytes": len(png)},
    ] == details["files"]
    assert uploaded.json["successful_assets"][0]["asset_identifier"] == details["dataset"]["cover_asset_identifier"]


async def test_archive_is_unpacked(api, png):
    """An archive contains images and captions; hidden system files are ignored."""
    files = {"in/c.png": png, "in/c.txt": b"C", "in/": b"", "__MACOSX/c.png": b"x", ".DS_Store": b"x", "d.png": b"no"}

    uploaded = await upload(api, await create(api), ("all.zip", archive(files)))

    assert ["c.png"] == [asset["file_name"] for asset in uploaded.json["successful_assets"]]
    assert [{"file_name": "d.png", "failure_reason": "INVALID_IMAGE"}] == uploaded.json["failed_assets"]


@pytest.mark.parametrize(
    ("name", "body", "reason"),
    [
        ("a.png", b"no image", "INVALID_IMAGE"),
        ("a.zip", b"no archive", "INVALID_ZIP"),
        ("alone.txt", b"A caption without an image", "INVALID_CAPTION"),
        ("alone.txt", b"\xff\xfe\xff", "INVALID_CAPTION"),
        ("unsafe-image.png", b"", "FAILED_SAFETY_CHECK"),
    ],
)
async def test_failed_file(api, png, name, body, reason):
    """An invalid file fails alone, with its reason."""
    uploaded = await upload(api, await create(api), ("good.png", png), (name, body))

    assert 200 == uploaded.status
    assert [{"file_name": name, "failure_reason": reason}] == uploaded.json["failed_assets"]
    assert (2, 1, 1) == tuple(uploaded.json[f"{kind}_count"] for kind in ("total", "success", "failure"))


async def test_damaged_archives(api, png):
    """An archive with changed bytes is a failed file, or has the files that can still be read."""
    rng = random.Random(5)
    damaged: list[tuple[str, bytes]] = []
    for number in range(200):
        method = rng.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
        body = bytearray(archive({"\xe4.png": png, "b/c.txt": b"A caption"}, method))
        start = rng.randrange(len(body))
        body[start : start + rng.randrange(6)] = rng.randbytes(rng.randrange(6))
        damaged.append((f"{number}.zip", bytes(body)))

    uploaded = await upload(api, await create(api), *damaged)
    reasons = {file["failure_reason"] for file in uploaded.json["failed_assets"]}

    assert 200 == uploaded.status
    assert {"INVALID_ZIP"} < reasons
    assert uploaded.json["success_count"] > 0


async def test_large_files(api):
    """A file may be too large, alone or unpacked from a small archive."""
    giant = bytes(11 * 2**20)
    packed = archive({"giant.png": giant})

    uploaded = await upload(api, await create(api), ("all.zip", packed), ("alone.png", giant))

    assert ["FILE_TOO_LARGE"] * 2 == [failure["failure_reason"] for failure in uploaded.json["failed_assets"]]


async def test_too_many_images(api, png):
    """A dataset holds at most a hundred images."""
    packed = archive({f"{number}.png": png for number in range(101)})

    uploaded = await upload(api, await create(api), ("all.zip", packed))

    assert 100 == uploaded.json["success_count"]
    assert ["TOO_MANY_IMAGES"] == [failure["failure_reason"] for failure in uploaded.json["failed_assets"]]


async def test_unknown_ids(api):
    """An unknown id is 404."""
    answers = [
        await api.get("/datasets/nothing"),
        await upload(api, "nothing", ("a.png", b"")),
        await api.post("/v1/ideogram-v3/train-model", {"dataset_id": "nothing", "model_name": "My foxes"}),
        await api.get("/models/nothing"),
    ]

    assert [404, 404, 404, 404] == [answer.status for answer in answers]


async def test_training_needs_images_and_a_name(api, png):
    """A training needs fifteen images and a valid name."""
    few = await trained(api, png, images=14)
    short = await api.post("/v1/ideogram-v3/train-model", {"dataset_id": "x", "model_name": "fox!"})

    assert (400, 400) == (few.status, short.status)
    assert few.json["error"].startswith("dataset_id: ")
    assert short.json["error"].startswith("model_name: ")


async def test_training_follows_the_clock(api, sandbox, png):
    """A model is created, trained and completed by the sandbox's clock."""
    answer = await trained(api, png)
    path = f"/models/{answer.json['model_id']}"
    statuses = [answer.json["training_status"]]
    for seconds in (0, 100, TRAINING_SECONDS):
        sandbox.advance(seconds)
        statuses.append((await api.get(path)).json["model"]["status"])

    model = (await api.get(path)).json["model"]

    assert ["CREATING", "CREATING", "TRAINING", "COMPLETED"] == statuses
    assert model["is_available_for_generation"]
    assert model["last_update_time"] > model["creation_time"]
    assert Decimal(40) == sandbox.ledger.billed_usd


async def test_completed_model_generates(api, sandbox, png):
    """A completed model generates, at its own price."""
    answer = await trained(api, png)
    sandbox.advance(TRAINING_SECONDS)
    model = (await api.get(f"/models/{answer.json['model_id']}")).json["model"]

    generated = await api.generate(custom_model_uri=model["custom_model_uri"])

    assert 200 == generated.status
    assert Decimal("0.12") == sandbox.ledger.entries[-1].usd


async def test_models_are_listed(api, png):
    """The list of models can be filtered by scope and status."""
    model_id = (await trained(api, png)).json["model_id"]
    queries = ([], [("scope", "owned")], [("scope", "shared")], [("status", "DRAFT"), ("status", "CREATING")])
    lists = [(await api.get("/models", query)).json["models"] for query in (*queries, [("status", "COMPLETED")])]

    assert [1, 1, 0, 1, 0] == [len(models) for models in lists]
    assert model_id == lists[0][0]["model_id"]
