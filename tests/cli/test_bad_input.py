"""Invalid input, which is reported with line and field before a key is used or money is spent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.commands import Invoke, generate

from ideogram_async.cli.batch.jobs_file import JobsFile
from ideogram_async.cli.errors import UsageError

FAULTS: list[tuple[Any, str, str]] = [
    ('{"operation": "generate", "prompt"', "", "invalid JSON: Expecting ':' delimiter"),
    ("[1]", "", "must be a JSON object, not list; each line is one object, without enclosing brackets"),
    (
        '[{"operation": "generate", "prompt": "a"},',
        "",
        "invalid JSON: each line is one object, without enclosing brackets",
    ),
    (
        '{"operation": "generate", "prompt": "a"},',
        "",
        "invalid JSON: each line is one object, without enclosing brackets",
    ),
    ("{", "", "; an object must be on one line"),
    ('{"operation": "generate", "prompt": "a", "prompt": "b"}', "prompt", "appears twice"),
    (
        {"image": "a.png"},
        "",
        'no column is named "prompt", which generate requires; for images, add --operation upscale',
    ),
    ({"operation": "genrate", "prompt": "a"}, "operation", "did you mean 'generate'?"),
    ({"operation": "describe", "image": "a.png"}, "operation", "is not an operation that makes images"),
    (
        {"operation": "generate", "prompt": "a", "sead": 1},
        "",
        'column "sead" is not a field of generate; add --column seed=sead to use',
    ),
    ({"operation": "remix", "prompt": "a"}, "image", "is missing; remix requires it"),
    ({"operation": "upscale", "image": "none.png"}, "image", "cannot be read: No such file or directory"),
    ({"operation": "upscale", "image": 3}, "image", "must be a path"),
    (
        {"operation": "upscale", "image": "https://a.b/c"},
        "image",
        "is a URL, not a path; pass the path of a local file",
    ),
    ({"operation": "upscale", "image": "~/fox.png"}, "image", "begins with ~, which is not expanded; pass the path of"),
    ({"operation": "upscale", "image": {"job": "later"}}, "image", "no earlier job has that id"),
    (
        {"operation": "inpaint", "prompt": "a", "image": {"job": "first"}, "mask": {"job": "later"}},
        "mask",
        "refers to job 'later', but no earlier job has that id",
    ),
    (generate("n", style_reference_images=[{"job": "later"}]), "style_reference_images", "refers to job 'later'"),
    ({"operation": "upscale", "image": {"job": "first", "index": 1}}, "image", "which makes 1"),
    (generate("first", prompt="another"), "id", "'first' is already used by an earlier job"),
    (generate("n", id=[7]), "id", "must be a string or a whole number, not [7]"),
    (generate("n", seed=7.5), "seed", "must be a whole number, not float"),
    (generate("n", num_images="2"), "num_images", "must be a whole number, not str; did you mean 2?"),
    (generate("n", num_images=9), "num_images", "must be from 1 to 8, not 9"),
    (
        generate("n", rendering_speed="SLOW"),
        "rendering_speed",
        "is not one of FLASH, TURBO, DEFAULT, QUALITY; for a newer value, pass unchecked:SLOW\n",
    ),
]


@pytest.mark.parametrize(("row", "field", "rule"), FAULTS, ids=[f"{field}-{rule[:20]}" for _, field, rule in FAULTS])
def test_a_fault_has_its_line_and_field(invoke: Invoke, row: Any, field: str, rule: str):
    """Each fault is reported with its line and field; `plan` exits with 2."""
    second = row if isinstance(row, str) else json.dumps(row)
    Path("jobs.jsonl").write_text(f"{json.dumps(generate('first'))}\n\n{second}\n")

    completed = invoke("batch", "plan", "jobs.jsonl")

    assert 2 == completed.code
    assert "jobs.jsonl has 1 fault; nothing was sent or billed\n" in completed.err
    assert f"  line 3: {field}" in completed.err
    assert rule in completed.err
    assert completed.err.endswith("  correct it, then run the same command\n")


def test_machines_get_faults_as_json(invoke: Invoke):
    """With `--json` each fault has its line, field and rule."""
    Path("jobs.jsonl").write_text('{"operation": "generate"}\n')

    completed = invoke("batch", "plan", "jobs.jsonl", "--json")

    assert [{"line": 1, "field": "prompt", "rule": "is missing; generate requires it"}] == completed.events[0][
        "problems"
    ]


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ("generate,a fox,two", "num_images must be a whole number, not 'two'"),
        ("generate,a fox,2,more", "has 4 cells, but the header has 3"),
        ('generate,"a fox', "invalid CSV"),
    ],
)
def test_a_fault_in_a_table_has_its_line(invoke: Invoke, row: str, rule: str):
    """A fault in a table is reported with its line."""
    Path("jobs.csv").write_text(f"operation,prompt,num_images\n{row}\n")

    completed = invoke("batch", "plan", "jobs.csv")

    assert 2 == completed.code
    assert f"line 2: {rule}" in completed.err


@pytest.mark.parametrize(
    ("header", "fault"),
    [
        ("operation,promt", 'column "promt" is not a field of any operation; add --column prompt=promt to use it, or'),
        ("operation,prompt,prompt", "prompt appears twice"),
        ("Prompt,prompt", 'columns "Prompt" and "prompt" are both prompt; remove or rename one'),
        (
            "Caption,seed",
            'no column is named "prompt", which generate requires; found "Caption" and "seed"; add --column',
        ),
        ("generate,a fox", 'no column is named "prompt", which generate requires; found "generate" and "a fox"; add'),
        ("op\u00e9ration".encode("cp1252"), "not UTF-8 text; save it as UTF-8, from a spreadsheet: save as CSV UTF-8"),
        ("prompt".encode("utf-16-le"), "contains a NUL character; save it as UTF-8"),
    ],
)
def test_a_fault_in_the_header_is_reported_once(invoke: Invoke, header: str | bytes, fault: str):
    """A fault of a column is reported for the first line, not for every row."""
    first = header if isinstance(header, bytes) else header.encode()
    Path("jobs.csv").write_bytes(first + b"\n" + b"generate,a fox\n" * 3)

    completed = invoke("batch", "plan", "jobs.csv")

    assert 2 == completed.code
    assert "jobs.csv has 1 fault; nothing was sent or billed\n" in completed.err
    assert f"line 1: {fault}" in completed.err


def test_a_row_has_the_number_of_its_first_line(invoke: Invoke):
    """Cells may contain line breaks; blank lines, a byte order mark and CRLF are not faults."""
    rows = ["operation,prompt,num_images,", 'generate,"a\r\nred ""fox""",1', "", "generate,a fox,two", 'generate,"open']
    Path("jobs.csv").write_bytes("\r\n".join(rows).encode("utf-8-sig"))

    completed = invoke("batch", "plan", "jobs.csv")

    assert "jobs      1 job in jobs.csv" in completed.out
    assert "  line 5: num_images must be a whole number, not 'two'\n" in completed.err
    assert "  line 6: invalid CSV: a quote is not closed\n" in completed.err


