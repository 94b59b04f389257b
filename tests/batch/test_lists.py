"""Jobs of rows and of files in Python."""

from __future__ import annotations

import csv
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import numpy
import pytest

from ideogram_async import FromJob, Generate, InvalidRequestError, Job, Upscale, read_jobs
from ideogram_async.requests import Edit

LISTS = Path(__file__).parents[1] / "data" / "lists"


class NAType:
    """Like `pandas.NA`, which is neither true nor false."""

    def __bool__(self) -> bool:
        raise TypeError("boolean value of NA is ambiguous")

    def __eq__(self, other: object) -> NAType:  # type: ignore[override]
        return self

    __ne__ = __eq__  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class NaTType(NAType):
    """Like `pandas.NaT`."""


@pytest.mark.parametrize(
    "absent", [None, float("nan"), numpy.float64("nan"), numpy.float32("nan"), NAType(), NaTType()]
)
def test_a_missing_value_of_a_data_frame(absent: object):
    """None, NaN, NaT and NA are absent, as fields, as ids and as columns that mean nothing."""
    (job,) = Job.from_rows([{"prompt": "a fox", "seed": absent, "id": absent, "operation": absent, "tag": absent}])

    assert Job(Generate("a fox")) == job


@pytest.mark.parametrize("number", [7, 7.0, "7", "7.0", numpy.int64(7), numpy.float64(7), numpy.float32(7)])
def test_a_whole_number_of_a_data_frame(number: object):
    """Whole numbers are read whatever their type, as fields and as ids."""
    (job,) = Job.from_rows([{"prompt": "a fox", "seed": number}])

    assert Generate("a fox", seed=7) == job.request


@pytest.mark.parametrize("number", [7, 7.0, "7", numpy.int64(7), numpy.float64(7)])
def test_a_whole_number_is_an_id(number: object):
    """A whole number as an id becomes a string."""
    (job,) = Job.from_rows([{"prompt": "a fox", "id": number}])

    assert "7" == job.id


@pytest.mark.parametrize(
    ("text", "name"), [("7", "7"), ("7.0", "7"), ("007", "007"), (" fox ", "fox"), ("1.10", "1.10")]
)
def test_an_id_in_a_table(text: str, name: str):
    """An id is text without surrounding space; a whole number that a data frame wrote as a float loses its `.0`."""
    (job,) = Job.from_rows([{"prompt": "a fox", "id": text}])

    assert name == job.id


@pytest.mark.parametrize("number", ["1.000", "1,0", "1_0", "1e3", "9" * 5000])
def test_a_number_that_may_be_another_is_refused(number: str):
    """A number that has another value in another locale is refused. The message shortens a long value."""
    with pytest.raises(InvalidRequestError, match=r"row 0: seed must be a whole number, not '.{1,60}$"):
        list(Job.from_rows([{"prompt": "a fox", "seed": number}]))


def test_the_message_about_many_faults_is_short():
    """Many different faults with long values are listed up to a limit, each shortened."""
    rows = [{"prompt": "a tag", "aspect_ratio": f"{n} fox" + " and another fox" * 1000} for n in range(100)]

    with pytest.raises(InvalidRequestError) as refused:
        list(Job.from_rows(rows))

    assert 100 == len(refused.value.problems)
    assert str(refused.value).endswith("\n  and 80 more")
    assert len(str(refused.value)) < 20_000


@pytest.mark.parametrize("error", ["#REF!", "#N/A", "#NV", "#BEZUG!", "#VALEUR!", "#DIV/0!", "#NAME?", "Err:502"])
@pytest.mark.parametrize("column", ["prompt", "id", "seed"])
def test_a_formula_that_failed_is_refused(column: str, error: str):
    """The error text of a formula, in any language of a spreadsheet, is refused instead of sent as a prompt."""
    row = {"prompt": "a fox", column: error}

    with pytest.raises(InvalidRequestError, match=f"row 0: {column} is {re.escape(error)}, the result of a formula"):
        list(Job.from_rows([row]))


