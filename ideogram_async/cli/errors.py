"""Error messages: what happened, whether it was billed, and what to do."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from ideogram_async.cli.catalog import rule_for_cli
from ideogram_async.cli.console import error_console, escape, print_item, print_json, print_wrapped
from ideogram_async.cli.exit_codes import Exit, exit_code_for_error
from ideogram_async.cli.streams import output
from ideogram_async.errors import (
    APIStatusError,
    AuthenticationError,
    Billed,
    DecodeError,
    HostRefusedError,
    IdeogramError,
    ImageTooLargeError,
    InvalidRequestError,
    NotFoundError,
    NotSentError,
    RateLimitError,
    WaitTimeout,
)

ADVICE: dict[type[IdeogramError], str] = {
    AuthenticationError: "Set IDEOGRAM_API_KEY to a valid key.",
    HostRefusedError: "Only https links to public hosts are followed.",
    ImageTooLargeError: "The link still works: open it elsewhere.",
    InvalidRequestError: "Correct these fields, then retry.",
    NotFoundError: "Check the id, the path of a custom call, and IDEOGRAM_BASE_URL.",
    NotSentError: "Check the network, the proxy and IDEOGRAM_BASE_URL, then retry: ideogram-async doctor",
    RateLimitError: "Wait for other work on the account to end, then retry.",
}

BILLED = {
    Billed.NO: ("Nothing was billed.", "green"),
    Billed.YES: ("It was billed.", "yellow"),
    Billed.UNKNOWN: ("It may have been billed.", "yellow"),
}


class UsageError(Exception):
    """Usage error; nothing was spent.

    Args:
        message: The cause.
        advice: The next step.
    """

    def __init__(self, message: str, advice: str) -> None:
        super().__init__(message)
        self.advice = advice


def print_error(
    message: str, advice: str, *, as_json: bool = False, name: str = "UsageError", billed: Billed | None = Billed.NO
) -> None:
    """Print an error that is not an exception of the library.

    Args:
        message: The cause.
        advice: The next step.
        as_json: Whether to write JSON.
        name: The class of the error in JSON.
        billed: Whether it was billed; `None` if that is irrelevant.
    """
    if as_json:
        print_json({"event": "Error", "error": name, "message": message, "billed": billed, "advice": advice})

    if not as_json or output().is_lost:
        _print_lines(message.split("\n"), billed, advice)


def print_ideogram_error(
    error: IdeogramError, *, as_json: bool = False, billed: Billed | None = None, ends_batch: bool = False
) -> Exit:
    """Print an exception of the library and return its exit code.

    Args:
        error: The exception.
        as_json: Whether to write JSON.
        billed: Whether the call was billed, if the error belongs to a later step.
        ends_batch: Whether it ended a batch, whose report states what was billed.
    """
    billed = error.billed if billed is None else billed
    if as_json:
        print_json({"event": "Error", **to_json_error(error), "billed": billed})

    if not as_json or output().is_lost:
        message = rule_for_cli(str(error)) or type(error).__name__
        links = error.links if isinstance(error, DecodeError) else ()
        _print_lines(message.split("\n"), None if ends_batch else billed, advice_for(error), links)

    return exit_code_for_error(error)


def print_bug(error: Exception, *, as_json: bool) -> Exit:
    """Print an unexpected exception. A call may have been billed."""
    name = type(error).__name__
    advice = "This is a bug of this program; please report it."
    print_error(f"{name}: {error}", advice, as_json=as_json, name=name, billed=Billed.UNKNOWN)
    return Exit.FAILED


def to_json_error(error: IdeogramError) -> dict[str, object]:
    """Return the fields of an error for JSON."""
    return {
        "error": type(error).__name__,
        "message": rule_for_cli(str(error)),
        "billed": error.billed,
        "retryable": error.retryable,
        "advice": advice_for(error),
        **({"links": error.links} if isinstance(error, DecodeError) else {}),
    }


def advice_for(error: IdeogramError) -> str:
    """Return the next step after an error."""
    if isinstance(error, DecodeError) and error.billed is Billed.YES:
        images = "its images are at these links" if error.links else "it contains no link to an image"
        return f"Do not send it again; {images}."

    if isinstance(error, WaitTimeout):
        return f"To wait again, which costs nothing: ideogram-async wait {error.ticket}"

    if type(error) is APIStatusError:
        return "The service rejected it; if sent unchanged, it may fail again."

    has_own_advice = error.advice != type(error).advice
    return error.advice if has_own_advice else ADVICE.get(type(error), error.advice)


def _print_lines(lines: Sequence[str], billed: Billed | None, advice: str, links: Sequence[str] = ()) -> None:
    target = error_console()
    first, *others = lines
    print_item(target, "✗", "bold red", Text(escape(first), "bold"))
    for line in others:
        print_wrapped(target, Text("  "), Text(escape(line.strip())), indent=4)

    for link in links:
        target.print(Text(f"  {escape(link)}"), soft_wrap=True)

    text, color = ("", "") if billed is None else BILLED[billed]
    print_item(target, "", "", Text.assemble((f"{text} ".lstrip(), color), escape(advice)))
