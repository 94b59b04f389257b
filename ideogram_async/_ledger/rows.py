"""Rows of a ledger's tables, which SQLite and Postgres share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import TypeAlias

from ideogram_async._ledger.entries import Claim, Entry, Owner, Totals, from_micros, read_headers, to_micros
from ideogram_async._ledger.rules import OPEN, CallState
from ideogram_async.errors import BudgetError, LedgerError

Column: TypeAlias = str | bytes | int | datetime | None
COLUMNS = (
    "key, operation, fingerprint, weight, usd_micros, state, attempt, token, owner, doubts, generation_id, status, raw,"
    " headers, error, request, started_at, settled_at"
)
NAMES = COLUMNS.split(", ")
PAGE = 500
"""Entries read at a time."""


def read_entry(columns: Sequence[object]) -> Entry:
    """Return the entry whose columns are those of `COLUMNS`.

    Raises:
        LedgerError: If a value is damaged.
    """
    values = dict(zip(NAMES, columns, strict=True))
    try:
        values["usd"] = from_micros(values.pop("usd_micros"))  # type: ignore[arg-type]  # a STRICT table
        values["state"] = CallState(str(values["state"]))
        for name in ("started_at", "settled_at"):
            if values[name] is not None:
                values[name] = datetime.fromisoformat(str(values[name])).astimezone(UTC)

        entry = Entry(**values)  # type: ignore[arg-type]
        read_headers(entry.headers)
    except (ArithmeticError, TypeError, ValueError) as error:
        raise LedgerError(f"key {values['key']!r} of the ledger is damaged: {error}") from None

    return entry


def columns_of(entry: Entry) -> list[Column]:
    """Return the columns of an entry, in the order of `COLUMNS`."""
    values: list[Column] = [to_micros(entry.usd) if name == "usd_micros" else getattr(entry, name) for name in NAMES]
    # Neither database takes half a surrogate pair, nor Postgres a zero, and servers may put them into their errors.
    return [_printable(value) if name == "error" else value for name, value in zip(NAMES, values, strict=True)]


def to_totals(groups: Iterable[Sequence[object]], total: int) -> Totals:
    """Return the totals of calls.

    Args:
        groups: State, earlier attempts in doubt, number of calls, and the sum of their prices in millionths.
        total: All that is booked, in millionths.
    """
    calls = dict.fromkeys(CallState, 0)
    in_doubt = in_flight = 0
    for name, doubts, count, micros in groups:
        state, usd = CallState(str(name)), int(str(micros or 0))
        calls[state] += int(str(count))
        in_doubt += usd * (int(str(doubts)) + (state in (CallState.AMBIGUOUS, CallState.LOST)))
        in_flight += usd * (state in OPEN)

    return Totals(
        calls=calls,
        spent_usd=_usd(total - in_doubt - in_flight),
        in_doubt_usd=_usd(in_doubt),
        in_flight_usd=_usd(in_flight),
    )


def check_budget(claim: Claim, total: int, cap: Decimal | None) -> None:
    """Check what would be booked with an attempt, in millionths.

    Raises:
        BudgetError: If it is more than the budget.
    """
    if cap is not None and total > (to_micros(cap) or 0):
        before = _usd(total) - (claim.usd or 0)
        raise BudgetError(
            f"key {claim.key!r}: the budget of {cap} USD does not cover {claim.usd} USD more:"
            f" {before} USD are spent, in doubt or in flight; nothing was sent"
        )


def check_origin(origin: str | None, owner: Owner) -> None:
    """Check that a ledger belongs to the service of a client.

    Raises:
        LedgerError: If it does not.
    """
    if origin != owner.origin:
        raise LedgerError(f"the ledger belongs to {origin}, not to {owner.origin}: use another one for each service")


def _printable(value: Column) -> Column:
    return value.encode(errors="backslashreplace").decode().replace("\0", r"\0") if isinstance(value, str) else value


def _usd(micros: int) -> Decimal:
    return from_micros(micros) or Decimal(0)
