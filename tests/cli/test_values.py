"""Values of fields, as options, cells of a table and lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.commands import Invoke, generate
from support.pictures import picture

from ideogram_async.cli.batch.jobs_file import JobsFile

FOX = generate("fox")
PALETTES = [
    "EMBER",
    {"name": "EMBER"},
    {"members": [{"color_hex": "#112233", "color_weight": 0.5}, {"color_hex": "#445566"}]},
    [{"color_hex": "#112233"}],
    ["#112233", "#445566"],
]


@pytest.fixture(autouse=True)
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.png"
    path.write_bytes(picture("PNG", size=(64, 48)))
    return path


def plan(invoke: Invoke, *rows: Any) -> list[tuple[str, str]]:
    """Plan rows of JSON and return the field and the rule of every fault."""
    Path("jobs.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    ended = invoke("batch", "plan", "jobs.jsonl", "--json")
    problems = [problem for event in ended.events for problem in event.get("problems", [])]

    assert (2 if problems else 0) == ended.code
    return [(problem["field"], problem["rule"]) for problem in problems]


@pytest.mark.parametrize("palette", PALETTES, ids=json.dumps)
def test_a_palette_of_json_is_a_preset_or_members(invoke: Invoke, palette: Any):
    """A palette is the name of a preset or a list of members, wrapped as in the API or not."""
    assert [] == plan(invoke, generate("n", color_palette=palette))


@pytest.mark.parametrize("images", ["a.png", ["a.png", "a.png"], {"job": "fox"}, [{"job": "fox", "index": 0}]])
def test_a_list_of_files_of_json_may_be_one_file(invoke: Invoke, images: Any):
    """A field of files takes paths and earlier jobs, one or several."""
    assert [] == plan(invoke, FOX, generate("n", style_reference_images=images))


@pytest.mark.parametrize("image", [{"job": "fox", "index": -1}, {"job": 7}, {"job": "fox", "at": 0}, {}, True])
def test_a_file_of_json_is_a_path_or_an_earlier_job(invoke: Invoke, image: Any):
    """Any other object is a fault of its field."""
    problems = plan(invoke, FOX, {"operation": "upscale", "image": image})

    assert ["image"] == [field for field, _ in problems]


@pytest.mark.parametrize("palette", ["SUNSET", "#red", "#112233;#44556", "#112233:heavy"])
def test_a_palette_that_cannot_be_read_is_a_fault_of_its_field(invoke: Invoke, palette: str):
    """An unknown preset, a color or a weight is reported by the palette's own rule."""
    Path("jobs.csv").write_text(f"operation,prompt,color_palette\ngenerate,a fox,{palette}\n")
    ended = invoke("batch", "plan", "jobs.csv", "--json")

    assert 2 == ended.code
    assert ["color_palette" in json.dumps(problem) for problem in ended.events[0]["problems"]] == [True]


def test_cells_of_a_table_hold_lists(invoke: Invoke):
    """Files, earlier jobs, codes and colors with weights are separated by `;`."""
    header = "operation,id,prompt,style_reference_images,style_codes,color_palette"
    rows = [
        header,
        "generate,fox,a fox,,,",
        "generate,two,a fox,a.png; job:fox#0,,#112233:0.5; #445566",
        "generate,codes,a fox,,AAFF5733; 0133FF57,ember",
    ]
    Path("jobs.csv").write_text("\n".join(rows) + "\n")
    ended = invoke("batch", "plan", "jobs.csv", "--json")

    assert (0, 3) == (ended.code, ended.events[0]["jobs"])


@pytest.mark.parametrize("line", [b'{"prompt": "\xff"}', b"[" * 100_000, b'{"seed": ' + b"9" * 5_000 + b"}"])
def test_a_line_that_is_not_json_is_a_fault_of_its_line(invoke: Invoke, line: bytes):
    """Other encodings, endless nesting and endless numbers are reported like any fault."""
    Path("jobs.jsonl").write_bytes(json.dumps(FOX).encode() + b"\n" + line + b"\n")
    ended = invoke("batch", "plan", "jobs.jsonl", "--json")

    assert 2 == ended.code
    assert [2] == [problem["line"] for problem in ended.events[0]["problems"]]


def test_only_some_of_many_faults_are_printed(invoke: Invoke):
    """A file full of faults does not fill the terminal; the first line says how many there are."""
    rows = (json.dumps({"prompt": "a fox", "seed": -1 - number}) for number in range(200))
    Path("jobs.jsonl").write_text("\n".join(rows))
    ended = invoke("batch", "plan", "jobs.jsonl")

    assert 2 == ended.code
    assert len(ended.err.splitlines()) < 100
    assert "200 faults" in ended.err


def test_an_estimate_lists_what_is_invalid(invoke: Invoke):
    """`estimate` prints the price and every broken rule, and exits with 2."""
    valid, invalid = invoke("estimate", "generate", "a fox", "--num-images", "2"), invoke("estimate", "generate", " ")
    machine = invoke("estimate", "generate", " ", "--num-images", "9", "--json").events[0]

    assert (0, 2) == (valid.code, invalid.code)
    assert valid.out.startswith("0.12 USD")
    assert "prompt" in invalid.out
    assert {"prompt", "num_images"} == {problem["field"] for problem in machine["problems"]}


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("IDEOGRAM_TIMEOUT", "soon", "IDEOGRAM_TIMEOUT"),
        ("IDEOGRAM_BASE_URL", "ftp://me:pw@x", "IDEOGRAM_BASE_URL"),
        ("IDEOGRAM_BASE_URL", "ftp://me:pw@x", "not 'ftp://***@x'"),
    ],
)
def test_a_setting_that_is_invalid_exits_with_2(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, name: str, value: str, named: str
):
    """A setting of the environment that cannot be used is named."""
    monkeypatch.setenv(name, value)
    ended = invoke("estimate", "generate", "a fox")

    assert (2, "") == (ended.code, ended.out)
    assert named in ended.err


def test_the_doctor_reports_a_base_url_that_cannot_be_read(invoke: Invoke, monkeypatch: pytest.MonkeyPatch):
    """A malformed address is a finding of the doctor, not a crash."""
    monkeypatch.setenv("IDEOGRAM_BASE_URL", "http://[")
    ended = invoke("doctor")

    assert 1 == ended.code
    assert "IDEOGRAM_BASE_URL" in ended.out


def test_an_unexpected_argument_is_quoted(invoke: Invoke):
    """An argument that the command does not accept exits with 2 and is quoted."""
    ended = invoke("estimate", "generate", "a fox", "another")

    assert (2, "") == (ended.code, ended.out)
    assert "'another'" in ended.err


def test_an_unexpected_error_is_reported_in_a_sentence(invoke: Invoke, monkeypatch: pytest.MonkeyPatch):
    """An unexpected error exits with 1, without a traceback, and says that money may have been spent."""

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(JobsFile, "__init__", fail)
    ended = invoke("batch", "plan", "jobs.jsonl", "--json")

    assert 1 == ended.code
    assert ("ZeroDivisionError", "unknown") == (ended.events[0]["error"], ended.events[0]["billed"])