def test_a_formula_that_failed_in_a_carried_column():
    """A carried column keeps the error text of a formula."""
    (job,) = Job.from_rows([{"prompt": "a fox", "price": "#N/A"}], ignore_columns=True)

    assert {"price": "#N/A"} == job.carried


@pytest.mark.parametrize("number", [7.5, "7.5", numpy.float64(7.5)])
def test_a_fraction_is_refused(number: object):
    """A fraction in a field of whole numbers is refused, not rounded."""
    with pytest.raises(InvalidRequestError, match=r"row 0: seed must be a whole number, not"):
        list(Job.from_rows([{"prompt": "a fox", "seed": number}]))


def test_rows_of_a_reader_of_csv(tmp_path: Path):
    """The strings of `csv.DictReader` are cells; empty ones are absent, and names match in any case."""
    (tmp_path / "jobs.csv").write_text("Prompt,Num Images,rendering-speed,SEED\na fox,2,turbo,\n")
    with (tmp_path / "jobs.csv").open(newline="") as file:
        (job,) = Job.from_rows(csv.DictReader(file))

    assert Generate("a fox", num_images=2, rendering_speed="TURBO") == job.request


def test_a_row_of_a_reader_of_csv_with_too_many_cells(tmp_path: Path):
    """A comma that is not quoted shifts the cells, so that half a prompt would be bought."""
    (tmp_path / "jobs.csv").write_text("id,prompt,note\n1,a fox, red,x\n")
    with (
        (tmp_path / "jobs.csv").open(newline="") as file,
        pytest.raises(InvalidRequestError, match="row 0: has more cells than the header"),
    ):
        list(Job.from_rows(csv.DictReader(file), ignore_columns=True))


@pytest.mark.parametrize(
    "rows", [[{"prompt": "a fox", "sku": 7}], [{"prompt": "a fox"}, {"prompt": "an owl", "SKU": 7}]]
)
def test_a_chosen_column_that_some_rows_have(rows: list[Mapping[str, object]]):
    """A row without it has no id."""
    assert ["7"] == [job.id for job in Job.from_rows(rows, columns={"id": "sku"}) if job.id]


def test_a_chosen_column_that_no_row_has():
    """Without the ids that were meant, an earlier run would be bought again."""
    with pytest.raises(InvalidRequestError, match='row 0: no row has a column "skuu"'):
        list(Job.from_rows([{"prompt": "a fox", "sku": 7}], columns={"id": "skuu"}, ignore_columns=True))


def test_a_chosen_column_of_no_rows():
    """Without rows there is nothing to miss."""
    assert [] == list(Job.from_rows([], columns={"id": "sku"}))


def test_a_chosen_column_that_a_field_needs():
    """The message names it, not the column that it replaces."""
    with pytest.raises(InvalidRequestError, match='row 0: prompt is missing: the row has no "caption"'):
        list(Job.from_rows([{"prompt": "a fox"}], columns={"prompt": "caption"}))


def test_columns_values_and_carried_columns():
    """Columns are chosen, values are set for all rows, and other columns are carried as text."""
    rows = [{"SKU": 12, "Title": "a blue mug", "price": 13.0, "tags": ["kitchen"], "num_images": 4}]

    (job,) = Job.from_rows(rows, columns={"prompt": "Title", "id": "sku"}, set={"num_images": 1}, ignore_columns=True)

    carried = {"price": "13", "tags": '["kitchen"]'}
    assert Job(Generate("a blue mug", num_images=1), "12", carried=carried) == job


def test_an_image_in_a_row():
    """An image is a path, an earlier job, or bytes, as in a request."""
    rows = [{"image": "fox.png"}, {"image": "job:fox#1"}, {"image": FromJob("fox")}, {"image": b"\x89PNG\r\n\x1a\n"}]

    requests = [job.request for job in Job.from_rows(iter(rows[1:3]), operation="upscale")]

    assert [Upscale(FromJob("fox", 1)), Upscale(FromJob("fox"))] == requests
    with pytest.raises(InvalidRequestError, match=r"row 0: image cannot be read: No such file or directory"):
        list(Job.from_rows(rows, operation="upscale"))