def test_a_newer_value_is_written_unchecked(invoke: Invoke):
    """In a table and in JSON lines `unchecked:` passes a value unchanged; the case of known values does not matter."""
    row = {"operation": "generate", "prompt": "a", "rendering_speed": "Unchecked:BALANCED", "style_type": "design"}
    Path("jobs.jsonl").write_text(json.dumps(row))
    Path("jobs.csv").write_text(f"{','.join(row)}\n{','.join(row.values())}\n")

    runs = [invoke("batch", "plan", name) for name in ("jobs.jsonl", "jobs.csv")]

    assert [(0, ""), (0, "")] == [(completed.code, completed.err) for completed in runs]
    assert all("and 1 job of unknown price" in completed.out for completed in runs)


def test_an_empty_file(invoke: Invoke):
    """A file without jobs is a usage error."""
    Path("jobs.jsonl").write_text("\n")

    completed = invoke("batch", "run", "jobs.jsonl", "out", "--sandbox")

    assert 2 == completed.code
    assert "contains no jobs" in completed.err


def test_no_file(invoke: Invoke):
    """A missing file is named."""
    completed = invoke("batch", "run", "none.jsonl", "out", "--sandbox")

    assert 2 == completed.code
    assert "none.jsonl cannot be read: No such file or directory" in completed.err


