"""What went wrong: in a sentence, with whether it cost money, and what to do next."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from rich.text import Text

from ideogram_async.cli.catalog import worded
from ideogram_async.cli.console import console, safe, say_json
from ideogram_async.errors import (
    APIStatusError,
    AuthenticationError,
    Billed,
    DecodeError,
    HostRefusedError,
    IdeogramError,
    ImageTooLargeError,
    InvalidRequestError,
    NotSentError,
    RateLimitError,
)

ADVICE: dict[type[IdeogramError], str] = {
    AuthenticationError: "Set IDEOGRAM_API_KEY to a key that is valid.",
    HostRefusedError: "Only https links to public hosts are followed.",
    ImageTooLargeError: "The link still works: open it elsewhere.",
    InvalidRequestError: "Correct what is named, and try again.",
    NotSentError: "Check the network, the proxy and IDEOGRAM_BASE_URL, then try again: ideogram-async doctor",
    RateLimitError: "Wait for other work on the account to end, then try again.",
}


def advice_of(error: IdeogramError) -> str:
    """Say what to do about an error."""
    if isinstance(error, DecodeError) and error.billed is Billed.YES:
        left = "what it made is at these links" if error.links else "nothing in it leads to an image"
        return f"Do not send it again; {left}."

    if type(error) is APIStatusError:
        return "The service refused it; sent unchanged it may fail again."

    return ADVICE.get(type(error), error.advice)


PAID = {
    Billed.NO: ("Nothing was paid.", "green"),
    Billed.YES: ("It was paid for.", "yellow"),
    Billed.UNKNOWN: ("It may have been paid for.", "yellow"),
}


class UsageError(Exception):
    """The command cannot be done as it was given; nothing was spent on it.

    Args:
        message: What is wrong.
        advice: What to do next.
    """

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


def say_trouble(
    message: str, advice: str, *, as_json: bool = False, name: str = "UsageError", billed: Billed | None = Billed.NO
) -> None:
    """Say what went wrong that is no error of the library.

    Args:
        message: What it was.
        advice: What to do next.
        as_json: Whether machines are told.
        name: What machines know it by.
        billed: Whether it cost money; `None` where it has nothing to do with that.
    """
    if as_json:
        say_json({"event": "Error", "error": name, "message": message, "billed": billed, "advice": advice})
    else:
        _say(message.split("\n"), billed, advice)


def say_error(error: IdeogramError, *, as_json: bool = False, billed: Billed | None = None) -> None:
    """Say what happened, whether money was spent, and what to do.

    Args:
        error: What happened.
        as_json: Whether machines are told.
        billed: Whether what it is about was paid for, where the error speaks of a later step.
    """
    paid = error.billed if billed is None else billed
    if as_json:
        say_json({"event": "Error", **tell_error(error), "billed": paid})
        return

    message = worded(str(error)) or type(error).__name__
    links = error.links if isinstance(error, DecodeError) else ()
    _say([*message.split("\n"), *links], paid, advice_of(error))


def tell_error(error: IdeogramError) -> dict[str, Any]:
    """Put an error into fields, for machines."""
    return {
        "error": type(error).__name__,
        "message": worded(str(error)),
        "billed": error.billed,
        "retryable": error.retryable,
        "advice": advice_of(error),
        **({"links": error.links} if isinstance(error, DecodeError) else {}),
    }


def _say(lines: Sequence[str], billed: Billed | None, advice: str) -> None:
    target = console(sys.stderr)
    first, *rest = lines
    target.print(Text.assemble(("✗ ", "bold red"), (safe(first), "bold")))
    for line in rest:
        target.print(Text(f"  {safe(line.strip())}"), soft_wrap=True)

    words, colour = ("", "") if billed is None else PAID[billed]
    target.print(Text.assemble("  ", (f"{words} ".lstrip(), colour), safe(advice)))