def test_rows_are_checked_before_the_first_job():
    """One error lists every fault of a sequence once, with its rows."""
    rows = [{"prompt": "a fox"}, *[{"prompt": "a fox", "seed": -1}] * 5, {"prompt": "a fox", "num_images": 9}]
    jobs = Job.from_rows(rows)

    with pytest.raises(InvalidRequestError) as refused:
        next(jobs)

    assert [
        ("rows 1, 2, 3 and 2 more", "seed must be from 0 to 2147483647, not -1"),
        ("row 6", "num_images must be from 1 to 8, not 9"),
    ] == list(refused.value.problems)


def test_rows_that_come_once_are_read_lazily():
    """A fault of a generator is raised at its row; earlier jobs were delivered, and later rows are not read."""
    rows = iter([{"prompt": "a fox"}, {"promt": "a fox"}, {"prompt": "an owl"}])
    jobs = Job.from_rows(rows)
    first = next(jobs)

    with pytest.raises(
        InvalidRequestError, match=r'row 1: no column is named "prompt".*columns={\'prompt\': \'promt\'}'
    ):
        next(jobs)

    assert Generate("a fox") == first.request
    assert [{"prompt": "an owl"}] == list(rows)


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"operation": "upscal"}, r"operation: 'upscal' is not an operation that makes images; did you mean 'upscale'"),
        (
            {"set": {"rendering_sped": "TURBO"}},
            r"set: 'rendering_sped' is not a field .*did you mean 'rendering_speed'",
        ),
        ({"columns": {"promt": "Caption"}}, r"columns: 'promt' is not a field of generate; did you mean 'prompt'"),
        ({"columns": {"name": "SKU"}}, r"columns: 'name' is not a field of generate; did you mean 'id'"),
        ({"columns": {"Caption": "Prompt"}}, r"the field comes first: pass columns={'prompt': 'Caption'}"),
        ({"set": {"style": "FICTION"}}, r"set: 'style' .*did you mean 'style_type' or 'style_preset'"),
    ],
)
def test_invalid_options_are_refused_at_once(options: Mapping[str, str], fault: str):
    """Invalid options raise when the function is called, before a row is read."""
    with pytest.raises(InvalidRequestError, match=fault):
        Job.from_rows([], **options)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequestError, match=fault):
        read_jobs("jobs.csv", **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("row", "advice"),
    [
        ({"caption": "a fox"}, "pass columns={'prompt': 'caption'}"),
        ({"text": "a fox", "id": 1}, "pass columns={'prompt': 'text'}"),
        ({"caption": "a fox", "tag": "x"}, "pass columns={'prompt': 'caption'}, ignore_columns=True"),
        ({"prompt": "a fox", "tag": "x"}, "pass ignore_columns=True to carry it along unused"),
        ({"prompt": "a fox", "speed": "TURBO"}, "pass columns={'rendering_speed': 'speed'} to use it, or pass"),
        ({"image": "fox.png"}, "for images, pass operation='upscale'"),
    ],
)
def test_columns_are_never_guessed(row: Mapping[str, str], advice: str):
    """A column that may be a field is not used; the error states what to pass."""
    with pytest.raises(InvalidRequestError) as refused:
        list(Job.from_rows([row]))

    assert advice in str(refused.value)


def test_a_field_that_has_a_column_is_not_proposed_again():
    """`Title` would be the prompt, had another column not been chosen."""
    row = {"Title": "Fox", "Description": "a red fox"}
    with pytest.raises(InvalidRequestError) as refused:
        list(Job.from_rows([row], columns={"prompt": "Description"}))

    assert str(refused.value).endswith(
        '"Title" is not a field of generate; pass ignore_columns=True to carry it along unused'
    )


