"""Transactions of a ledger, as generators of the statements that SQLite and Postgres run.

A generator yields a statement with its values, and is sent the rows that it returned. A transaction may be run again
after its connection was lost, also if it was committed.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias, TypeVar

from ideogram_async._ledger.entries import Claim, Entry, Owner, Totals, read_reply
from ideogram_async._ledger.outcome import Outcome
from ideogram_async._ledger.rows import (
    COLUMNS,
    PAGE,
    Column,
    check_budget,
    check_origin,
    columns_of,
    read_entry,
    to_totals,
)
from ideogram_async._ledger.rules import CallState
from ideogram_async._ledger.transitions import booked, claimed, is_stray, permits, settled
from ideogram_async.errors import LedgerError
from ideogram_async.models.base import Reply

T = TypeVar("T")
Statement: TypeAlias = tuple[str, Sequence[Column]]
Rows: TypeAlias = Sequence[Sequence[object]]
Transaction: TypeAlias = Generator[Statement, Rows, T]
LOCK = " FOR UPDATE"
"""Ends a statement whose row the transaction changes. A transaction of SQLite has locked the whole file."""
MARKS = ", ".join("?" * len(COLUMNS.split(", ")))


def find(key: str, lock: str = "") -> Transaction[Entry | None]:
    """Return the entry of a key."""
    rows = yield f"SELECT {COLUMNS} FROM call WHERE key = ?{lock}", (key,)
    return read_entry(rows[0]) if rows else None


def find_page(states: Sequence[CallState], after: str) -> Transaction[list[Entry]]:
    """Return the next entries in these states, in the order of their keys."""
    marks = ", ".join("?" * len(states))
    query = f"SELECT {COLUMNS} FROM call WHERE state IN ({marks}) AND key > ? ORDER BY key LIMIT {PAGE}"
    rows = yield query, (*states, after)
    return [read_entry(row) for row in rows]


def count() -> Transaction[Totals]:
    """Count calls and costs."""
    groups = yield "SELECT state, doubts, count(*), sum(usd_micros) FROM call GROUP BY 1, 2", ()
    ((total,),) = yield "SELECT booked_micros FROM total", ()
    return to_totals(groups, int(str(total)))


def forget(before: datetime) -> Transaction[int]:
    """Delete calls that were answered or given up before that time, and return their number."""
    condition = "state IN ('answered', 'lost') AND doubts = 0 AND settled_at < ?"
    yield "DELETE FROM owner WHERE id NOT IN (SELECT owner FROM call WHERE state = 'sending')", ()
    yield f"DELETE FROM stray WHERE key IN (SELECT key FROM call WHERE {condition})", (before,)
    ((number,),) = yield f"SELECT count(*) FROM call WHERE {condition}", (before,)
    yield f"DELETE FROM call WHERE {condition}", (before,)
    return int(str(number))


def find_strays(key: str) -> Transaction[list[Reply]]:
    """Return the answers to attempts of a key other than the one that its entry has."""
    rows = yield "SELECT status, raw, headers FROM stray WHERE key = ? ORDER BY attempt", (key,)
    return [read_reply(*row) for row in rows]  # type: ignore[arg-type]  # the columns have types


def claim_key(claim: Claim, cap: Decimal | None) -> Transaction[Entry]:
    """Record an attempt unless the key is taken, and return the entry."""
    now = datetime.now(UTC)
    before, after = None, claimed(None, claim, now)
    query = f"INSERT INTO call ({COLUMNS}) VALUES ({MARKS}) ON CONFLICT (key) DO NOTHING RETURNING key"
    while not (yield query, columns_of(after)):
        before = yield from find(claim.key, LOCK)
        if before is None:
            # Another process has just freed it.
            continue

        if not permits(before, claim):
            return before

        after = claimed(before, claim, now)
        yield _update(after)
        break

    check_budget(claim, (yield from _book(before, after)), cap)
    return after


def settle_attempt(key: str, attempt: int, outcome: Outcome) -> Transaction[Entry | None]:
    """Record the acceptance or the outcome of an attempt, and return the entry; `None` if the key is free."""
    before = yield from find(key, LOCK)
    after = before and settled(before, outcome, datetime.now(UTC))
    if is_stray(after, outcome):
        values = (key, outcome.token, attempt, outcome.status, outcome.raw, outcome.headers)
        yield "INSERT INTO stray VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING", values

    if before is not None and after is not before:
        yield from _replace(before, after)

    return after


def decide(before: Entry, after: Entry) -> Transaction[Entry]:
    """Replace an entry.

    Raises:
        LedgerError: If it has changed since it was read.
    """
    current = yield from find(before.key, LOCK)
    if current == before:
        yield from _replace(before, after)
    elif current != after:
        raise LedgerError(f"key {before.key!r} has changed meanwhile; read it again")

    return after


def beat(owner: Owner) -> Transaction[None]:
    """Raise the counter of an owner.

    Raises:
        LedgerError: If the ledger belongs to another service.
    """
    yield "INSERT INTO meta VALUES ('origin', ?) ON CONFLICT DO NOTHING", (owner.origin,)
    check_origin((yield from find_origin()), owner)
    yield (
        "INSERT INTO owner (id, host, pid) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE SET beat = owner.beat + 1",
        (owner.id, owner.host, owner.pid),
    )


def find_beats(owner: str) -> Transaction[int | None]:
    """Return the counter of an owner."""
    rows = yield "SELECT beat FROM owner WHERE id = ?", (owner,)
    return int(str(rows[0][0])) if rows else None


def find_origin() -> Transaction[str | None]:
    """Return the service that the ledger belongs to."""
    rows = yield "SELECT value FROM meta WHERE name = 'origin'", ()
    return str(rows[0][0]) if rows else None


def _replace(before: Entry, after: Entry | None) -> Transaction[None]:
    yield ("DELETE FROM call WHERE key = ?", (before.key,)) if after is None else _update(after)
    yield from _book(before, after)


def _update(entry: Entry) -> Statement:
    return f"UPDATE call SET ({COLUMNS}) = ({MARKS}) WHERE key = ?", (*columns_of(entry), entry.key)


def _book(before: Entry | None, after: Entry | None) -> Transaction[int]:
    """Book the difference of two entries, and return the total; 0 if there is no difference."""
    change = booked(after) - booked(before)
    if not change:
        return 0

    rows = yield "UPDATE total SET booked_micros = booked_micros + ? RETURNING booked_micros", (change,)
    return int(str(rows[0][0]))
