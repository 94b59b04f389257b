"""Rows of the second contract: jobs files, tables, exports that are run again, and the gallery."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.batches import run_batch
from support.pictures import picture

from ideogram_async import AssetIdentifier, FromJob, Ideogram, InvalidRequestError, Job, JsonPrompt, read_jobs, v2
from ideogram_async._operations import Request
from ideogram_async._rows.fields import image_operations
from ideogram_async._rows.options import find_operation
from ideogram_async.batch import Folder
from ideogram_async.sandbox import Sandbox

UPLOAD = AssetIdentifier(asset_type="UPLOAD", asset_id="x_1")
COLLECTED = AssetIdentifier(asset_type="RESPONSE", asset_id="x_1", collection_id="A" * 22)
POSTER = JsonPrompt("a poster", background="paper", elements=[v2.Text("BOLD", "large", box=(0, 0, 10, 20))])
DRAW = "v2:image/generate/ideogram-4-6"
PATH = "v2:image/replace-background/ideogram-4-5"


def row(**values: Any) -> Request[object]:
    (job,) = Job.from_rows([values])
    return job.request


def table(folder: Path, header: str, line: str) -> Request[object]:
    path = folder / "jobs.csv"
    path.write_text(f"{header}\n{line}\n")
    (job,) = read_jobs(path)
    return job.request


def refusal(**values: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        row(**values)

    return str(caught.value)


@pytest.mark.parametrize("name", [DRAW, "v2 generate-46", "V2_Generate_46", "v2-generate-46", DRAW.replace(":", ":/")])
def test_an_operation_is_named_by_its_path_or_its_command(name: str):
    """Rows name an operation by the path of the service, or as the command is called."""
    assert v2.Generate46("a fox", quality="low") == row(operation=name, prompt="a fox", quality="LOW")


def test_every_class_of_images_is_an_operation_of_rows():
    """Each path of the second contract that makes images leads to its class, without a line for each."""
    kinds = [kind for name, kind in image_operations().items() if name.startswith("v2 ") and kind is not v2.Custom]
    paths = [f"v2:{kind.endpoint.path.removeprefix('/v2/')}" for kind in kinds]

    assert kinds == [find_operation(path)[0] for path in paths]
    assert len(kinds) >= 16


@pytest.mark.parametrize(
    ("cell", "image"),
    [
        ("asset:UPLOAD:x_1", UPLOAD),
        ("asset:upload:x_1", UPLOAD),
        (f"asset:RESPONSE:x_1:{'A' * 22}", COLLECTED),
        ("job:fox#1", FromJob("fox", 1)),
        ("a.png", Path("a.png")),
        ("asset:a.png", Path("asset:a.png")),
    ],
)
def test_a_source_in_a_cell_is_a_path_a_job_or_an_asset(tmp_path: Path, cell: str, image: Any):
    """Assets have a form of their own, next to paths and images of earlier jobs."""
    for name in ("a.png", "asset:a.png"):
        (tmp_path / name).write_bytes(picture())

    image = tmp_path / image if isinstance(image, Path) else image

    assert v2.UpscaleAuto(image) == table(tmp_path, "operation,image", f"v2 upscale-auto,{cell}")


def test_a_source_of_json_is_a_path_a_job_or_an_asset(tmp_path: Path):
    """JSON has assets as objects, as an export writes them, or as text."""
    objects = [{"asset_type": "UPLOAD", "asset_id": "x_1"}, "asset:UPLOAD:x_1"]

    assert v2.Generate46("a fox", images=[UPLOAD, UPLOAD]) == row(operation=DRAW, prompt="a fox", images=objects)


def test_a_structured_prompt_is_json_or_a_file(tmp_path: Path):
    """A cell has the JSON itself, or `@` with the path of its file; a file may be the answer that contains it."""
    (tmp_path / "poster.json").write_text(str(POSTER))
    (tmp_path / "answer.json").write_text(json.dumps({"created": "now", "json_prompt": POSTER.to_dict()}))
    quoted = '"' + str(POSTER).replace('"', '""') + '"'
    cells = ["@poster.json", "@answer.json", quoted]

    assert [v2.Generate46(POSTER)] * 3 == [table(tmp_path, "operation,prompt", f"{DRAW},{cell}") for cell in cells]
    assert v2.Generate46(POSTER) == row(operation=DRAW, prompt=POSTER.to_dict())


@pytest.mark.parametrize("prompt", ["@fox on a hill", "{a fox}", "a fox.json"])
def test_other_prompts_are_text(tmp_path: Path, prompt: str):
    """Only the form of a JSON file or of a JSON object has a meaning."""
    assert v2.Generate46(prompt) == table(tmp_path, "operation,prompt", f"{DRAW},{prompt}")


@pytest.mark.parametrize(
    ("cell", "fault"),
    [
        ("@none.json", "prompt cannot be read: No such file or directory"),
        ('"{""a"": }"', "prompt is not valid JSON"),
        ('"{""a"": 1}"', "prompt is JSON, but no structured prompt"),
    ],
)
def test_a_structured_prompt_that_cannot_be_read(tmp_path: Path, cell: str, fault: str):
    """A missing file and other JSON are faults of the row, and are not paid for as text."""
    with pytest.raises(InvalidRequestError, match=fault):
        table(tmp_path, "operation,prompt", f"{DRAW},{cell}")


@pytest.mark.parametrize("cell", ['"{""background"": ""transparent"", ""n"": 1}"', "background=transparent; n=1"])
def test_further_fields_in_a_cell(tmp_path: Path, cell: str):
    """Further fields are a JSON object, or names with values separated by `;`."""
    request = table(tmp_path, "operation,prompt,extra", f"{DRAW},a fox,{cell}")

    assert v2.Generate46("a fox", extra={"background": "transparent", "n": 1}) == request


def test_a_path_without_a_class_is_a_custom_request(tmp_path: Path):
    """Its row has the fields and the files of the call, in a table and as JSON."""
    custom = v2.Custom("image", "replace-background", "ideogram-4-5", {"prompt": "a beach"}, accept="always", weight=2)
    cells = f"{PATH},prompt=a beach,always,2"
    same = {"operation": "v2 custom", "content": "image", "action": "replace-background", "model": "ideogram-4-5"}
    rest = {"fields": {"prompt": "a beach"}, "accept": "always", "weight": 2}

    assert custom == table(tmp_path, "operation,fields,accept,weight", cells)
    assert custom == row(operation=PATH, **rest) == row(**same, **rest)


def test_files_of_a_custom_request(tmp_path: Path):
    """Files have the names of their fields; several of one field are several files."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture())

    request = table(tmp_path, "operation,files", f"{PATH},image=a.png;image=b.png;mask=job:fox")
    files = {"image": [tmp_path / "a.png", tmp_path / "b.png"], "mask": FromJob("fox")}

    assert v2.Custom("image", "replace-background", "ideogram-4-5", files=files) == request


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ({"operation": "generate-46", "prompt": "a fox"}, "did you mean 'v2 generate-46'?"),
        ({"operation": "v2:image/describe/ideogram-4", "image": "a.png"}, "v2 describe-4 makes no images"),
        ({"operation": "v2:image/generate/ideogram-46", "prompt": "a fox"}, f"in files; did you mean {DRAW}?"),
        ({"operation": DRAW, "prompt": "a fox", "resolution": "1024x1024"}, "columns={'size': 'resolution'}"),
        ({"operation": DRAW, "prompt": "a fox", "rendering_speed": "turbo"}, "columns={'quality': 'rendering_speed'}"),
    ],
)
def test_a_row_that_is_refused_names_what_was_meant(values: dict[str, Any], advice: str):
    """Misspelt names lead to those that were meant, and names of the first contract to those of the second one."""
    assert advice in refusal(**values)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
