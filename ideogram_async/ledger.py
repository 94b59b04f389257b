"""Ledgers: records of keyed calls, which make `Ideogram.once` buy each key once.

    from ideogram_async.ledger import SqliteLedger

    async with Ideogram(ledger=SqliteLedger("calls.sqlite3")) as client:
        answer = await client.once("order-4711/hero", Generate("a red fox"))

A key is bought again without being asked in one case: if its row was lost, by restoring an older copy of the database,
by a failover to a replica that did not have it yet, or by deleting the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async._lazy import lazy_exports

if TYPE_CHECKING:
    from ideogram_async._ledger.entries import Claim as Claim
    from ideogram_async._ledger.entries import Entry as Entry
    from ideogram_async._ledger.entries import Ledger as Ledger
    from ideogram_async._ledger.entries import Owner as Owner
    from ideogram_async._ledger.entries import Totals as Totals
    from ideogram_async._ledger.outcome import Outcome as Outcome
    from ideogram_async._ledger.postgres import PostgresLedger as PostgresLedger
    from ideogram_async._ledger.rules import CallState as CallState
    from ideogram_async._ledger.rules import Verdict as Verdict
    from ideogram_async._ledger.sqlite import SqliteLedger as SqliteLedger

__all__ = [
    "CallState",
    "Claim",
    "Entry",
    "Ledger",
    "Outcome",
    "Owner",
    "PostgresLedger",
    "SqliteLedger",
    "Totals",
    "Verdict",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "_ledger.entries": "Claim Entry Ledger Owner Totals",
            "_ledger.outcome": "Outcome",
            "_ledger.postgres": "PostgresLedger",
            "_ledger.rules": "CallState Verdict",
            "_ledger.sqlite": "SqliteLedger",
        },
    )
