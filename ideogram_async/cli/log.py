"""Lines of the error stream: warnings of the library's log, and with `--verbose` the events of calls."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from rich.text import Text

from ideogram_async._plural import pluralize
from ideogram_async._transport.emitter import GIVEN_UP, logger
from ideogram_async.cli.catalog import rule_for_cli
from ideogram_async.cli.console import error_console, escape, print_item, to_json_fields
from ideogram_async.events import Answered, Downloaded, Event, Failed, Retrying, Sending, Throttled, Waiting


class WarningLines(logging.Handler):
    """Handler that prints each warning and error of the library once.

    Args:
        as_json: Whether to write JSON.
    """

    def __init__(self, *, as_json: bool) -> None:
        super().__init__(logging.WARNING)
        self._as_json = as_json
        self._printed: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record, unless the same text was printed before."""
        if record.msg == GIVEN_UP:
            # The command itself reports its interruption.
            return

        message = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            message = f"{message}: {record.exc_info[1]}"

        if message in self._printed:
            return

        self._printed.add(message)
        if self._as_json:
            fields = {"event": "Warning", "level": record.levelname, "message": message}
            _write_json(fields)
        else:
            _print_lines(rule_for_cli(message), is_error=record.levelno >= logging.ERROR)


@contextmanager
def print_warnings(*, as_json: bool) -> Generator[None]:
    """Print the warnings of the library during a command."""
    handler = WarningLines(as_json=as_json)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def log_event(event: Event, *, as_json: bool) -> None:
    """Print an event of a call: what was sent, its status, waits and retries. Events contain no key."""
    if as_json:
        fields = {"event": type(event).__name__, **to_json_fields(event)}
        _write_json(fields)
    elif message := _describe(event):
        line = f"{event.at.astimezone():%H:%M:%S} {event.call_id} {event.operation}: {message}"
        print_item(error_console(), "·", "dim", Text(escape(line), "dim"))


def _write_json(fields: Mapping[str, object]) -> None:
    sys.stderr.write(json.dumps(fields) + "\n")


def _describe(event: Event) -> str:
    match event:
        case Waiting():
            return f"queued for {pluralize(event.weight, 'slot')}" if event.weight else ""
        case Sending():
            return f"attempt {event.attempt}"
        case Answered():
            return f"status {event.status} after {event.elapsed:.1f} s"
        case Throttled():
            limit = "" if event.max_in_flight is None else f"; the limit is {pluralize(event.max_in_flight, 'image')}"
            return f"rejected with 429{limit}"
        case Retrying():
            return f"retry in {event.pause:.1f} s: {event.reason}"
        case Failed():
            return f"{event.error}, billed: {event.billed.name}"
        case Downloaded():
            return f"{event.path or event.uri}, {event.size:,} bytes{', existed already' if event.adopted else ''}"
        case _:
            return ""


def _print_lines(message: str, *, is_error: bool) -> None:
    """Print a message. Its further lines are links, which do not wrap."""
    target = error_console()
    first, *others = message.split("\n")
    print_item(target, "!", "bold red" if is_error else "bold yellow", Text(escape(first)))
    for line in others:
        target.print(Text(f"  {escape(line.strip())}"), soft_wrap=True)