def test_a_row_that_is_no_mapping():
    """The names of columns, which a data frame yields, are refused with the method that returns rows."""
    with pytest.raises(
        InvalidRequestError, match=r"must map names to values, not str, as df.to_dict\('records'\) does"
    ):
        list(Job.from_rows(["prompt", "seed"]))  # type: ignore[list-item]


def test_jobs_of_a_file_are_checked_first(tmp_path: Path):
    """One error lists every fault of a file once, with its lines, and the file's name."""
    path = tmp_path / "jobs.csv"
    path.write_text("id,prompt,seed\na,a fox,1\na,an owl,2\nb,a hare,x\nc,a hare,x\n")
    jobs = read_jobs(path)

    with pytest.raises(InvalidRequestError, match=r"invalid .*jobs.csv, nothing was sent") as refused:
        next(jobs)

    assert [
        ("line 3", "id 'a' is already used by an earlier job"),
        ("lines 4 and 5", "seed must be a whole number, not 'x'"),
    ] == list(refused.value.problems)


def test_a_quote_after_a_space_opens_a_cell(tmp_path: Path):
    """A quote after a space opens a cell, so that a comma in it does not shift the cells of the row."""
    (tmp_path / "jobs.csv").write_text('id, "prompt", note\n1, "a fox, red", x\n2, "an owl, blue"\n')

    jobs = list(read_jobs(tmp_path / "jobs.csv", ignore_columns=True))

    assert [Job(Generate("a fox, red"), "1", carried={"note": "x"}), Job(Generate("an owl, blue"), "2")] == jobs


def test_a_table_separated_by_bars(tmp_path: Path):
    """A table separated by `|` is recognized, so its rows are not sent as prompts."""
    (tmp_path / "jobs.csv").write_text("id|prompt\n1|a fox, red; blue\n")

    assert [Job(Generate("a fox, red; blue"), "1")] == list(read_jobs(tmp_path / "jobs.csv"))


def test_a_pipe_is_read_once(tmp_path: Path):
    """The jobs of a pipe are delivered before its fault."""
    path = tmp_path / "jobs.csv"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("prompt,seed\na fox,1\nan owl,x\n",))
    writer.start()
    jobs = read_jobs(path)
    first = next(jobs)

    with pytest.raises(InvalidRequestError, match=r"line 3: seed must be a whole number"):
        next(jobs)

    writer.join()
    assert Generate("a fox", seed=1) == first.request


def test_paths_are_relative_to_the_file(tmp_path: Path):
    """A path in a jobs file is relative to the folder of the file."""
    (tmp_path / "fox.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "jobs.csv").write_text("images,prompt\nfox.png,make it snow\n")

    (job,) = read_jobs(tmp_path / "jobs.csv", operation="edit")

    assert Edit("make it snow", images=[tmp_path / "fox.png"]) == job.request


def test_a_path_that_is_set_is_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """It is typed where the command runs, and may not name another file in the folder of the list."""
    for folder in (tmp_path, tmp_path / "lists"):
        folder.mkdir(exist_ok=True)
        (folder / "style.png").write_bytes(b"\x89PNG\r\n\x1a\n")

    (tmp_path / "lists" / "jobs.csv").write_text("prompt\na fox\n")
    monkeypatch.chdir(tmp_path)

    (job,) = read_jobs(Path("lists/jobs.csv"), set={"style_reference_images": "style.png"})

    assert Generate("a fox", style_reference_images=[Path("style.png")]) == job.request


@pytest.mark.parametrize("name", ["id", "operation"])
def test_what_cannot_be_set(name: str):
    """The message does not offer the name that it refuses."""
    with pytest.raises(InvalidRequestError, match=f"set: '{name}' is not a field; ") as refused:
        list(Job.from_rows([], set={name: "x"}))

    assert "did you mean" not in str(refused.value)


@pytest.mark.parametrize("name", ["jobs.json", "jobs.jsonl", "jobs.csv", "jobs.txt"])
@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00\xd8{\x00", b'\xff\xfe[\x00{\x00}\x00\x00\xd8"\x00', b"\xff\xfe{\x00\n\x00x"]
)
def test_text_that_is_not_utf_16(tmp_path: Path, name: str, content: bytes):
    """It is a fault of the file in each format."""
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InvalidRequestError):
        list(read_jobs(tmp_path / name))


