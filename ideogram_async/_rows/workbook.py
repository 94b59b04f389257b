"""First visible sheet of a workbook, as a table. Needs the extra `excel`."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from datetime import date, datetime, time
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import BadZipFile

from ideogram_async._requirements import needs_extra
from ideogram_async._rows.layout import Item, Layout
from ideogram_async._rows.problems import RowError
from ideogram_async._rows.table import Cells, parse_table

if TYPE_CHECKING:
    from openpyxl.cell.cell import Cell, MergedCell
    from openpyxl.workbook import Workbook

NOT_A_WORKBOOK = "is not an Excel workbook (.xlsx); save as CSV UTF-8"
NO_VALUE = "contains a formula that was never calculated; open the workbook in a spreadsheet and save it"

ESCAPED = re.compile("_x([0-9A-Fa-f]{4})_")
"""Character that XML cannot contain, as spreadsheets write it."""


def read_workbook(path: Path, layout: Layout) -> Iterator[tuple[int, Item]]:
    """Yield the header and the rows of the first visible sheet that are not blank, each with its number.

    Raises:
        ImportError: Without the extra `excel`.
        OSError: If the file cannot be read.
    """
    with needs_extra(f"{path.name}: reading .xlsx", "excel"):
        from openpyxl import load_workbook

    with path.open("rb") as file:
        try:
            values = load_workbook(file, read_only=True, data_only=True)
            formulas = load_workbook(file, read_only=True)
            index = _first_visible(values)
        except BadZipFile:
            yield 1, RowError(("", NOT_A_WORKBOOK))
            return
        except Exception as error:
            yield 1, _unreadable(error)
            return

        others = len(values.sheetnames) - 1
        title = values.worksheets[index].title
        layout.format = f'sheet "{title}" of a workbook' + (f", not its {others} others" if others else "")
        yield from parse_table(_read_cells(values, formulas, index), layout)


def _first_visible(workbook: Workbook) -> int:
    states = [sheet.sheet_state for sheet in workbook.worksheets]
    return states.index("visible")


def _read_cells(values: Workbook, formulas: Workbook, index: int) -> Iterator[tuple[int, Cells]]:
    number = 0
    try:
        rows = zip(_rows(values, index), _rows(formulas, index), strict=True)
        for number, (row, sources) in enumerate(rows, 1):
            cells = [_to_text(cell) for cell in row]
            if any(map(_lacks_value, row, sources)):
                yield number, RowError(("", NO_VALUE))
            elif any(map(str.strip, cells)):
                yield number, cells
    except Exception as error:
        yield number + 1, _unreadable(error)


def _unreadable(error: Exception) -> RowError:
    """Return the fault of a workbook. Errors of openpyxl are of many types.

    Raises:
        OSError: If the file cannot be read.
    """
    # A damaged archive leads to a position before the start of the file.
    if isinstance(error, OSError) and error.errno != errno.EINVAL:
        raise error

    return RowError(("", f"the workbook cannot be read ({error}); save as CSV UTF-8"))


def _rows(workbook: Workbook, index: int) -> Iterator[tuple[Cell | MergedCell, ...]]:
    sheet = workbook.worksheets[index]
    # Some programs write a size that is too small, and what is beyond it would be skipped.
    sheet.reset_dimensions()
    return sheet.iter_rows()


def _lacks_value(cell: Cell | MergedCell, source: Cell | MergedCell) -> bool:
    """Return whether the formula of a cell was never calculated. The type of an empty text is `str`."""
    return source.data_type == "f" and cell.value is None and cell.data_type != "str"


def _to_text(cell: Cell | MergedCell) -> str:
    match cell.value:
        case None:
            return ""
        case bool() as value:
            return str(value).lower()
        case int() as value if re.fullmatch("0+", cell.number_format):
            return str(value).zfill(len(cell.number_format))
        case float() as value if value.is_integer():
            return str(int(value))
        case datetime() as value if value.time() == time():
            return value.date().isoformat()
        case date() | time() as value:
            return value.isoformat()
        case value:
            return ESCAPED.sub(lambda match: chr(int(match[1], 16)), str(value))
