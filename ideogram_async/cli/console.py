"""Output: escaped text in a terminal, plain text in a pipe, JSON for machines."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import TextIO, cast

import attrs
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn
from rich.text import Text

from ideogram_async.v2.json_prompt import JsonPrompt

# Besides control characters: marks that change the direction of writing, and separators that break a line.
DIRECTION_MARK = re.compile("[\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069]")

LABEL_WIDTH = 12
"""Columns of the label in a line of a summary."""

_live_consoles: list[Console] = []
"""Consoles that redraw the end of their output; lines appear above it if they are printed there."""


def console(stream: TextIO | None = None) -> Console:
    """Return a console for people. It interprets no markup; a pipe gets lines that are not wrapped."""
    file = sys.stdout if stream is None else stream
    return Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=not file.isatty())


def error_console() -> Console:
    """Return a console for errors. If a terminal shows a bar or a spinner, it is that of the bar or spinner."""
    is_shared = bool(_live_consoles) and sys.stderr.isatty()
    return _live_consoles[-1] if is_shared else console(sys.stderr)


@contextmanager
def live_console(target: Console) -> Generator[None]:
    """Print errors to a console while it shows a bar or a spinner."""
    _live_consoles.append(target)
    try:
        yield
    finally:
        _live_consoles.remove(target)


@contextmanager
def spinner(message: str, *, is_shown: bool) -> Generator[Callable[[str], None]]:
    """Show a spinner with the elapsed seconds in a terminal during a step. Yield a function that changes its text."""
    target = console(sys.stderr)
    if not is_shown or not target.is_terminal or target.is_dumb_terminal:
        yield lambda _: None
        return

    columns = (
        SpinnerColumn("dots" if target.encoding.startswith("utf") else "line"),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.elapsed:.0f} s", "dim"),
    )
    with Progress(*columns, console=target, transient=True) as progress, live_console(target):
        task = progress.add_task(message)
        yield lambda text: progress.update(task, description=text)


def escape(text: object) -> str:
    """Escape characters that control a terminal, change the direction of writing, or cannot be encoded."""
    escaped = "".join(_escape_character(character) for character in str(text))
    # The stream would do that too, but the text would then be wider than a table or a truncated line expects.
    encoding = getattr(getattr(sys.stdout, "rich_proxied_file", sys.stdout), "encoding", None) or "utf-8"
    return escaped.encode(encoding, "backslashreplace").decode(encoding)


def _escape_character(character: str) -> str:
    if unicodedata.category(character) in ("Cc", "Cs") or DIRECTION_MARK.match(character):
        return character.encode("unicode_escape", "surrogatepass").decode()

    return character


def format_duration(seconds: float) -> str:
    """Format a duration, such as `0:42` or `1:02:03`."""
    minutes, remainder = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{remainder:02}" if hours else f"{minutes}:{remainder:02}"


def label_line(label: str, value: str, style: str = "") -> Text:
    """Return a line of a summary."""
    return Text.assemble((f"  {label:<10}", "dim"), (value, style))


def print_label_line(target: Console, line: Text, width: int = LABEL_WIDTH) -> None:
    """Print a line of a summary. A terminal wraps it below its value, which begins after `width` columns."""
    label, value = line.divide([width])
    print_wrapped(target, label, value, indent=width)


def print_item(target: Console, sign: str, style: str, text: Text) -> None:
    """Print text next to a sign. A terminal wraps it with an indentation."""
    print_wrapped(target, Text(f"{sign:<2}", style), text, indent=2)


def print_wrapped(target: Console, head: Text, text: Text, *, indent: int) -> None:
    """Print text after a head. A terminal wraps it with an indentation."""
    width = target.width - max(indent, head.cell_len)
    parts = text.wrap(target, max(width, 1)) if target.is_terminal else [text]
    for number, part in enumerate(parts):
        part.rstrip()
        target.print(Text.assemble(" " * indent if number else head, part), soft_wrap=True)


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
        case JsonPrompt():
            return value.to_dict()
        case _ if attrs.has(type(value)):
            return to_json_fields(value)
        case str():
            return str(value)
        case _:
            return value


def to_json_fields(value: object) -> dict[str, object]:
    """Convert an attrs value to its fields."""
    names = [field.name for field in attrs.fields(cast(type[attrs.AttrsInstance], type(value)))]
    fields = {name: to_json(getattr(value, name)) for name in names if name not in ("extra", "meta") and name[0] != "_"}
    return fields | {name: to_json(item) for name, item in getattr(value, "extra", {}).items()}