def test_a_table_of_long_prompts_without_a_header(tmp_path: Path):
    """The message does not repeat the prompts that it takes for names."""
    (tmp_path / "jobs.csv").write_text("\t".join(f"fox {n} {'and another ' * 100}" for n in range(8)))

    with pytest.raises(InvalidRequestError, match=r'found "fox 0 [^"]{54}…"') as refused:
        list(read_jobs(tmp_path / "jobs.csv"))

    assert len(str(refused.value)) < 1000


def test_a_list_of_prompts():
    """A text file has one prompt per line, without blank lines and surrounding space."""
    prompts = [job.request for job in read_jobs(LISTS / "prompts.txt")]

    assert [
        Generate("a red kite over a harbor"),
        Generate("a tin robot, watering tulips"),
        Generate("a library inside a whale: cutaway drawing"),
    ] == prompts


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("prompt,seed\na fox,1\n", "line 1: is the header of a table; name the file .csv"),
        ("Prompt\tseed\n", "line 1: is the header of a table; name the file .tsv"),
        ('{"prompt": "a fox"}\n', "line 1: is a JSON object; name the file .jsonl"),
        ("prompt\na fox, red\n", "line 1: is a header; remove the line"),
        ('[\n  {"prompt": "a fox"}\n]\n', "line 1: is the start of a JSON value; name the file .json"),
        ('["a fox", "an owl"]\n', "line 1: is the start of a JSON value; name the file .json"),
        ("Title\tText\nMug\tBlue\n", "lines 1 and 2: contains a tab; name a table .tsv, or replace tabs in prompts"),
    ],
)
def test_a_table_is_not_a_list_of_prompts(tmp_path: Path, text: str, fault: str):
    """A header or an object in a text file is refused, since each line would be paid for as a prompt."""
    (tmp_path / "jobs.txt").write_text(text)

    with pytest.raises(InvalidRequestError) as refused:
        list(read_jobs(tmp_path / "jobs.txt"))

    assert fault in str(refused.value)


@pytest.mark.parametrize(
    ("text", "jobs"),
    [
        ("", 0),
        ("[]", 0),
        ('\n [{"prompt": "a"}, {"prompt": "b"}]\n', 2),
        ('{"prompt": "a"}\n{"prompt": "b"}\n', 2),
        ('\ufeff[{"prompt": "a"}]', 1),
    ],
)
def test_an_array_of_objects(tmp_path: Path, text: str, jobs: int):
    """A `.json` file is an array, or has one object per line."""
    (tmp_path / "jobs.json").write_text(text)

    assert jobs == len(list(read_jobs(tmp_path / "jobs.json")))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[{"prompt": "a"}\n{"prompt": "b"}]', "line 2: invalid JSON: expected a comma, or ] at the end"),
        ('[{"prompt": "a"}', "line 1: invalid JSON: expected a comma, or ] at the end"),
        ('[\n{"prompt": "a"},\n{"prompt" "b"}]', "line 3: invalid JSON: Expecting ':' delimiter at line 3"),
        ('["a fox"]', "line 1: must be a JSON object, not str"),
        ('[{"prompt": "a"}] more', "line 1: invalid JSON: expected a comma, or ] at the end"),
        ('[{"prompt": "a", "prompt": "b"}]', "line 1: prompt appears twice"),
    ],
)
def test_an_invalid_array(tmp_path: Path, text: str, fault: str):
    """A fault in a JSON array is reported with its line."""
    (tmp_path / "jobs.json").write_text(text)

    with pytest.raises(InvalidRequestError) as refused:
        list(read_jobs(tmp_path / "jobs.json"))

    assert fault in str(refused.value)
