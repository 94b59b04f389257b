"""Command `ledger status`: the calls of a ledger by state, their cost, and what to do next."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve, frozen
from rich.text import Text

from ideogram_async._ledger.liveness import is_silent
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async.cli.console import (
    console,
    escape,
    label_line,
    print_item,
    print_json,
    print_label_line,
    print_wrapped,
    spinner,
)
from ideogram_async.cli.exit_codes import Exit
from ideogram_async.cli.interrupts import run_async
from ideogram_async.cli.ledger.location import LEASE, SCHEMA, Lease, Location, Schema, Url
from ideogram_async.cli.options import Json
from ideogram_async.ledger import CallState, Entry, Totals

if TYPE_CHECKING:
    from ideogram_async.cli.ledger.location import AnyLedger

MAX_LISTED = 10
"""Maximum number of calls listed one by one."""
ORDER = (
    CallState.ANSWERED,
    CallState.AMBIGUOUS,
    CallState.LOST,
    CallState.ACCEPTED,
    CallState.SENDING,
    CallState.PENDING,
)


@frozen
class _Status:
    """Figures and doubts of a ledger."""

    totals: Totals
    """Calls whose client is silent count as in doubt, and keep their state."""
    doubts: list[Entry]
    """The first calls in doubt."""
    silent: int
    """Number of calls whose client is silent."""

    @property
    def in_doubt(self) -> int:
        """Return the number of calls in doubt."""
        return self.totals.calls[CallState.AMBIGUOUS] + self.silent


def status(url: Url, /, *, lease: Lease = LEASE, schema: Schema = SCHEMA, json: Json = False) -> int:
    """Run `ledger status`."""
    return run_async(_run(Location(url, schema), lease, as_json=json))


async def _run(location: Location, lease: float, *, as_json: bool) -> Exit:
    async with location.open(lease) as ledger:
        status = await _read(ledger, await _silent_owners(ledger, is_shown=not as_json))

    code = Exit.AMBIGUOUS if status.in_doubt else Exit.OK
    if as_json:
        print_json({"event": "Ledger", "ledger": location.name, **_fields(status), "exit": code})
        return code

    _print_doubts(status, location)
    for label, value in _summary(status, lease):
        print_label_line(console(), label_line(label, value))

    return code


async def _silent_owners(ledger: AnyLedger, *, is_shown: bool) -> set[str]:
    """Return the silent clients of calls in flight. Those whose calls are all recent are not watched."""
    before = datetime.now(UTC) - timedelta(seconds=_watch_seconds(ledger.lease))
    owners = list({entry.owner async for entry in ledger.entries(CallState.SENDING) if entry.started_at < before})
    if not owners:
        return set()

    seconds = f"{_watch_seconds(ledger.lease):.0f} s"
    with spinner(f"Watching for up to {seconds} whether the clients of calls in flight are alive", is_shown=is_shown):
        are_silent = await asyncio.gather(*(is_silent(ledger, owner) for owner in owners))

    return {owner for owner, silent in zip(owners, are_silent, strict=True) if silent}


async def _read(ledger: AnyLedger, silent_owners: set[str]) -> _Status:
    silent = [entry async for entry in ledger.entries(CallState.SENDING) if entry.owner in silent_owners]
    usd = sum((entry.usd or Decimal(0) for entry in silent), Decimal(0))
    totals, doubts = await ledger.totals(), list[Entry]()
    async for entry in ledger.entries(CallState.AMBIGUOUS):
        doubts.append(entry)
        if len(doubts) == MAX_LISTED:
            break

    totals = evolve(totals, in_doubt_usd=totals.in_doubt_usd + usd, in_flight_usd=totals.in_flight_usd - usd)
    return _Status(totals, [*doubts, *silent][:MAX_LISTED], len(silent))


def _watch_seconds(lease: float) -> float:
    return 1.25 * lease


def _fields(status: _Status) -> dict[str, object]:
    return {
        "calls": status.totals.calls,
        "silent": status.silent,
        "spent_usd": status.totals.spent_usd,
        "in_doubt_usd": status.totals.in_doubt_usd,
        "in_flight_usd": status.totals.in_flight_usd,
    }


def _print_doubts(status: _Status, location: Location) -> None:
    """Print calls in doubt, each with its whole key on a line of its own, and how to resolve them."""
    target = console()
    for entry in status.doubts:
        target.print(Text.assemble(("? ", "magenta"), (escape(entry.key), "bold")), soft_wrap=True)
        since = f"since {entry.started_at:%Y-%m-%d %H:%M} UTC"
        text = f"{format_usd(entry.usd)} may have been billed {since}: {escape(_reason(entry))}"
        print_wrapped(target, Text("  "), Text(text, "dim"), indent=2)

    if more := status.in_doubt - len(status.doubts):
        command = f"ideogram-async ledger list {location.arguments} ambiguous" + " sending" * bool(status.silent)
        target.print(Text(f"  and {more:,} more; to list them all: {command}", "dim"), soft_wrap=True)

    if status.doubts:
        command = f"ideogram-async ledger resolve {location.arguments} KEY lost|retry|adopt"
        print_item(target, "", "", Text("Check whether the image exists, then decide about each:", "dim"))
        target.print(Text(f"    {command}", "dim"), soft_wrap=True)
        target.print()


def _reason(entry: Entry) -> str:
    if entry.state is CallState.SENDING:
        return "its client is silent"

    return entry.error or (f"the response was {entry.status}" if entry.status else "its outcome is unknown")


def _summary(status: _Status, lease: float) -> Iterator[tuple[str, str]]:
    totals = status.totals
    counts = {state: totals.calls[state] for state in ORDER if totals.calls[state]}
    states = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    yield "calls", f"{sum(counts.values()):,}: {states}" if counts else "none"
    yield "spent", format_usd(totals.spent_usd)
    yield "in doubt", format_usd(totals.in_doubt_usd)
    yield "in flight", format_usd(totals.in_flight_usd)
    if sending := totals.calls[CallState.SENDING] - status.silent:
        text = f"{pluralize(sending, 'call')} in flight; a call whose client was killed is in doubt after"
        yield "next", f"{text} {_watch_seconds(lease):.0f} s"

    if accepted := totals.calls[CallState.ACCEPTED]:
        text = "accepted; the next use of its key waits for the answer, at no cost. If it never comes: resolve KEY lost"
        yield "next", f"{pluralize(accepted, 'call')} {text}"

    if pending := totals.calls[CallState.PENDING]:
        yield "next", f"{pluralize(pending, 'key')} to be bought again by its next use"