def test_a_tilde_is_not_the_name_of_a_folder(invoke: Invoke):
    """Shells do not expand `~` in quotes; a folder of that name would be dangerous to remove."""
    completed = invoke("batch", "run", "none.jsonl", "~/out", "--sandbox")

    assert 2 == completed.code
    assert "~/out begins with ~, which shells do not expand in quotes" in completed.err
    assert not Path("~").exists()


def test_the_folder_is_a_file(invoke: Invoke):
    """A folder that is a file is refused before anything is read."""
    Path("out").touch()

    completed = invoke("batch", "run", "none.jsonl", "out", "--sandbox")

    assert 2 == completed.code
    assert "out is a file; a batch needs a folder" in completed.err


@pytest.mark.parametrize(
    "arguments", [("--names", "{bad}"), ("--names", "{seed:d}"), ("--max-cost-usd", "much"), ("--max-downloads", "0")]
)
def test_invalid_options(invoke: Invoke, arguments: tuple[str, ...]):
    """An invalid option exits with 2, and creates no folder."""
    Path("jobs.jsonl").write_text(json.dumps(generate("fox")))

    completed = invoke("batch", "run", "jobs.jsonl", "out", "--sandbox", *arguments)

    assert 2 == completed.code
    assert completed.err.startswith(f"✗ {arguments[0]}")
    assert completed.err.endswith("  Nothing was billed. Correct the option.\n")
    assert not Path("out").exists()


@pytest.mark.parametrize("arguments", [("batch", "status"), ("batch", "gallery"), ("batch", "export", "jobs.csv")])
def test_a_folder_without_a_batch(invoke: Invoke, arguments: tuple[str, ...]):
    """The error names the folder, and explains why it is not that of a batch."""
    Path("file").touch()
    Path("empty").mkdir()
    for name, why in (("nothing", "does not exist"), ("file", "is a file"), ("empty", "has no .ideogram/")):
        completed = invoke(*arguments[:2], name, *arguments[2:])

        assert 2 == completed.code
        assert f"{name} {why}" in completed.err
        assert completed.err.endswith("  Nothing was billed. Name the folder of a batch.\n")


def test_no_key(invoke: Invoke):
    """Without a key nothing is sent, and the alternatives are shown."""
    Path("jobs.jsonl").write_text(json.dumps(generate("fox")))

    runs = [invoke("generate", "a fox"), invoke("batch", "run", "jobs.jsonl", "out")]

    assert [2, 2] == [completed.code for completed in runs]
    assert all("IDEOGRAM_API_KEY" in completed.err and "--sandbox" in completed.err for completed in runs)


def test_control_characters_are_escaped(invoke: Invoke):
    """The content of a file cannot control the terminal."""
    row = {"operation": "generate", "prompt": "a", "x\x1b]0;title\x07\u202e": 1}
    Path("jobs.jsonl").write_text(json.dumps(row))

    completed = invoke("batch", "plan", "jobs.jsonl")

    assert 'column "x\\x1b]0;title\\x07\\u202e" is not a field of generate' in completed.err
    assert "\x1b" not in completed.out + completed.err


