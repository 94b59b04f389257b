"""Export: complete, one record for each row or line, and harmless in other programs."""

from __future__ import annotations

import csv
import json
import tracemalloc
from decimal import Decimal
from pathlib import Path

import pytest
from support.folders import image, job, journal_path, write_folder

from ideogram_async import Generate, ImageState, JobState
from ideogram_async._batch.folder import Folder
from ideogram_async._rows.exported import RESULT_COLUMNS, escape_cell


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a folder with two images, a withheld one, a rejected job and one that was sent twice."""
    jobs = [
        job(0, request=Generate('two\nlines, \u2028 and "quotes"', num_images=2), usd=Decimal("0.12")),
        job(1, JobState.PARTIAL, carried='{"Sku": "é"}'),
        job(2, JobState.REJECTED, Generate("=cmd()"), status=422, raw=b'{"error": "no"}'),
        job(3, JobState.AMBIGUOUS, usd=None, resends=1, error="cut off", id=None),
    ]
    images = [
        image(jobs[0], prompt=None),
        image(jobs[0], 1),
        image(jobs[1], state=ImageState.WITHHELD, url=None, seed=None),
    ]
    return Folder(write_folder(tmp_path / "out", jobs, images))


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def test_the_table_has_a_row_for_each_image(folder: Folder, tmp_path: Path):
    """Each image has a row, and so has a job without images; the price appears once, so that the column adds up."""
    table = read(folder.export_csv(tmp_path / "x.csv"))

    assert ["operation", "id", "prompt", "seed", "num_images", *RESULT_COLUMNS, "Sku"] == list(table[0])
    assert ["row-0", "row-0", "row-1", "row-2", ""] == [row["id"] for row in table]
    assert ["done", "done", "partial", "rejected", "ambiguous"] == [row["result_state"] for row in table]
    assert ["stored", "stored", "withheld", "", ""] == [row["result_image_state"] for row in table]
    assert ["0.12", "", "0.06", "0", ""] == [row["result_price_usd"] for row in table]
    assert ["", "", "", '422: {"error": "no"}', "cut off"] == [row["result_error"] for row in table]
    assert [
        "7",
        "row-0-1.png",
        "1024x1024",
    ] == [table[1][f"result_{name}"] for name in ("seed", "path", "resolution")]
    assert ["", "", "1", "", "3"] == [row["seed"] for row in table]
    assert ["", "", "é", "", ""] == [row["Sku"] for row in table]


def test_no_link_keeps_its_signature(folder: Folder, tmp_path: Path):
    """Neither file contains the signature of a link."""
    files = [folder.export_csv(tmp_path / "x.csv"), folder.export_jsonl(tmp_path / "x.jsonl")]

    assert [False, False] == ["secret" in file.read_text() for file in files]
    assert "https://ideogram.ai/key0.png" == read(files[0])[0]["result_url"]


def test_prompts_survive_the_table(folder: Folder, tmp_path: Path):
    """Lines, commas and quotes of a prompt stay inside their cell, and a formula is text."""
    table = read(folder.export_csv(tmp_path / "x.csv"))

    assert 'two\nlines, \u2028 and "quotes"' == table[0]["prompt"]
    assert "'=cmd()" == table[3]["prompt"]


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", " =", "\uff1d", "\uff0b", "\uff0d", "\uff20"])
def test_a_cell_that_looks_like_a_formula_is_escaped(start: str):
    """A formula becomes text."""
    assert f"'{start}1+1" == escape_cell(f"{start}1+1")


@pytest.mark.parametrize("cell", ["a fox", "'quoted'", "1=1", ""])
def test_other_cells_are_unchanged(cell: str):
    """Harmless cells are unchanged."""
    assert cell == escape_cell(cell)


def test_control_characters_of_a_cell_are_replaced(tmp_path: Path):
    """A cell cannot control a terminal."""
    assert "a\ufffd[31m fox\ufffd\ufffd" == escape_cell("a\x1b[31m fox\x00\x9b")


def test_a_job_is_a_line(folder: Folder, tmp_path: Path):
    """Each line is a job with its request and images, even if a prompt contains line separators."""
    lines = folder.export_jsonl(tmp_path / "x.jsonl").read_text(encoding="utf-8").splitlines()
    jobs = [json.loads(line) for line in lines]

    assert [2, 1, 0, 0] == [len(job["result"]["images"]) for job in jobs]
    assert ["0.12", "0.06", "0", None] == [job["result"]["price_usd"] for job in jobs]
    assert ("generate", 'two\nlines, \u2028 and "quotes"') == (jobs[0]["operation"], jobs[0]["prompt"])
    assert ["done", "partial", "rejected", "ambiguous"] == [job["result"]["state"] for job in jobs]
    assert [None, {"Sku": "é"}, None, None] == [job.get("carried") for job in jobs]
    assert ["row-0", "row-1", "row-2", None] == [job.get("id") for job in jobs]


@pytest.mark.parametrize("export", ["export_csv", "export_jsonl"])
def test_a_failed_export_keeps_the_older_file(folder: Folder, tmp_path: Path, export: str):
    """A journal that is damaged half way leaves the older file complete, and no part of a new one."""
    path = tmp_path / "files" / "x"
    path.parent.mkdir()
    path.write_text("old")
    journal_path(folder.path).write_bytes(b"garbage" * 1000)
    with pytest.raises(Exception, match="damaged"):
        getattr(folder, export)(path)

    assert ([path], "old") == (list(path.parent.iterdir()), path.read_text())


@pytest.mark.parametrize("export", ["export_csv", "export_jsonl"])
def test_memory_does_not_grow_with_the_folder(tmp_path: Path, export: str):
    """Three thousand jobs with answers of 20 kB fit in the memory of one page of the journal."""
    folder = Folder(write_folder(tmp_path, (job(number, raw=b"x" * 20_000) for number in range(3000))))
    getattr(folder, export)(tmp_path / "warm")
    tracemalloc.start()
    path = getattr(folder, export)(tmp_path / "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert 3000 <= len(path.read_text().splitlines())
    assert peak < 5 * 2**20


def test_the_problem_of_an_image_is_exported(tmp_path: Path):
    """With the time of the last attempt."""
    row, tried_at = job(0, JobState.ANSWERED), "2026-01-01T00:00:00.000+00:00"
    linked = image(row, state=ImageState.LINKED, problem="cut", tried_at=tried_at)
    folder = Folder(write_folder(tmp_path / "out", [row], [linked]))
    [cells] = read(folder.export_csv(tmp_path / "x.csv"))
    [line] = folder.export_jsonl(tmp_path / "x.jsonl").read_text().splitlines()
    [fields] = json.loads(line)["result"]["images"]

    assert ("linked", "cut", tried_at) == (
        cells["result_image_state"],
        cells["result_problem"],
        cells["result_tried_at"],
    )
    assert ("linked", "cut", tried_at) == (fields["state"], fields["problem"], fields["tried_at"])
