"""Commands `ledger resolve` and `ledger forget`: decisions that only a person can make."""

from __future__ import annotations

from datetime import UTC, datetime
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ideogram_async._ledger.claims import key_problem
from ideogram_async._ledger.rules import UNDECIDED
from ideogram_async._ledger.transitions import RESOLVABLE
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async.cli.confirm import can_ask, confirm
from ideogram_async.cli.console import console, escape, label_line, print_json, spinner
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.exit_codes import Exit
from ideogram_async.cli.interrupts import run_async
from ideogram_async.cli.ledger.location import LEASE, SCHEMA, Lease, Location, Schema, Url
from ideogram_async.cli.options import Json
from ideogram_async.errors import HostRefusedError
from ideogram_async.ledger import CallState, Entry

if TYPE_CHECKING:
    from ideogram_async.cli.ledger.location import AnyLedger

Resolution = Literal["lost", "retry", "adopt"]
Before = Annotated[str, Parameter(help="A date, or a date and time, such as 2026-01-31 or 2026-01-31T12:00; in UTC.")]
Yes = Annotated[
    bool, Parameter(name=("--yes", "-y"), help="Do not ask in a terminal.", negative=(), show_default=False)
]
MAX_COMPARED = 10_000
MAX_NAMED = 5
UNCHANGED = "The call is unchanged."


def resolve(
    url: Url,
    key: str,
    resolution: Resolution,
    /,
    *,
    link: Annotated[str | None, Parameter(name="--url", help="The link of the image, for `adopt`.")] = None,
    lease: Lease = LEASE,
    schema: Schema = SCHEMA,
    json: Json = False,
) -> int:
    """Run `ledger resolve`.

    Args:
        key: The key of the call, as shown by `ledger status`.
        resolution: One of lost, retry and adopt, as above.
    """
    if (resolution == "adopt") != (link is not None):
        message = "adopt needs the link of the image." if link is None else f"{resolution} takes no link."
        raise UsageError(message, "Pass it as --url." if link is None else "Omit --url.")

    return run_async(_resolve(Location(url, schema), key, resolution, link, lease, as_json=json))


def forget(url: Url, /, *, before: Before, yes: Yes = False, schema: Schema = SCHEMA, json: Json = False) -> int:
    """Run `ledger forget`."""
    return run_async(_forget(Location(url, schema), _parse_date(before), is_confirmed=yes, as_json=json))


async def _resolve(
    location: Location, key: str, how: Resolution, link: str | None, lease: float, *, as_json: bool
) -> Exit:
    async with location.open(lease) as ledger:
        # A key that no call can have, such as a byte that is not text, has no entry.
        entry = None if key_problem(key) else await ledger.get(key)
        if entry is None or entry.state not in RESOLVABLE[how]:
            raise await _refusal(ledger, location, key, entry)

        is_watched = entry.state is CallState.SENDING and not as_json
        try:
            with spinner(f"Watching for up to {1.25 * lease:.0f} s whether its client is alive", is_shown=is_watched):
                after = await ledger.resolve(key, how, url=link)
        except HostRefusedError as error:
            raise UsageError(str(error), f"{UNCHANGED} Only https links to public hosts are followed.") from None

    if as_json:
        print_json({"event": "Resolved", "key": after.key, "state": after.state})
    else:
        console().print(f"{escape(key)}: {_consequence(after, how)}", soft_wrap=True)

    return Exit.OK


async def _refusal(ledger: AnyLedger, location: Location, key: str, entry: Entry | None) -> UsageError:
    """Return the error for a key that there is nothing to decide about, with the closest one and others."""
    names: dict[str, str] = {}
    async for other in ledger.entries(*UNDECIDED):
        names[other.key.casefold()] = other.key
        if len(names) == MAX_COMPARED:
            break

    close = get_close_matches(key.casefold(), names, 1)
    hint = f"; did you mean {names[close[0]]!r}?" if close else ""
    known = list(names.values())
    others = ", ".join(map(repr, known[:MAX_NAMED])) + (", and others" if len(known) > MAX_NAMED else "")
    advice = f"To be decided: {others}." if known else "No call is to be decided."
    if entry is None:
        return UsageError(f"{location.name} has no key {key!r}{hint}", advice)

    if entry.state is CallState.ACCEPTED:
        advice = "The next use of the key waits for the answer, at no cost. To buy it again, give it up first: lost."
        return UsageError(f"Key {key!r} is accepted: it may still be answered.", advice)

    return UsageError(f"Key {key!r} is {entry.state}: there is nothing to decide.", advice)


def _consequence(entry: Entry, how: Resolution) -> str:
    match how:
        case "lost":
            return f"given up; {format_usd(entry.usd)} stays booked as in doubt"
        case "retry":
            return "the next use of the key buys it again; that may be billed twice"
        case "adopt":
            return "the next use of the key returns that image"


async def _forget(location: Location, before: datetime, *, is_confirmed: bool, as_json: bool) -> Exit:
    async with location.open() as ledger:
        if not is_confirmed and can_ask():
            count = await _count(ledger, before)
            facts = [
                label_line("forget", f"{pluralize(count, 'call')} before {before:%Y-%m-%d %H:%M} UTC", "bold"),
                label_line("then", "each of their keys can be bought again"),
            ]
            await confirm(
                facts,
                question="Forget them?",
                refusal="Not confirmed: nothing was forgotten.",
                otherwise="To forget them without a question, pass --yes.",
            )

        count = await ledger.forget(before)

    if as_json:
        print_json({"event": "Forgotten", "calls": count})
    else:
        console().print(f"{pluralize(count, 'call')} forgotten", soft_wrap=True)

    return Exit.OK


async def _count(ledger: AnyLedger, before: datetime) -> int:
    count = 0
    async for entry in ledger.entries(CallState.ANSWERED, CallState.LOST):
        count += not entry.doubts and entry.settled_at is not None and entry.settled_at < before

    return count


def _parse_date(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
        moment = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (OverflowError, ValueError):
        raise UsageError(f"--before: {text!r} is not a date.", "Pass one such as 2026-01-31.") from None

    if moment > datetime.now(UTC):
        advice = "Pass an earlier one: a call that is forgotten too soon is bought again by a repeat."
        raise UsageError(f"--before: {text} is in the future.", advice)

    return moment
