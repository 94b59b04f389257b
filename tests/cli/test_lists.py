"""Prompt lists as people have them, each run by one command against a sandbox."""

from __future__ import annotations

import shutil
from datetime import date
from decimal import Decimal
from pathlib import Path

import openpyxl
import pytest
from support.commands import CommandLine, Invoke
from support.pictures import picture

from ideogram_async.batch import Folder

LISTS = Path(__file__).parents[1] / "data" / "lists"

RUNS: list[tuple[str, tuple[str, ...], list[str]]] = [
    ("benchmark.tsv", ("--ignore-columns",), ["a lighthouse", 'three blue cups, left of a "yellow" bowl']),
    ("object_counts.jsonl", ("--ignore-columns",), ["a photo of three cups", "a photo of a green fork"]),
    (
        "prompt_library.csv",
        ("--column", "prompt=Prompts", "--ignore-columns"),
        ['a poster that says "OPEN",\nin red letters', "a stamp with a heron, engraved"],
    ),
    ("data_frame.csv", (), ["a paper boat", "a paper crane"]),
    ("german_excel.csv", (), ["un café à Zürich, “soir”", "Schild: ÖFFNUNG; täglich"]),
    ("unicode_text.csv", (), ["una señal que dice “SÍ”"]),
    ("with_separator_line.csv", ("--set", "rendering_speed=TURBO"), ["a kite; red"]),
    (
        "shop_export.csv",
        ("--column", "prompt=Title", "--column", "id=Handle", "--ignore-columns"),
        ["Blue Mug", "Red Bowl"],
    ),
    (
        "prompts.txt",
        (),
        ["a red kite over a harbor", "a tin robot, watering tulips", "a library inside a whale: cutaway drawing"],
    ),
    (
        "captions.json",
        ("--column", "prompt=caption", "--column", "id=image_id"),
        ["a man on a bicycle", "a bear in a meadow"],
    ),
]


@pytest.mark.parametrize(("name", "options", "prompts"), RUNS, ids=[name for name, *_ in RUNS])
def test_a_list_is_run_by_one_command(invoke: Invoke, name: str, options: tuple[str, ...], prompts: list[str]):
    """Each list becomes the expected jobs with one command."""
    completed = invoke("batch", "run", LISTS / name, "out", "--sandbox", "--no-gallery", *options)

    results = list(Folder("out").results())
    assert (0, prompts) == (completed.code, [result.request.prompt for result in results]), completed.err  # type: ignore[attr-defined]


def test_a_workbook_is_run_by_one_command(invoke: Invoke):
    """The first sheet of a workbook is a table. Numbers, dates and truth values are read as they are shown."""
    workbook = openpyxl.Workbook()
    sheet = workbook.worksheets[0]
    sheet.append([])
    sheet.append(["ID", "Prompt", "Seed", "Num Images", "Due", None])
    sheet.append([1, "a paper boat", 7, 2.0, date(2026, 1, 31), None])
    sheet.append([None, None, None, None, None, None])
    sheet.append([2, "a paper crane", None, None, None, None])
    workbook.create_sheet("Notes").append(["to do"])
    workbook.save("jobs.xlsx")

    plan = invoke("batch", "plan", "jobs.xlsx", "--ignore-columns")
    completed = invoke("batch", "run", "jobs.xlsx", "out", "--sandbox", "--no-gallery", "--ignore-columns")

    assert 0 == completed.code
    assert 'sheet "Sheet" of a workbook, not its 1 other' in plan.out
    results = list(Folder("out").results())
    assert [("1", 2, {"Due": "2026-01-31"}), ("2", 1, {})] == [
        (result.id, len(result.images), result.carried) for result in results
    ]


