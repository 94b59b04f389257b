"""How things are said: safely in a terminal, plainly in a pipe, as JSON to machines."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, cast

import attrs
from rich.console import Console
from rich.text import Text

from ideogram_async.errors import BatchError, Billed, IdeogramError, InvalidRequestError

if TYPE_CHECKING:
    from ideogram_async._batch.report import Report


def plain(value: Any) -> Any:
    """Put a value into a form that JSON knows: money as text, moments in ISO 8601, answers without their `meta`.

    What the service sent beyond the contract stands among the fields.
    """
    match value:
        case dict():
            return {str(name): plain(item) for name, item in value.items()}
        case tuple() | list():
            return [plain(item) for item in value]
        case Decimal() | Path():
            return str(value)
        case date():
            return value.isoformat()
        case _ if attrs.has(type(value)):
            return _fields_of(value)
        case str():
            return str(value)
        case _:
            return value


def _fields_of(value: Any) -> dict[str, Any]:
    names = [field.name for field in attrs.fields(cast(Any, type(value)))]
    told = {name: plain(getattr(value, name)) for name in names if name not in ("extra", "meta")}
    extra: dict[str, Any] = plain(getattr(value, "extra", {}))
    return told | extra


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


class Exit(IntEnum):
    """The exit codes, each with one meaning for every command."""

    OK = 0
    FAILED = 1
    """Some jobs failed, or images were withheld or lost."""
    USAGE = 2
    """The command cannot be done as it was given; nothing was spent on it."""
    AMBIGUOUS = 3
    """Something may have run, and may have been paid for."""
    STOPPED = 4
    """A batch stopped early, also by one Ctrl-C; the same command goes on."""
    INTERRUPTED = 130
    """A second Ctrl-C: what was on its way is in doubt."""


RANK = (Exit.OK, Exit.FAILED, Exit.AMBIGUOUS, Exit.STOPPED, Exit.INTERRUPTED, Exit.USAGE)


def worst(codes: Iterable[Exit]) -> Exit:
    """Choose the code that matters most: 2 before 130, 4, 3 and 1."""
    return max(codes, key=RANK.index, default=Exit.OK)


def of_report(report: Report) -> Exit:
    """Say how a batch ended."""
    has_failed = bool(report.failures or report.images_withheld or report.images_lost)
    found = {
        Exit.FAILED: has_failed,
        Exit.AMBIGUOUS: bool(report.ambiguous),
        Exit.STOPPED: report.stopped is not None,
    }
    return worst(code for code, is_so in found.items() if is_so)


def of_error(error: IdeogramError) -> Exit:
    """Say what an error means for the command that met it."""
    if isinstance(error, InvalidRequestError | BatchError):
        return Exit.USAGE

    return Exit.AMBIGUOUS if error.billed is Billed.UNKNOWN else Exit.FAILED
