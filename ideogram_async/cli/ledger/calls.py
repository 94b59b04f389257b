"""Command `ledger list`: the calls of a ledger, a line or a JSON object each."""

from __future__ import annotations

import json as json_format
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from ideogram_async._prices import format_usd
from ideogram_async._wire.decode import links_in
from ideogram_async.cli.console import console, escape, print_json
from ideogram_async.cli.exit_codes import Exit
from ideogram_async.cli.interrupts import run_async
from ideogram_async.cli.ledger.location import SCHEMA, Location, Schema, Url
from ideogram_async.cli.options import Json
from ideogram_async.ledger import CallState, Entry

if TYPE_CHECKING:
    from rich.console import Console

    from ideogram_async.cli.ledger.location import AnyLedger

State = Literal["pending", "sending", "accepted", "answered", "ambiguous", "lost"]
SIGNS = {
    CallState.PENDING: ("·", "dim"),
    CallState.SENDING: ("→", "cyan"),
    CallState.ACCEPTED: ("→", "cyan"),
    CallState.ANSWERED: ("✓", "green"),
    CallState.AMBIGUOUS: ("?", "magenta"),
    CallState.LOST: ("✗", "red"),
}
STATE_WIDTH = 9
USD_WIDTH = 12
TIME_WIDTH = 16
OPERATION_WIDTH = 38
WITH_PRICE = 60
"""Minimum number of columns of a terminal for a line with price and time."""
WITH_OPERATION = 110


def list_calls(url: Url, /, *states: State, schema: Schema = SCHEMA, json: Json = False) -> int:
    """Run `ledger list`.

    Args:
        states: Only calls in these states: pending, sending, accepted, answered, ambiguous and lost.
    """
    return run_async(_list(Location(url, schema), states, as_json=json))


async def _list(location: Location, states: tuple[State, ...], *, as_json: bool) -> Exit:
    target, count = console(), 0
    async with location.open() as ledger:
        async for entry in ledger.entries(*states):
            if as_json:
                print_json(await _to_json(ledger, entry))
            else:
                if not count:
                    target.print(_line(target, " ", "state", "price", "started (UTC)", "operation", "key", "dim"))

                target.print(_entry_line(target, entry), soft_wrap=True)

            count += 1

    if not count and not as_json:
        target.print(Text("No calls.", "dim"))

    return Exit.OK


def _entry_line(target: Console, entry: Entry) -> Text:
    sign, color = SIGNS[entry.state]
    started = f"{entry.started_at:%Y-%m-%d %H:%M}"
    price = "unknown" if entry.usd is None else format_usd(entry.usd)
    return _line(target, sign, entry.state, price, started, entry.operation, escape(entry.key), color)


def _line(
    target: Console, sign: str, state: str, price: str, started: str, operation: str, key: str, style: str
) -> Text:
    """Return a line whose last part is the key, which is never shortened. A narrow terminal gets fewer parts."""
    width = target.width if target.is_terminal else WITH_OPERATION
    return Text.assemble(
        (f"{sign} {state:<{STATE_WIDTH}}", style),
        (f" {price:>{USD_WIDTH}}  {started:<{TIME_WIDTH}}", "dim") if width >= WITH_PRICE else "",
        (f"  {operation:<{OPERATION_WIDTH}}", "dim") if width >= WITH_OPERATION else "",
        f"  {key}",
    )


async def _to_json(ledger: AnyLedger, entry: Entry) -> dict[str, object]:
    names = "key state operation usd weight attempt doubts started_at settled_at status error generation_id fingerprint"
    return {
        **{name: getattr(entry, name) for name in names.split()},
        "request": None if entry.request is None else json_format.loads(entry.request),
        **_answer(entry.raw),
        "strays": [{"status": reply.status, **_answer(reply.raw)} for reply in await ledger.strays(entry.key)],
    }


def _answer(raw: bytes | None) -> dict[str, object]:
    """Return a body, as JSON if it is JSON, and the links in it."""
    try:
        answer = None if raw is None else json_format.loads(raw)
    except ValueError:
        answer = (raw or b"").decode(errors="backslashreplace")

    return {"answer": answer, "links": links_in(raw or b"")}
