"""A damaged value in a journal is a `JournalError`, and nothing is sent for it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from support.batches import run_batch
from support.folders import image, job, journal_path, write_folder

from ideogram_async import Ideogram, ImageState, JobState, JournalError
from ideogram_async._batch.journal.rows import IMAGE, JOB
from ideogram_async._batch.journal.schema import SCHEMA
from ideogram_async.batch import Folder
from ideogram_async.sandbox import Sandbox

TEXTS = ["''", "'nonsense'", "CAST(X'22ff00fe22' AS TEXT)"]
JSON = [
    "'{\"operation\":'",
    "'[]'",
    "'null'",
    "'{\"a\": 1}'",
    '\'{"operation": 5, "fields": {}}\'',
    '\'{"operation": "Path", "fields": {}}\'',
    '\'{"operation": "Generate", "fields": []}\'',
    '\'{"operation": "Generate", "fields": {"prompt": {"a": 1}}}\'',
    '\'{"operation": "Upscale", "fields": {"image": {"file": {}}}}\'',
    f"'{'[' * 5000}'",
]
PATHS = ["'../../etc/passwd'", "'/etc/passwd'", "'..'", f"'{'x' * 300}'"]
VALUES = {
    "TEXT": TEXTS,
    "INTEGER": ["-1", "7", "9223372036854775807"],
    "BLOB": ["X''", "X'ff00fe'", "CAST('[' AS BLOB)", "CAST('{\"data\": 5}' AS BLOB)"],
}
MORE_VALUES = {
    "request": JSON,
    "headers": JSON,
    "usd": ["'NaN'", "'-1'", "'1E+999999'"],
    "answered_at": ["'2026-01-01'"],
    "tried_at": ["'2026-01-01'"],
    "path": PATHS,
}
TIME = "2026-01-01T00:00:00+00:00"
REPLY = b'{"created": "2026-01-01T00:00:00Z", "data": []}'


def write_jobs(folder: Path) -> Path:
    """Write a folder with a job in each state."""
    jobs = [
        job(0, JobState.PENDING),
        job(1, JobState.SENDING),
        job(2, JobState.ANSWERED, status=200, raw=REPLY, headers="{}", answered_at=TIME),
        job(3, JobState.DONE, status=200, raw=REPLY, headers="{}"),
        job(4, JobState.PARTIAL, status=200, raw=REPLY, headers="{}"),
        job(5, JobState.REJECTED, status=422, raw=b'{"error": "no"}', headers="{}"),
        job(6, JobState.AMBIGUOUS, status=500, raw=b"?", headers="{}", error="cut"),
    ]
    images = [
        image(jobs[2], state=ImageState.LINKED, url="ftp://x", problem="refused", tried_at=TIME, max_bytes=9),
        image(jobs[3]),
        image(jobs[4], state=ImageState.EXPIRED),
    ]
    return write_folder(folder, jobs, images)


def columns_of(table: str) -> Iterator[tuple[str, str, str]]:
    """Yield the table, name and type of each column."""
    with closing(sqlite3.connect(":memory:")) as database:
        SCHEMA.migrate(database)
        names = (JOB if table == "job" else IMAGE).split(", ")
        for _, name, kind, *_ in database.execute(f"PRAGMA table_info({table})"):
            if name in names:
                yield table, name, kind


def damage(folder: Path, table: str, column: str, value: str) -> bool:
    """Set a column of all rows, or of one if it is unique. Return whether SQLite permits the value."""
    where = (
        "WHERE number = (SELECT min(number) FROM job)" if table == "job" and column in ("key", "id", "number") else ""
    )
    with closing(sqlite3.connect(journal_path(folder))) as database, suppress(sqlite3.IntegrityError):
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(f"UPDATE {table} SET {column} = {value} {where}")
        database.commit()
        return True

    return False


def tools_of(folder: Path, target: Path) -> list[Callable[[], Any]]:
    tools = Folder(folder)
    return [
        tools.report,
        lambda: list(tools.results()),
        lambda: tools.export_csv(target / "jobs.csv"),
        lambda: tools.export_jsonl(target / "jobs.jsonl"),
        tools.gallery,
        lambda: tools.resolve("row-6", "adopt", "http://127.0.0.1:9/x.png"),
        lambda: tools.resolve("row-1", "lost"),
    ]


@pytest.mark.parametrize(("table", "column", "kind"), [*columns_of("job"), *columns_of("image")])
async def test_a_damaged_column_is_a_journal_error(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, table: str, column: str, kind: str
):
    """The tools and a batch raise nothing else, and a batch sends at most the job that is pending."""
    for number, value in enumerate([*VALUES[kind], *MORE_VALUES.get(column, [])]):
        folder = write_jobs(tmp_path / str(number))
        if not damage(folder, table, column, value):
            continue

        for tool in tools_of(folder, tmp_path):
            with suppress(JournalError):
                tool()

        sent = len(sandbox.requests)
        with suppress(JournalError):
            await run_batch(client, None, folder)

        assert len(sandbox.requests) - sent <= (column not in ("state", "request"))


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        *(("job", "state", value) for value in TEXTS),
        *(("job", "request", value) for value in [*TEXTS, *JSON]),
        *(("job", "usd", value) for value in MORE_VALUES["usd"]),
        *(("image", "path", value) for value in PATHS),
        ("image", "state", "'stolen'"),
        ("image", "problem", "'stolen'"),
    ],
    ids=lambda value: value[:30],
)
def test_a_value_that_cannot_be_used_is_not_ignored(tmp_path: Path, table: str, column: str, value: str):
    """Reading the results raises an error."""
    damage(write_jobs(tmp_path), table, column, value)
    with pytest.raises(JournalError):
        list(Folder(tmp_path).results())
