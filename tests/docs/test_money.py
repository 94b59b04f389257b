"""The page on what is charged: each row against the sandbox, or a test that shows it."""

from __future__ import annotations

import re
from typing import Any

import pytest
from attrs import frozen
from support.paths import ROOT, TESTS

from ideogram_async import Ideogram, IdeogramError, Retry, Timeout, v2
from ideogram_async.sandbox import Fault, Sandbox

PAGE = (ROOT / "docs" / "money.md").read_text()
SUBMITTED = "/v2/image/generate/ideogram-4-6"


@frozen
class Row:
    """A situation, and what the page says about it."""

    section: str
    situation: str
    billed: str
    library: str
    stated: str
    shown_by: str

    @property
    def error(self) -> str | None:
        """The error that the library raises, if it raises one."""
        match = re.search(r"`(\w+(?:Error|Timeout|Failed))`", self.library)
        return match[1] if match else None

    @property
    def fault(self) -> Fault | None:
        match = re.fullmatch(r"`(Fault\..+)`", self.shown_by)
        fault: Fault | None = eval(match[1], {"Fault": Fault}) if match else None
        return fault

    @property
    def tests(self) -> list[str]:
        return re.findall(r"`(test_\w+)`", self.shown_by)


def rows() -> list[Row]:
    """Return the rows of all tables that state what shows them."""
    found: list[Row] = []
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        for line in section.splitlines()[1:]:
            cells = [cell.strip() for cell in line.strip("|").split("|")]
            if len(cells) == 5 and cells[0] not in ("situation", "---"):
                situation, outcome, library, _, shown_by = cells
                billed, _, stated = outcome.partition(": ")
                found.append(Row(section.partition("\n")[0], situation, billed, library, stated.strip("`"), shown_by))

    return found


ROWS = rows()


def test_every_row_is_shown() -> None:
    """Each row names a fault, or tests that exist."""
    source = "\n".join(path.read_text() for path in TESTS.rglob("test_*.py"))
    missing = [name for row in ROWS for name in row.tests if f"def {name}(" not in source]

    assert 45 < len(ROWS)
    assert [] == missing
    assert [] == [row.situation for row in ROWS if row.fault is None and not row.tests]


@pytest.mark.parametrize("row", [row for row in ROWS if row.fault], ids=lambda row: f"{row.section}: {row.shown_by}")
async def test_a_row_says_what_happens(row: Row) -> None:
    """With the fault of a row, the error, its `billed` and the bill of the sandbox are those of the row."""
    options: dict[str, Any] = {"retry": Retry(attempts=2, base=0, throttle_wait=0), "timeout": Timeout(total=1)}
    async with (
        Sandbox() as sandbox,
        Ideogram("sandbox", base_url=sandbox.url, max_image_bytes=10**6, **options) as client,
    ):
        error = await error_of(row, client, sandbox)
        before = 1 if "downloaded" in row.section else 0

        assert row.error == (error and type(error).__name__)
        assert row.stated in ("", str(error.billed).upper() if error else "YES")
        if row.billed in ("no", "yes"):
            assert sandbox.ledger.billed_images - before == (row.billed == "yes")


async def error_of(row: Row, client: Ideogram, sandbox: Sandbox) -> IdeogramError | None:
    """Return the error that the library raises in a situation."""
    assert row.fault is not None
    operation = {"The service accepts the call first": SUBMITTED, "The image is downloaded": "images"}.get(row.section)
    is_of_the_call = row.fault.kind == "unsafe"
    sandbox.fail("generate" if operation is None or is_of_the_call else operation, fault=row.fault, times=9)
    try:
        if operation == SUBMITTED:
            ticket = await client.submit(v2.Generate46("a fox"))
            await client.generations.wait(ticket, timeout=0.3)
        else:
            answer = await client.generate("a fox")
            if operation == "images":
                await client.fetch(answer[0])
    except IdeogramError as error:
        return error

    return None
