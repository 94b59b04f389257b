"""Workbooks that other programs wrote, or that hide something."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import openpyxl
import pytest

from ideogram_async import Generate, InvalidRequestError, Job, read_jobs

ROWS = [["id", "prompt", "num_images"], [1, "a fox", 2], [2, "an owl", None]]
JOBS = [Job(Generate("a fox", num_images=2), "1"), Job(Generate("an owl"), "2")]


def write_workbook(path: Path, rows: Sequence[Sequence[object]]) -> openpyxl.Workbook:
    """Write a workbook of one sheet."""
    workbook = openpyxl.Workbook()
    for row in rows:
        workbook.worksheets[0].append(row)

    workbook.save(path)
    return workbook


def change_member(path: Path, name: str, change: Callable[[bytes], bytes]) -> None:
    """Change a file inside a workbook."""
    with zipfile.ZipFile(path) as archive:
        members = {member: archive.read(member) for member in archive.namelist()}

    members[name] = change(members[name])
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)


def refusal(path: Path) -> str:
    """Return the message of a list that is refused."""
    with pytest.raises(InvalidRequestError) as refused:
        next(read_jobs(path))

    return str(refused.value)


@pytest.mark.parametrize("row", [[1, '="a "&"fox"', 2], [1, "a fox", "=1+1"], [None, "=A1", None]])
def test_a_formula_without_a_value_is_refused(tmp_path: Path, row: list[object]):
    """A program that writes a formula does not calculate it. Read as blank, it would be another job, or none."""
    write_workbook(tmp_path / "jobs.xlsx", [*ROWS, row])

    message = refusal(tmp_path / "jobs.xlsx")

    assert "line 4: contains a formula that was never calculated; open the workbook in a spreadsheet" in message


def test_a_formula_with_a_value_is_its_value(tmp_path: Path):
    """A formula has its calculated value, which may be an empty text."""
    write_workbook(tmp_path / "jobs.xlsx", [*ROWS[:2], [2, "=B2", '=""']])
    values = {b"<f>B2</f><v />": b"<f>B2</f><v>an owl</v>", b'r="C3"><f>""</f><v />': b'r="C3" t="str"><f>""</f><v/>'}

    def calculate(sheet: bytes) -> bytes:
        sheet = sheet.replace(b'r="B3"', b'r="B3" t="str"').replace(b"<v/>", b"<v />").replace(b"<v></v>", b"<v />")
        for formula, value in values.items():
            assert formula in sheet
            sheet = sheet.replace(formula, value)

        return sheet

    change_member(tmp_path / "jobs.xlsx", "xl/worksheets/sheet1.xml", calculate)

    assert JOBS == list(read_jobs(tmp_path / "jobs.xlsx"))


def test_a_hidden_sheet_is_skipped(tmp_path: Path):
    """The first visible sheet is read; a hidden one is not."""
    workbook = write_workbook(tmp_path / "jobs.xlsx", [["prompt"], ["not this one"]])
    workbook.worksheets[0].sheet_state = "hidden"
    sheet = workbook.create_sheet("Prompts")
    for row in ROWS:
        sheet.append(row)

    workbook.active = 1
    workbook.save(tmp_path / "jobs.xlsx")

    assert JOBS == list(read_jobs(tmp_path / "jobs.xlsx"))


@pytest.mark.parametrize("size", [b'<dimension ref="A1"/>', b'<dimension ref="A1:B2"/>', b""])
def test_the_stated_size_of_a_sheet_is_not_believed(tmp_path: Path, size: bytes):
    """Rows and columns beyond the stated size of a sheet are read: some programs state one that is too small."""
    write_workbook(tmp_path / "jobs.xlsx", ROWS)
    dimension = re.compile(rb"<dimension [^>]*>(</dimension>)?")
    change_member(tmp_path / "jobs.xlsx", "xl/worksheets/sheet1.xml", lambda sheet: dimension.sub(size, sheet))

    assert JOBS == list(read_jobs(tmp_path / "jobs.xlsx"))


def test_a_damaged_workbook_is_refused(tmp_path: Path):
    """A damaged sheet is a fault of the file, with the error of its reader."""
    write_workbook(tmp_path / "jobs.xlsx", ROWS)
    change_member(tmp_path / "jobs.xlsx", "xl/worksheets/sheet1.xml", lambda sheet: sheet[:-60])

    assert re.search(r"line \d: the workbook cannot be read \(.+\); save as CSV UTF-8", refusal(tmp_path / "jobs.xlsx"))


def test_a_workbook_that_its_reader_cannot_open_is_refused(tmp_path: Path):
    """A workbook whose list of sheets is not XML is a fault of the file."""
    write_workbook(tmp_path / "jobs.xlsx", ROWS)
    change_member(tmp_path / "jobs.xlsx", "xl/workbook.xml", lambda _: b"<workbook")

    assert "line 1: the workbook cannot be read (" in refusal(tmp_path / "jobs.xlsx")


def test_a_workbook_with_a_wrong_directory_is_refused(tmp_path: Path):
    """A position before the start of the file is a fault of the workbook, not of the disk."""
    write_workbook(tmp_path / "jobs.xlsx", ROWS)
    content = bytearray((tmp_path / "jobs.xlsx").read_bytes())
    end = content.rindex(b"PK\5\6")
    content[end + 16 : end + 20] = (2**31).to_bytes(4, "little")
    (tmp_path / "jobs.xlsx").write_bytes(content)

    assert "save as CSV UTF-8" in refusal(tmp_path / "jobs.xlsx")


def test_numbers_and_line_breaks_are_read_as_shown(tmp_path: Path):
    """A number can be shown with leading zeros, and a spreadsheet escapes what XML cannot contain."""
    workbook = write_workbook(tmp_path / "jobs.xlsx", [["id", "prompt"], [7, "a fox_x000D_\non a hill"]])
    workbook.worksheets[0]["A2"].number_format = "000"
    workbook.save(tmp_path / "jobs.xlsx")

    assert [Job(Generate("a fox\r\non a hill"), "007")] == list(read_jobs(tmp_path / "jobs.xlsx"))
