"""Values of a journal as a whole: its service and sink, the number of calls that were sent, and the input's size."""

from __future__ import annotations

import json
import re
import sqlite3

from ideogram_async._batch.report import InputSize
from ideogram_async.errors import JournalError


def read_meta(database: sqlite3.Connection, name: str) -> str:
    """Return a value of the table `meta`.

    Raises:
        JournalError: If it is missing.
    """
    row = database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    if row is None:
        raise JournalError(f"the journal is damaged: it has no {name!r}")

    return str(row[0])


def write_meta(database: sqlite3.Connection, name: str, value: str) -> None:
    """Write a value of the table `meta`."""
    database.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))


def read_sends(database: sqlite3.Connection) -> int:
    """Return the number of sends that were committed.

    Raises:
        JournalError: If it is damaged.
    """
    text = read_meta(database, "sends")
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise JournalError(f"the journal is damaged: the number of sends is {text!r}")

    return int(text)


def add_sends(database: sqlite3.Connection, count: int) -> int:
    """Add to the number of sends, and return it."""
    sends = read_sends(database) + count
    write_meta(database, "sends", str(sends))
    return sends


def count_sent(database: sqlite3.Connection) -> int:
    """Return the number of jobs that were sent, which is the number of sends after the migration from version 1."""
    (count,) = database.execute("SELECT count(*) FROM job WHERE state <> 'pending' OR resends > 0").fetchone()
    return int(count)


def claim_sink(database: sqlite3.Connection, uri: str | None) -> None:
    """Record where images are stored; see `check_sink`."""
    check_sink(database, uri)
    if _read_sink(database) != (uri or ""):
        write_meta(database, "sink", uri or "")


def check_sink(database: sqlite3.Connection, uri: str | None) -> None:
    """Check that stored images are where those of a run would go.

    Args:
        database: The journal.
        uri: The URI of the run's sink; `None` for the folder of the journal.

    Raises:
        JournalError: If they are elsewhere.
    """
    recorded = _read_sink(database)
    is_empty = database.execute("SELECT 1 FROM image WHERE state = 'stored' LIMIT 1").fetchone() is None
    if recorded == (uri or "") or is_empty:
        return

    before, now = (place or "the folder" for place in (recorded, uri))
    error = JournalError(f"the images of earlier runs are in {before}, not in {now}")
    error.advice = "Pass the sink of the earlier runs (sink=...), or none if there was none, or use another folder."
    raise error


def write_input(database: sqlite3.Connection, size: InputSize) -> None:
    """Write the size of the input of this run."""
    write_meta(database, "input", json.dumps({"jobs": size.jobs, "is_complete": size.is_complete}))


def read_input(database: sqlite3.Connection) -> InputSize | None:
    """Return the size of the input of the last run that had one.

    Raises:
        JournalError: If it is damaged.
    """
    row = database.execute("SELECT value FROM meta WHERE name = 'input'").fetchone()
    if row is None:
        return None

    try:
        size = InputSize(**json.loads(row[0]))
    except (RecursionError, TypeError, ValueError):
        raise JournalError(f"the journal is damaged: the size of the input is {row[0]!r}") from None

    return size


def _read_sink(database: sqlite3.Connection) -> str:
    """Return the URI of the sink; an empty string for the folder."""
    row = database.execute("SELECT value FROM meta WHERE name = 'sink'").fetchone()
    return "" if row is None else str(row[0])