@pytest.mark.parametrize("name", ["zero", "zero.csv"])
@pytest.mark.parametrize("command", [("plan",), ("run", "out")])
def test_an_endless_line(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...], name: str):
    """A line has at most 10 MiB. A longer one is a fault, and nothing after it is read."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", "key")
    Path(name).symlink_to("/dev/zero")
    action, *folder = command

    completed = invoke("batch", action, name, *folder)

    assert 2 == completed.code
    assert f"{name} has 1 fault; nothing was sent or billed" in completed.err
    assert "longer than 10 MiB" in completed.err


def test_a_directory_as_jobs_file(invoke: Invoke):
    """A directory is refused, and no folder is created."""
    completed = invoke("batch", "run", ".", "out", "--sandbox")

    assert (2, "") == (completed.code, completed.out)
    assert ". cannot be read: Is a directory" in completed.err
    assert not Path("out").exists()


def test_a_jobs_file_that_changes_after_its_check(tmp_path: Path):
    """What is run is what was checked: another file under the same name is refused."""
    path = tmp_path / "jobs.jsonl"
    path.write_text(json.dumps(generate("fox")))
    jobs = JobsFile(path)
    checked = list(jobs.read([]))
    path.write_text(json.dumps(generate("owls")))

    with pytest.raises(UsageError, match=r"jobs.jsonl changed after it was checked."):
        next(jobs.read())

    assert 1 == len(checked)


KEY = "No API key. Set IDEOGRAM_API_KEY; get a key at https://ideogram.ai/manage-api."


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("batch", "run", "none.txt", "out"), "none.txt cannot be read: No such file or directory"),
        (("batch", "run", "faulty.jsonl", "out"), "faulty.jsonl has 1 fault"),
        (
            ("batch", "run", "jobs.txt", "out", "--max-cost-usd", "x"),
            "--max-cost-usd must be an amount in USD, not 'x'",
        ),
        (("batch", "run", "jobs.txt", "out", "--names", "{x}"), "--names: unknown placeholder {x}"),
        (("batch", "run", "-", "out", "--set", "x"), "--set x: must be field=value."),
        (("generate", "a fox", "--num-images", "99"), "num_images: must be from 1 to 8, not 99"),
        (("remix", "none.png", "a fox"), "image: cannot be read: No such file or directory: none.png"),
        (("models", "wait", "x", "--poll", "0"), "--poll and --timeout must be more than 0 seconds"),
        (("batch", "run", "jobs.txt", "out"), KEY),
        (("batch", "run", "-", "out"), KEY),
        (("generate", "a fox", "-o", "foxes"), KEY),
        (("models", "wait", "x"), KEY),
    ],
    ids=lambda value: " ".join(value)[:30],
)
def test_the_key_is_checked_last(invoke: Invoke, command: tuple[str, ...], error: str):
    """Faults of the input are reported before a missing key, and nothing is written."""
    Path("jobs.txt").write_text("a fox\n")
    Path("faulty.jsonl").write_text("{}\n")
    completed = invoke(*command)

    assert 2 == completed.code
    assert error in completed.err
    assert (KEY == error) == (KEY in completed.err)
    assert {"jobs.txt", "faulty.jsonl"} == {path.name for path in Path().iterdir()}


@pytest.mark.parametrize(
    ("path", "advice"),
    [
        ("jbos.txt", "Did you mean jobs.txt?"),
        ("lists/fox.cvs", "Did you mean lists/foxes.csv?"),
        ("none.xlsx", "Pass the path of a jobs file."),
        ("none/jobs.txt", "Pass the path of a jobs file."),
    ],
)
@pytest.mark.parametrize("command", [("batch", "plan"), ("batch", "run"), ("batch", "run", "--dry-run")])
def test_a_missing_file_is_answered_by_the_closest_name(
    invoke: Invoke, command: tuple[str, ...], path: str, advice: str
):
    """The error of a jobs file that does not exist names the closest one in the same folder."""
    Path("jobs.txt").write_text("a fox\n")
    Path("lists").mkdir()
    Path("lists/foxes.csv").write_text("prompt\na fox\n")
    completed = invoke(*command, path, *["out"] * ("run" in command))

    assert 2 == completed.code
    assert f"{path} cannot be read: No such file or directory" in completed.err
    assert advice in completed.err