async def test_exports_can_be_run_again(client: Ideogram, sandbox: Sandbox, tmp_path: Path, suffix: str):
    """An export has operations as paths; its rows are the same jobs, and another folder is complete."""
    (tmp_path / "a;b.png").write_bytes(picture())
    source, file = str(tmp_path / "a;b.png"), ("a.png", picture())
    jobs = [
        Job(v2.Generate46("a fox", extra={"background": {"kind": "transparent"}, "n": 1}), "fox"),
        Job(v2.Generate45(POSTER, quality="low", private=False), carried={"size": "large", "weight": "9"}),
        Job(v2.Generate4("@poster.json")),
        Job(v2.Generate4('{"a": 1}')),
        Job(v2.PreciseEdit46(UPLOAD, "a hat", reference_images=[UPLOAD, COLLECTED])),
        Job(v2.Remix3(source, "a hat", color_palette="ember", style_codes=["AABBCCDD"])),
        Job(v2.UpscaleAuto(FromJob("fox"))),
        Job(v2.Layerize3(file)),
        Job(v2.Custom("image", "remix", "ideogram-4", {"prompt": "a=b;c"}, files={"image": file})),
        Job(v2.Custom("image", "upscale", "auto", files={"image": FromJob("fox")}, accept="never", quote=True)),
    ]
    await run_batch(client, jobs, tmp_path / "out")
    results, sent = list(Folder(tmp_path / "out").results()), len(sandbox.requests)
    export = getattr(Folder(tmp_path / "out"), f"export_{suffix[1:]}")(tmp_path / f"export{suffix}")
    await run_batch(client, read_jobs(export), tmp_path / "out")
    again = len(sandbox.requests)
    await run_batch(client, read_jobs(export), tmp_path / "other")

    assert {"done"} == {result.state for result in results}, [result.error for result in results]
    assert sent == again
    assert [each.key for each in results] == [each.key for each in Folder(tmp_path / "other").results()]
    assert export.read_text(encoding="utf-8-sig").count("v2:image/generate/ideogram-4-6") == 1