def test_a_formula_that_failed_is_refused(invoke: Invoke):
    """A cell with the error of a formula is a fault, and is not sent as a prompt."""
    workbook = openpyxl.Workbook()
    workbook.worksheets[0].append(["prompt"])
    workbook.worksheets[0].append(["#REF!"])
    workbook.save("jobs.xlsx")

    completed = invoke("batch", "plan", "jobs.xlsx")

    assert 2 == completed.code
    assert "line 2: prompt is #REF!, the result of a formula that failed" in completed.err


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("jobs.xlsx", b"prompt\na fox\n", "is not an Excel workbook (.xlsx); save as CSV UTF-8"),
        ("jobs.csv", b"PK\x03\x04\x14\x00", "is an Excel workbook; name the file .xlsx"),
        ("jobs.xls", b"\xd0\xcf\x11\xe0", ".xls files cannot be read; save as CSV UTF-8"),
        ("jobs.list", b"a fox\nan owl\n", "expected an object; the name of a table ends in .csv, that of a list of"),
        ("jobs.csv", b"", "the file contains no jobs"),
        ("jobs.csv", b"prompt\n", "the file contains no jobs"),
        ("jobs.txt", b"\n\n", "the file contains no jobs"),
        ("jobs.csv", b"prompt,seed\na fox,1,2\n", "has 3 cells, but the header has 2"),
        ("jobs.csv", b"prompt\na fox, red\n", "has 2 cells, but the header has 1; quote a cell that contains a separ"),
        ("jobs.csv", b"prompt\na\0fox\n", "contains a NUL character"),
        ("jobs.csv", b'prompt\n"a "big" fox"\n', 'a quote in a quoted cell is written ""'),
        ("jobs.csv", b'prompt\n"' + b"a" * 200_000 + b'"\n', "a cell is longer than 128 KiB"),
        ("jobs.csv", b"prompt\na\nprompt\nb\n", "repeats the header"),
        ("jobs.csv", b"\xff\xfep\x00r\x00\x00\xd8\n\x00x", "the file is not valid UTF-16; save it as UTF-8"),
        ("jobs.csv", b",prompt\nfirst,a fox\n", "has 'first' in a column without a name"),
        ("jobs.txt", b"un caf\xe9\n", "not UTF-8 text; save it as UTF-8"),
        ("jobs.csv", b"a red fox\nan owl\n", "if its first line is a prompt, name the file .txt"),
    ],
)
def test_an_unusual_file_is_refused_in_one_line(invoke: Invoke, name: str, content: bytes, fault: str):
    """The fault says what to do, and nothing is sent."""
    Path(name).write_bytes(content)

    completed = invoke("batch", "plan", name)

    assert 2 == completed.code
    assert f"{name} has 1 fault; nothing was sent or billed" in completed.err
    assert fault in completed.err


def test_a_file_in_another_encoding_is_refused(invoke: Invoke):
    """The lines are listed once, with the words of the menu of the spreadsheet."""
    completed = invoke("batch", "plan", LISTS / "ansi_excel.csv")

    assert 2 == completed.code
    assert "  lines 3 and 4: not UTF-8 text; save it as UTF-8, from a spreadsheet: save as CSV UTF-8\n" in completed.err


def test_a_fault_is_reported_once_with_its_lines(invoke: Invoke):
    """Only the sound rows are priced, and JSON lists each line."""
    plan = invoke("batch", "plan", LISTS / "ratios.csv")
    machine = invoke("batch", "plan", LISTS / "ratios.csv", "--json").events[0]

    assert 2 == plan.code
    assert "  lines 2 and 4: aspect_ratio '9:16' is not one of" in plan.err
    assert "did you mean '9x16'?" in plan.err
    assert "price     0.06 USD\n" in plan.out
    assert [2, 4] == [problem["line"] for problem in machine["problems"]]
    assert Decimal("0.06") == Decimal(machine["usd"])


@pytest.mark.parametrize(
    ("name", "options", "advice"),
    [
        ("benchmark.tsv", (), "add --ignore-columns to carry them along unused"),
        (
            "object_counts.jsonl",
            (),
            'columns "tag", "include" and "exclude" are not fields of generate; add --ignore-c',
        ),
        ("captions.json", (), "add --column prompt=caption --ignore-columns"),
        ("shop_export.csv", (), "add --column prompt=Title --ignore-columns"),
        ("prompt_library.csv", (), "add --column prompt=Prompts --ignore-columns"),
        ("prompt_library.csv", ("--column", "prompt=Text"), 'no column is named "Text"; found "Act", "Prompts" and'),
        ("photos.csv", ("--operation", "upscale"), "add --column image=file_name --ignore-columns"),
    ],
)
def test_columns_without_a_meaning_are_refused_in_one_line(
    invoke: Invoke, name: str, options: tuple[str, ...], advice: str
):
    """The line says what to type, and nothing is guessed."""
    completed = invoke("batch", "plan", LISTS / name, *options)

    assert 2 == completed.code
    assert f"{name} has 1 fault" in completed.err
    assert advice in completed.err


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        (("--column", "prompt"), "--column prompt: must be field=value."),
        (("--column", "promt=Caption"), "--column: 'promt' is not a field of generate; did you mean 'prompt'?"),
        (
            ("--column", "Caption=prompt"),
            "--column: 'caption' is not a field of generate; the field comes first: add --",
        ),
        (("--set", "speed=TURBO"), "--set: 'speed' is not a field of generate; did you mean 'rendering_speed'?\n"),
        (("--column", "id=a", "--column", "id=b"), "--column id is given twice."),
        (("--set", "rendering_sped=TURBO"), "--set: 'rendering_sped' is not a field of generate; did you mean 'rend"),
        (("--operation", "upscal"), "--operation: 'upscal' is not an operation that makes images; did you mean 'ups"),
    ],
)
def test_invalid_options(invoke: Invoke, options: tuple[str, ...], fault: str):
    """An invalid option is named before the file is read."""
    completed = invoke("batch", "plan", "none.csv", *options)

    assert 2 == completed.code
    assert f"✗ {fault}" in completed.err


