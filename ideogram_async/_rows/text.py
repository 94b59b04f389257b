"""Text files in the encodings that spreadsheets write, and lists of prompts."""

from __future__ import annotations

import codecs
import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import TextIO

from ideogram_async._rows.columns import plain_name
from ideogram_async._rows.layout import Item, Layout
from ideogram_async._rows.problems import RowError

MAX_LINE_LENGTH = 10 * 2**20
TOO_LONG = "longer than 10 MiB"
SAVE_AS = "save it as UTF-8, from a spreadsheet: save as CSV UTF-8"
NOT_UTF_16 = f"the file is not valid UTF-16; {SAVE_AS}"
BOM = "\ufeff"
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig", "UTF-8 with a byte order mark"),
    (codecs.BOM_UTF16_LE, "utf-16", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16", "UTF-16"),
)
"""Byte order marks, with the codec and its name."""

MAX_NAME_LENGTH = 40
"""Characters of a cell that can be the name of a column."""


@contextmanager
def open_text(path: Path, layout: Layout) -> Generator[TextIO]:
    """Open a text file. Bytes that are not UTF-8 become unpaired surrogates.

    Raises:
        OSError: If the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.peek(4)
        marks = ((codec, name) for mark, codec, name in MARKS if head.startswith(mark))
        codec, layout.encoding = next(marks, ("utf-8", "UTF-8"))
        errors = "strict" if codec == "utf-16" else "surrogateescape"
        with TextIOWrapper(file, encoding=codec, errors=errors, newline="") as text:
            yield text


def read_lines(file: TextIO) -> Iterator[str]:
    """Yield lines with their ends. Files that were joined have byte order marks in between, which are removed.

    Raises:
        RowError: If a line is too long, or is not valid UTF-16.
    """
    try:
        while line := file.readline(MAX_LINE_LENGTH + 1):
            if len(line) > MAX_LINE_LENGTH:
                raise RowError(("", f"a line is {TOO_LONG}"))

            yield line.lstrip(BOM)
    except UnicodeDecodeError:
        raise RowError(("", NOT_UTF_16)) from None


def read_prompts(path: Path, layout: Layout) -> Iterator[tuple[int, Item]]:
    """Yield the prompts of a text file, one per line, each with its line. Blank lines are skipped.

    Raises:
        OSError: If the file cannot be read.
    """
    layout.format = "text, one prompt per line"
    number, is_first = 0, True
    with open_text(path, layout) as file:
        try:
            for number, text in enumerate(read_lines(file), 1):
                if text.strip():
                    fault = text_fault(text) or (_header_fault(text) if is_first else None) or _tab_fault(text)
                    yield number, {"prompt": text.strip()} if fault is None else RowError(("", fault))
                    is_first = False
        except RowError as error:
            yield number + 1, error


def text_fault(text: str) -> str | None:
    """Return a message if a text has undecodable bytes or a NUL."""
    if re.search("[\udc80-\udcff]", text):
        return f"not UTF-8 text; {SAVE_AS}"

    return f"contains a NUL character; {SAVE_AS}" if "\0" in text else None


def _tab_fault(text: str) -> str | None:
    """Return a message if a line may be the row of a table, whose cells would be paid for as one prompt."""
    advice = "name a table .tsv, or replace tabs in prompts with spaces"
    return f"contains a tab; {advice}" if "\t" in text.strip() else None


def _header_fault(text: str) -> str | None:
    """Return a message if a line is the header of a table or an object, which would be paid for as a prompt."""
    if text.lstrip().startswith("{") and re.search(r'"(prompt|operation)"\s*:', text):
        return "is a JSON object; name the file .jsonl"

    if re.fullmatch(r"\[\s*([{\"].*)?|\{", text.strip(), re.DOTALL):
        return "is the start of a JSON value; name the file .json"

    for delimiter, suffix in ((",", ".csv"), (";", ".csv"), ("\t", ".tsv")):
        columns = [plain_name(column.strip().strip('"')) for column in text.split(delimiter)]
        if {"prompt", "operation"} & set(columns) and all(len(column) < MAX_NAME_LENGTH for column in columns):
            is_table = len(columns) > 1
            return f"is the header of a table; name the file {suffix}" if is_table else "is a header; remove the line"

    return None
