"""Exports that are run again: the same jobs, in the same folder for nothing, and in another one complete."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.batches import collect, run_batch
from support.schemas import REQUESTS
from support.variants import VARIANTS, Stage, variant

from ideogram_async import (
    ColorPaletteMember,
    FromJob,
    Generate,
    GenerateTransparent,
    Ideogram,
    Job,
    Remix,
    Unchecked,
    Upscale,
    read_jobs,
)
from ideogram_async._rows.exported import write_cell, write_name, write_text
from ideogram_async._rows.fields import fields_of
from ideogram_async.batch import Folder
from ideogram_async.cli.batch.jobs_file import JobsFile
from ideogram_async.sandbox import Sandbox

IMAGE_REQUESTS = [kind for kind in REQUESTS.values() if kind.endpoint.makes_images]
NASTY = [
    '"',
    "'",
    "'=1+1",
    "''=1+1",
    "=1+1",
    "-5",
    "@x",
    "\tx",
    "a;b",
    " a ",
    "a\r\nb\nc\rd",
    "\N{FOX FACE}, \N{ZERO WIDTH JOINER}",
    "json:1",
    'json:"x"',
    "'json:x",
    "unchecked:x",
    "job:fox#0",
    "NULL",
    "TRUE",
    "007",
    "1.0",
    "a\x1b[31m\x85\u2028\ufeffb",
    "\ufeffb",
    "a,b",
    "\uff1dx",
]


def export(folder: Path, suffix: str) -> Path:
    target = folder.parent / f"export{suffix}"
    return Folder(folder).export_csv(target) if suffix == ".csv" else Folder(folder).export_jsonl(target)


def keys_of(folder: Path) -> list[tuple[str, Any]]:
    return [(result.key, result.carried) for result in Folder(folder).results()]


async def run_again(client: Ideogram, sandbox: Sandbox, folder: Path, suffix: str) -> int:
    """Run the export of a folder in it and in another one, and return the number of calls for the other one."""
    jobs, file, before = keys_of(folder), export(folder, suffix), len(sandbox.requests)
    await run_batch(client, JobsFile(file).read(), folder)
    sent = len(sandbox.requests) - before
    await run_batch(client, JobsFile(file).read(), folder.parent / "other")

    assert 0 == sent
    assert jobs == keys_of(folder) == keys_of(folder.parent / "other")
    return len(sandbox.requests) - before


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
async def test_every_field_of_every_operation_can_be_run_again(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, suffix: str
):
    """A request of each kind, with and without an id, and with files stored in the folder, is the same job again."""
    stage = await Stage.prepare(client, sandbox, tmp_path)
    requests = [variant(kind, which, stage)[0] for kind in IMAGE_REQUESTS for which in VARIANTS]
    jobs = [Job(request, f"job {n}" if n % 2 else None, carried={"n": str(n)}) for n, request in enumerate(requests)]
    results = await collect(client, jobs, tmp_path / "out")

    assert {"done"} == {result.state for result in results}
    assert 45 == await run_again(client, sandbox, tmp_path / "out", suffix) == len(requests)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
async def test_unusual_text_can_be_run_again(client: Ideogram, sandbox: Sandbox, tmp_path: Path, suffix: str):
    """Unusual text in prompts, ids, and names and values of carried columns is read back unchanged."""
    jobs = [Job(Generate(text, num_images=2), carried={text: text, "Prompt": text}) for text in NASTY]
    jobs += [Job(Generate("a fox"), text) for text in NASTY if text.isprintable()]
    jobs += [Job(Generate("a fox", negative_prompt="")), Job(Generate("a fox")), Job(Generate("a fox"))]
    await run_batch(client, jobs, tmp_path / "out")

    assert len(jobs) == await run_again(client, sandbox, tmp_path / "out", suffix)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
async def test_unusual_values_can_be_run_again(client: Ideogram, sandbox: Sandbox, tmp_path: Path, suffix: str):
    """Unchecked values, weights, images of other jobs, and files by path and content are read back unchanged."""
    await client.run_batch([Job(Generate("a fox"), "a;b#1")], tmp_path / "out")
    (stored,) = (tmp_path / "out").glob("*.png")
    (tmp_path / " a;b.png").write_bytes(stored.read_bytes())
    jobs = [
        Job(Generate("a fox"), "a;b#1"),
        Job(Upscale(FromJob("a;b#1"))),
        Job(Remix(str(tmp_path / " a;b.png"), "x", image_weight=1)),
        Job(Upscale(("fox.png", stored.read_bytes()))),
        Job(GenerateTransparent("x", upscale_factor=Unchecked("X2"))),
        Job(Generate("x", color_palette=[ColorPaletteMember(Unchecked("#123"), 0.5), ("#fff", 0.1 + 0.2)])),
        Job(Generate("x", rendering_speed=Unchecked("TURBO"), style_codes=["AABBCCDD", Unchecked("00112233")])),
        Job(Generate("x", style_reference_images=[str(tmp_path / " a;b.png"), str(stored)])),
    ]
    await run_batch(client, jobs, tmp_path / "out")

    assert len(jobs) == await run_again(client, sandbox, tmp_path / "out", suffix)


@pytest.mark.parametrize(
    ("field", "value", "cell"),
    [
        ("prompt", "a red fox", "a red fox"),
        ("prompt", "", 'json:""'),
        ("prompt", "json:x", 'json:"json:x"'),
        ("prompt", "=1", "'=1"),
        ("num_images", 2, 2),
        ("rendering_speed", "unchecked:X", "unchecked:X"),
        ("color_palette", "EMBER", "EMBER"),
        ("color_palette", ["#fff", {"color_hex": "#000", "color_weight": 0.5}], "#fff;#000:0.5"),
        ("style_codes", ["AABBCCDD", "00112233"], "AABBCCDD;00112233"),
        ("style_codes", ["a;b"], 'json:["a;b"]'),
        ("style_reference_images", ["/a.png", {"job": "fox", "index": 1}], "/a.png;job:fox#1"),
        ("style_reference_images", ["/a;b.png"], 'json:["/a;b.png"]'),
    ],
)
def test_a_cell_is_what_a_person_would_type(field: str, value: object, cell: object):
    """A cell is plain text, or JSON if the text would be read back as another value."""
    assert cell == write_cell(fields_of(Generate)[field], value)


@pytest.mark.parametrize(
    "name", ["fox", "7", "12345678901", "fox-1", "img_012", "A1", "1x1", "3D", "march", "e2", "a 2"]
)
def test_the_cell_of_an_id(name: str):
    """An id that a spreadsheet does not change is written unchanged."""
    assert name == write_name(name)


@pytest.mark.parametrize(
    "name",
    [" x", "7.0", "007", "4006381333931", "1e5", "1234E567", "2026-01-02", "1-2", "mar-1", "May 5", "5 am", "True"],
)
def test_the_cell_of_an_id_that_a_spreadsheet_would_change(name: str):
    """An id that a spreadsheet would change is written as JSON: a job with another id would be paid for again."""
    assert f'json:"{name}"' == write_name(name)


@pytest.mark.parametrize("prompt", ["007", "10:30", "May 5, 2026", "#REF!", " a fox", "a fox\r\non a hill"])
def test_a_prompt_that_a_spreadsheet_would_change(prompt: str):
    """A prompt that a spreadsheet would change is written as JSON: a changed prompt is a new job."""
    assert "json:" + json.dumps(prompt) == write_cell(fields_of(Generate)["prompt"], prompt)


def test_a_long_prompt_of_numbers_is_written_at_once():
    """A long prompt of numbers is written without backtracking."""
    prompt = "1 " * 50_000 + "x"

    assert prompt == write_cell(fields_of(Generate)["prompt"], prompt)


def test_an_empty_carried_column_is_an_empty_cell():
    """An empty column stays empty, and plain text is written unchanged."""
    assert ["", "x"] == [write_text(""), write_text("x")]


async def test_an_export_with_another_column_for_a_field(client: Ideogram, tmp_path: Path):
    """A column can be chosen, also one of the results: the rewritten prompt becomes the prompt."""
    await run_batch(client, [Job(Generate("a fox", magic_prompt="ON"), carried={"Title": "Fox"})], tmp_path / "out")
    (result,) = Folder(tmp_path / "out").results()
    path = export(tmp_path / "out", ".csv")

    prompts = [
        next(read_jobs(path, columns={"prompt": column}, ignore_columns=True)).request.prompt  # type: ignore[attr-defined]
        for column in ("result_prompt", "title")
    ]

    assert [result.images[0].prompt, "Fox"] == prompts


async def test_a_changed_row_is_another_job(client: Ideogram, tmp_path: Path):
    """Rows that differ in more than their image are different jobs."""
    await run_batch(client, [Generate("a fox", num_images=2)], tmp_path / "out")
    path = export(tmp_path / "out", ".csv")
    lines = path.read_text("utf-8-sig").splitlines()
    path.write_text("\n".join([*lines, lines[1].replace("a fox", "a dog", 1)]) + "\n")

    assert [Generate("a fox", num_images=2), Generate("a dog", num_images=2)] == [
        job.request for job in JobsFile(path).read()
    ]


def test_a_cell_with_invalid_json_is_a_fault_of_its_line(tmp_path: Path):
    """Invalid JSON in a cell is reported with its line and column."""
    path = tmp_path / "x.csv"
    path.write_text("operation,prompt,result_key\ngenerate,json:{,k\n")
    problems: list[Any] = []

    assert [] == list(JobsFile(path).read(problems))
    assert "line 2: prompt is not valid JSON after 'json:'" in str(problems[0])


def test_carried_columns_of_an_object_are_text(tmp_path: Path):
    """A carried value that is not a string is refused."""
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps({"operation": "generate", "prompt": "x", "carried": {"a": 1}}))
    problems: list[Any] = []

    assert [] == list(JobsFile(path).read(problems))
    assert ["line 1: carried must be an object of strings"] == list(map(str, problems))