def test_the_plan_shows_what_was_taken_from_where(invoke: Invoke):
    """Format, encoding, operation, columns, values and carried columns, for people and for machines."""
    options = (
        "--column",
        "prompt=Title",
        "--column",
        "id=Handle",
        "--set",
        "rendering-speed=TURBO",
        "--ignore-columns",
    )

    plan = invoke("batch", "plan", LISTS / "shop_export.csv", *options)
    source = invoke("batch", "plan", LISTS / "shop_export.csv", *options, "--json").events[0]["source"]

    assert plan.out.splitlines()[4:] == [
        "  format    table, separated by commas, UTF-8",
        "  operation generate",
        '  fields    prompt from "Title", id from "Handle"',
        "  set       rendering_speed=TURBO",
        '  carried   "Body (HTML)", "Vendor", "Tags" and "Variant Price"',
    ]
    assert source == {
        "format": "table, separated by commas",
        "encoding": "UTF-8",
        "operation": "generate",
        "fields": {"prompt": "Title", "id": "Handle"},
        "set": {"rendering_speed": "TURBO"},
        "carried": ["Body (HTML)", "Vendor", "Tags", "Variant Price"],
        "skipped": [],
    }


def test_rows_with_different_operations(invoke: Invoke):
    """A table names the operation of each row, in any case, and chains refer to ids."""
    completed = invoke("batch", "run", LISTS / "mixed.csv", "out", "--sandbox", "--no-gallery")

    assert 0 == completed.code, completed.err
    assert ["one", "large"] == [result.id for result in Folder("out").results()]


def test_a_list_of_photos(invoke: Invoke):
    """A table of file names is run with another operation."""
    shutil.copy(LISTS / "photos.csv", "photos.csv")
    Path("fox.png").write_bytes(picture())
    options = ("--operation", "upscale", "--column", "image=file_name", "--ignore-columns")

    completed = invoke("batch", "run", "photos.csv", "out", "--sandbox", "--no-gallery", *options)

    assert 0 == completed.code, completed.err
    assert [{"alt": "a fox"}] == [result.carried for result in Folder("out").results()]


def test_a_list_from_standard_input(cli: CommandLine):
    """Its JSON lines are read with the same options as a file."""
    shutil.copy(LISTS / "object_counts.jsonl", cli.folder)
    options = ("--set", "num_images=2", "--column", "id=tag", "--ignore-columns")

    completed = cli.shell('"$@" < object_counts.jsonl', "batch", "run", "-", "out", *options)

    assert 0 == completed.code, completed.err
    results = list(Folder(cli.folder / "out").results())
    assert [("color", 2), ("counting", 2)] == sorted((result.id, len(result.images)) for result in results)


def test_a_folder_of_images(invoke: Invoke):
    """Each image is a job, named by its file; other files are skipped and named."""
    Path("photos").mkdir()
    for name in ("owl.png", "fox.PNG"):
        (Path("photos") / name).write_bytes(picture())

    for name in ("notes.txt", ".hidden"):
        (Path("photos") / name).touch()

    options = ("--input-dir", "photos", "--operation", "upscale", "--set", "resemblance=80")
    plan = invoke("batch", "plan", *options)
    completed = invoke("batch", "run", *options, "photos/out", "--sandbox", "--no-gallery")

    assert (0, 0) == (plan.code, completed.code), completed.err
    assert '  skipped   "notes.txt"\n' in plan.out
    assert [("fox", 80), ("owl", 80)] == [
        (result.id, result.request.resemblance)  # type: ignore[attr-defined]
        for result in Folder("photos/out").results()
    ]


@pytest.mark.parametrize("folder", ["photos", "./photos/", "link"])
def test_a_folder_of_images_is_not_the_folder_of_the_batch(invoke: Invoke, folder: str):
    """`--input-dir` cannot be the folder of the batch, whose images would be jobs of the next run."""
    Path("photos").mkdir()
    Path("link").symlink_to("photos")
    (Path("photos") / "fox.png").write_bytes(picture())

    completed = invoke("batch", "run", "--input-dir", "photos", folder, "--operation", "upscale", "--sandbox")

    assert 2 == completed.code
    assert "--input-dir and the folder of the batch are the same." in completed.err
    assert ["fox.png"] == [path.name for path in Path("photos").iterdir()]


@pytest.mark.parametrize(
    ("names", "options", "fault"),
    [
        ((), ("--operation", "upscale"), "line 1: the folder contains no images"),
        (("a.png", "a.jpg"), ("--operation", "upscale"), "a.png and a.jpg would have the same id; rename one"),
        (("a.png",), ("--operation", "generate"), "operation generate takes no image; choose another one"),
        (("a.png",), (), "--input-dir needs --operation."),
        (("a.png",), ("--operation", "upscale", "jobs.csv"), "Pass a jobs file, or --input-dir."),
        (("a.png", "b.png"), ("--operation", "upscale"), "is empty (a.png)"),
    ],
)
def test_a_folder_of_images_that_is_refused(
    invoke: Invoke, names: tuple[str, ...], options: tuple[str, ...], fault: str
):
    """A folder of images that cannot be run is refused, and a fault names the image."""
    Path("photos").mkdir()
    for name in names:
        (Path("photos") / name).touch()

    completed = invoke("batch", "plan", "--input-dir", "photos", *options)

    assert 2 == completed.code
    assert fault in completed.err
