"""Bad input: told with line and field, before a key is used or money spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import generate

FAULTS: list[tuple[Any, str, str]] = [
    ('{"operation": "generate", "prompt"', "", "is no JSON: Expecting ':' delimiter"),
    ("[1]", "", "must be a JSON object, not list"),
    ('{"operation": "generate", "prompt": "a", "prompt": "b"}', "prompt", "is given twice"),
    ({"prompt": "a fox"}, "operation", "is missing"),
    ({"operation": "genrate", "prompt": "a"}, "operation", "did you mean 'generate'?"),
    ({"operation": "describe", "image": "a.png"}, "operation", "is none that makes images"),
    ({"operation": "generate", "prompt": "a", "sead": 1}, "sead", "is no field of generate; did you mean 'seed'?"),
    ({"operation": "remix", "prompt": "a"}, "image", "is missing; remix needs it"),
    ({"operation": "upscale", "image": "none.png"}, "image", "cannot be read: No such file or directory"),
    ({"operation": "upscale", "image": 3}, "image", "must be a path"),
    ({"operation": "upscale", "image": {"job": "later"}}, "image", "no earlier job has that id"),
    ({"operation": "upscale", "image": {"job": "first", "index": 1}}, "image", "which makes 1"),
    (generate("first", prompt="another"), "id", "'first' stands for an earlier job"),
    (generate("n", id=7), "id", "must be a string, not int"),
    (generate("n", num_images="2"), "num_images", "must be a whole number, not str"),
    (generate("n", num_images=9), "num_images", "must be from 1 to 8, not 9"),
    (generate("n", rendering_speed="SLOW"), "rendering_speed", "is not one of FLASH, TURBO, DEFAULT, QUALITY\n"),
]


@pytest.mark.parametrize(("row", "field", "rule"), FAULTS, ids=[f"{field}-{rule[:20]}" for _, field, rule in FAULTS])
def test_a_fault_has_its_line_and_field(say, row: Any, field: str, rule: str):
    """Each fault is told with the line and the field it stands in; plan and exit code say that nothing can be run."""
    second = row if isinstance(row, str) else json.dumps(row)
    Path("jobs.jsonl").write_text(f"{json.dumps(generate('first'))}\n\n{second}\n")

    ended = say("batch", "plan", "jobs.jsonl")

    assert 2 == ended.code
    assert "jobs.jsonl has 1 fault; nothing was sent, nothing was paid\n" in ended.err
    assert f"line 3    {' ' if not field else ''}{field}" in ended.err
    assert rule in ended.err


def test_machines_get_faults_as_json(say):
    """With `--json` each fault has its line, field and rule."""
    Path("jobs.jsonl").write_text('{"operation": "generate"}\n')

    ended = say("batch", "plan", "jobs.jsonl", "--json")

    assert [{"line": 1, "field": "prompt", "rule": "is missing; generate needs it"}] == ended.events[0]["problems"]


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("generate,a fox,two", "num_images must be a whole number, not 'two'"),
        ("generate,a fox,2,more", "has 4 cells, and the header 3"),
        ('generate,"a fox', "is no CSV"),
    ],
)
def test_a_table_has_lines_too(say, row: str, rule: str):
    """A fault in a table is told with its line."""
    Path("jobs.csv").write_text(f"operation,prompt,num_images\n{row}\n")

    ended = say("batch", "plan", "jobs.csv")

    assert 2 == ended.code
    assert rule in ended.err


def test_an_empty_file(say):
    """A file without a job is a mistake."""
    Path("jobs.jsonl").write_text("\n")

    ended = say("batch", "run", "jobs.jsonl", "out", "--sandbox")

    assert 2 == ended.code
    assert "holds no job" in ended.err


def test_no_file(say):
    """A file that is not there is named."""
    ended = say("batch", "run", "none.jsonl", "out", "--sandbox")

    assert 2 == ended.code
    assert "none.jsonl cannot be read: No such file or directory" in ended.err


def test_the_folder_is_a_file(say):
    """A folder that is a file is refused before anything is read."""
    Path("out").touch()

    ended = say("batch", "run", "none.jsonl", "out", "--sandbox")

    assert 2 == ended.code
    assert "out is a file; a batch needs a folder" in ended.err


@pytest.mark.parametrize("words", [("--names", "{bad}"), ("--max-cost-usd", "much"), ("--max-downloads", "0")])
def test_options_that_make_no_sense(say, words: tuple[str, ...]):
    """An option that makes no sense exits with 2, and leaves no folder behind."""
    Path("jobs.jsonl").write_text(json.dumps(generate("fox")))

    ended = say("batch", "run", "jobs.jsonl", "out", "--sandbox", *words)

    assert 2 == ended.code
    assert words[0].lstrip("-").replace("-", "_") in ended.err
    assert not Path("out").exists()


@pytest.mark.parametrize("words", [("batch", "status"), ("batch", "gallery"), ("batch", "export", "jobs.csv")])
def test_no_batch_there(say, words: tuple[str, ...]):
    """A folder that is none of a batch is told so."""
    ended = say(*words[:2], "nothing", *words[2:])

    assert 2 == ended.code
    assert "is no folder of a batch" in ended.err


def test_no_key(say):
    """Without a key nothing is tried, and the way without one is shown."""
    Path("jobs.jsonl").write_text(json.dumps(generate("fox")))

    told = [say("generate", "a fox"), say("batch", "run", "jobs.jsonl", "out")]

    assert [2, 2] == [ended.code for ended in told]
    assert all("IDEOGRAM_API_KEY" in ended.err and "--sandbox" in ended.err for ended in told)


def test_control_characters_are_shown_not_obeyed(say):
    """What a file holds cannot steer the terminal."""
    row = {"operation": "generate", "prompt": "a", "x\x1b]0;title\x07\u202e": 1}
    Path("jobs.jsonl").write_text(json.dumps(row))

    ended = say("batch", "plan", "jobs.jsonl")

    assert "x\\x1b]0;title\\x07\\u202e is no field of generate" in ended.err
    assert "\x1b" not in ended.out + ended.err
