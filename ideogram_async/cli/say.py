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

__all__ = ["console", "count", "labelled", "money", "safe", "say_json", "span"]

# Besides control characters: what turns the direction of writing around, and what breaks a line.
TURNING = re.compile("[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def console(stream: TextIO | None = None) -> Console:
    """Make a console for people. Nothing in what it prints is taken for markup; a pipe gets whole lines."""
    file = sys.stdout if stream is None else stream
    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=not file.isatty())


def safe(text: object) -> str:
    """Escape what could steer a terminal: control characters, and those that turn the direction of writing."""
    return "".join(_escaped(sign) for sign in str(text))


def money(usd: Decimal | None) -> str:
    """Write an amount, with cents, and with more digits only where it has more."""
    if usd is None:
        return "unknown price"

    exact = f"{usd.normalize():f}"
    _, _, digits = exact.partition(".")
    return f"{usd.normalize():,f} USD" if len(digits) > 2 else f"{usd:,.2f} USD"


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


def _escaped(sign: str) -> str:
    if unicodedata.category(sign) in ("Cc", "Cs") or TURNING.match(sign):
        return sign.encode("unicode_escape", "surrogatepass").decode()

    return sign
