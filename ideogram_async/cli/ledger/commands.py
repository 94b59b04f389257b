"""Command group `ledger`: records of keyed calls."""

from __future__ import annotations

from cyclopts import App, Group

from ideogram_async.cli.groups import make_group

HELP = """Show the record of calls that are bought once by their keys, and decide about those in doubt.

`URL` is the file of an `SqliteLedger`, such as `calls.sqlite3` or `sqlite:////srv/calls.sqlite3`, or the connection
string of a `PostgresLedger`, such as `postgresql://user@host/database`. Sends nothing, and creates no ledger."""

STATUS = """Count the calls of a ledger and their cost, and list those in doubt: they may have been billed.

A call that was begun long ago is in doubt if its client is silent: it is watched for a quarter longer than `--lease`.
Exits with 3 while calls are in doubt."""

LIST = """List the calls of a ledger by key, or those in some states.

With `--json` each call is a line with its answer, its links, and the answers of other attempts: an export."""

RESOLVE = """Decide about a call whose outcome is unknown, and that may have been billed. Sends nothing.

`lost` gives it up; its price stays booked. `retry` lets the next use of the key buy it again, which may be billed
twice. `adopt` makes `--url` its answer, if you have found its image. An accepted call that the service never finishes
can be given up or adopted, and bought again after that.

A call that is on record as being sent is first watched, for a quarter longer than `--lease`. The decision is refused if
its client is alive."""

FORGET = """Delete calls that were answered or given up before a date. Their keys can then be bought again.

Calls in doubt are kept, and what was spent still counts. Asks first in a terminal."""

COMMANDS = {
    "status": ("ideogram_async.cli.ledger.status:status", STATUS),
    "list": ("ideogram_async.cli.ledger.calls:list_calls", LIST),
    "resolve": ("ideogram_async.cli.ledger.decisions:resolve", RESOLVE),
    "forget": ("ideogram_async.cli.ledger.decisions:forget", FORGET),
}
"""Commands with their import path and help, so that listing them does not import them."""


def make_ledger_app(section: Group) -> App:
    """Return the command group, to be listed in that section of the help."""
    return make_group("ledger", HELP, COMMANDS, section)
