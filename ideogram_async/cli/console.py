"""Output and exit codes: escaped text in a terminal, plain text in a pipe, JSON for machines."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import unicodedata
from collections.abc import Coroutine, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, TypeVar, cast

import attrs
from rich.console import Console
from rich.text import Text

from ideogram_async.errors import BatchError, Billed, IdeogramError, InvalidRequestError

if TYPE_CHECKING:
    from ideogram_async import Report

T = TypeVar("T")

# Besides control characters: marks that change the direction of writing, and separators that break a line.
DIRECTION_MARK = re.compile("[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


class Exit(IntEnum):
    """Exit code. Each has one meaning for every command."""

    OK = 0
    FAILED = 1
    """Some jobs failed, or images were withheld or lost."""
    USAGE = 2
    """Usage error; nothing was spent."""
    AMBIGUOUS = 3
    """Some outcomes are unknown and may have been billed."""
    STOPPED = 4
    """A batch stopped early, also by one Ctrl-C; the same command resumes."""
    INTERRUPTED = 130
    """A second Ctrl-C: the outcome of calls in flight is unknown."""


SEVERITY = (Exit.OK, Exit.FAILED, Exit.AMBIGUOUS, Exit.STOPPED, Exit.INTERRUPTED, Exit.USAGE)


def worst(codes: Iterable[Exit]) -> Exit:
    """Return the most severe code: 2 before 130, 4, 3 and 1."""
    return max(codes, key=SEVERITY.index, default=Exit.OK)


def exit_code_for_report(report: Report) -> Exit:
    """Return the exit code of a batch."""
    conditions = {
        Exit.FAILED: bool(report.failures or report.images_withheld or report.images_lost),
        Exit.AMBIGUOUS: bool(report.ambiguous),
        Exit.STOPPED: report.stopped is not None,
    }
    return worst(code for code, holds in conditions.items() if holds)


def exit_code_for_error(error: IdeogramError) -> Exit:
    """Return the exit code of a command that ended with an error."""
    if isinstance(error, InvalidRequestError | BatchError):
        return Exit.USAGE

    return Exit.AMBIGUOUS if error.billed is Billed.UNKNOWN else Exit.FAILED


def run_async(main: Coroutine[object, object, T]) -> T:
    """Run a coroutine like `asyncio.run`, and let Ctrl-C interrupt it in every state of the event loop."""
    return asyncio.run(_run_wakeable(main))


async def _run_wakeable(main: Coroutine[object, object, T]) -> T:
    # `asyncio.run` sets no wakeup descriptor. A signal that arrives just before the loop starts to wait, or in another
    # thread, would be handled only at the next event.
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, handler, signal.SIGINT, None)

    return await main


def console(stream: TextIO | None = None) -> Console:
    """Return a console for people. It interprets no markup; a pipe gets lines that are not wrapped."""
    file = sys.stdout if stream is None else stream
    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=not file.isatty())


@contextmanager
def spinner(message: str, *, as_json: bool) -> Generator[None]:
    """Show a spinner in a terminal during a step."""
    target = console(sys.stderr)
    if as_json or not target.is_terminal:
        yield
        return

    with target.status(f"{message} …"):
        yield


def escape(text: object) -> str:
    """Escape characters that control a terminal or change the direction of writing."""
    return "".join(_escape_character(character) for character in str(text))


def _escape_character(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cs") or DIRECTION_MARK.match(character):
        return character.encode("unicode_escape", "surrogatepass").decode()

    return character


def format_usd(usd: Decimal | None) -> str:
    """Format an amount with cents, and with more digits only if it has more."""
    if usd is None:
        return "unknown price"

    exact = f"{usd.normalize():f}"
    _, _, digits = exact.partition(".")
    return f"{usd.normalize():,f} USD" if len(digits) > 2 else f"{usd:,.2f} USD"


def format_duration(seconds: float) -> str:
    """Format a duration, such as `0:42` or `1:02:03`."""
    minutes, remainder = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{remainder:02}" if hours else f"{minutes}:{remainder:02}"


def pluralize(number: int, noun: str) -> str:
    """Return `1 image`, `2 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def label_line(label: str, value: str, style: str = "") -> Text:
    """Return a line of a summary."""
    return Text.assemble((f"  {label:<10}", "dim"), (value, style))


def print_json(fields: Mapping[str, object]) -> None:
    """Write one line for machines."""
    sys.stdout.write(json.dumps(to_json(fields), ensure_ascii=True, separators=(", ", ": ")) + "\n")
    sys.stdout.flush()


def to_json(value: object) -> object:
    """Convert a value for JSON: money to text, dates to ISO 8601, answers without their `meta`.

    Fields that the service sent beyond the contract are included.
    """
    match value:
        case Mapping():
            return {str(name): to_json(item) for name, item in value.items()}
        case tuple() | list():
            return [to_json(item) for item in value]
        case Decimal() | Path():
            return str(value)
        case date():
            return value.isoformat()
        case _ if attrs.has(type(value)):
            return to_json_fields(value)
        case str():
            return str(value)
        case _:
            return value


def to_json_fields(value: object) -> dict[str, object]:
    """Convert an attrs value to its fields."""
    names = [field.name for field in attrs.fields(cast(type[attrs.AttrsInstance], type(value)))]
    fields = {name: to_json(getattr(value, name)) for name in names if name not in ("extra", "meta")}
    return fields | {name: to_json(item) for name, item in getattr(value, "extra", {}).items()}
