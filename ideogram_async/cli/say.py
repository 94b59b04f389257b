"""How things are said: safely in a terminal, plainly in a pipe, as JSON to machines."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from decimal import Decimal
from typing import Any, TextIO

from rich.console import Console
from rich.text import Text

from ideogram_async.cli.plain import plain
from ideogram_async.errors import Billed, DecodeError, IdeogramError

__all__ = [
    "UsageError",
    "console",
    "count",
    "labelled",
    "money",
    "safe",
    "say_error",
    "say_json",
    "say_usage",
    "span",
    "tell_error",
    "worded",
]

# Besides control characters: what turns the direction of writing around, and what breaks a line.
TURNING = re.compile("[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
PAID = {
    Billed.NO: "Nothing was paid.",
    Billed.YES: "It was paid for.",
    Billed.UNKNOWN: "It may have been paid for.",
}
# An advice speaks of the library's settings; here they have other names, or none.
NEWER = re.compile(r"; a newer value is written Unchecked\(.*?\)(?=\n|$)")


class UsageError(Exception):
    """The command cannot be done as it was given; nothing was spent on it."""


def console(stream: TextIO | None = None) -> Console:
    """Make a console for people. Nothing in what it prints is taken for markup; a pipe gets whole lines."""
    file = sys.stdout if stream is None else stream
    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=not file.isatty())


def safe(text: object) -> str:
    """Escape what could steer a terminal: control characters, and those that turn the direction of writing."""
    return "".join(_escaped(sign) for sign in str(text))


def worded(rule: str) -> str:
    """Say a rule as it holds here: a word that is newer than the library is written in Python only."""
    return NEWER.sub("", rule)


def money(usd: Decimal | None) -> str:
    """Write an amount, with cents, and with more digits only where it has more."""
    if usd is None:
        return "unknown price"

    exact = f"{usd.normalize():f}"
    _, _, digits = exact.partition(".")
    return f"{exact if len(digits) > 2 else f'{usd:.2f}'} USD"


def count(number: int, noun: str) -> str:
    """Write `1 image`, `2 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span(seconds: float) -> str:
    """Write a length of time, such as `0:42` or `1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def labelled(label: str, value: str, style: str = "") -> Text:
    """Make a line of a summary."""
    return Text.assemble((f"  {label:<10}", "dim"), (value, style))


def say_json(told: dict[str, Any]) -> None:
    """Write one line for machines."""
    sys.stdout.write(json.dumps(plain(told), ensure_ascii=True, separators=(", ", ": ")) + "\n")
    sys.stdout.flush()


def say_usage(message: str, *, as_json: bool = False) -> None:
    """Say that the command cannot be done as it was given."""
    if as_json:
        say_json({"event": "Error", "error": "UsageError", "message": message, "billed": Billed.NO})
        return

    first, *rest = message.split("\n")
    target = console(sys.stderr)
    target.print(Text.assemble(("✗ ", "bold red"), (safe(first), "bold")))
    for line in rest:
        target.print(Text(f"  {safe(line)}"))


def say_error(error: IdeogramError, *, as_json: bool = False) -> None:
    """Say what happened, whether money was spent, and what to do."""
    if as_json:
        say_json({"event": "Error", **tell_error(error)})
        return

    first, *rest = (safe(line) for line in worded(str(error)).split("\n"))
    target = console(sys.stderr)
    target.print(Text.assemble(("✗ ", "bold red"), (first or type(error).__name__, "bold")))
    for line in rest:
        target.print(Text(f"  {line.strip()}"))

    links = error.links if isinstance(error, DecodeError) else ()
    for link in links:
        target.print(Text(f"  {safe(link)}"), soft_wrap=True)

    colour = "green" if error.billed is Billed.NO else "yellow"
    target.print(Text.assemble(("  ", ""), (PAID[error.billed], colour), (f" {error.advice}", "")))


def tell_error(error: IdeogramError) -> dict[str, Any]:
    """Put an error into fields, for machines."""
    return {
        "error": type(error).__name__,
        "message": worded(str(error)),
        "billed": error.billed,
        "retryable": error.retryable,
        "advice": error.advice,
        **({"links": error.links} if isinstance(error, DecodeError) else {}),
    }


def _escaped(sign: str) -> str:
    if unicodedata.category(sign) in ("Cc", "Cs") or TURNING.match(sign):
        return sign.encode("unicode_escape", "surrogatepass").decode()

    return sign
