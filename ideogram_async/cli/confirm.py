"""Confirmation of an expensive step in a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from contextlib import aclosing
from decimal import Decimal

from rich.text import Text

from ideogram_async.cli.console import console, print_label_line
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.stdin import read_stdin

CONFIRMED_USD = Decimal(25)
"""A higher price is confirmed, as is an unknown one of a batch."""


def can_ask() -> bool:
    """Return whether a question can be shown and answered."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


async def confirm(
    facts: Iterable[Text],
    *,
    question: str = "Send this?",
    refusal: str = "Not confirmed: nothing was sent.",
    otherwise: str,
) -> None:
    """Print facts about a step, and ask whether to take it.

    Args:
        facts: The lines to print.
        question: The question.
        refusal: The error for an answer other than yes.
        otherwise: Advice for an answer other than yes.

    Raises:
        UsageError: If the answer is not yes.
    """
    target = console(sys.stderr)
    for line in facts:
        print_label_line(target, line)

    target.print(Text(f"{question} [y/N] ", "bold"), end="")
    answer = b""
    try:
        async with aclosing(read_stdin()) as lines:
            answer = await anext(lines, b"")
    finally:
        if not answer:
            # Neither the end of the input nor an interrupt ends the line of the question.
            target.print()

    if answer.strip().lower() not in (b"y", b"yes"):
        raise UsageError(refusal, otherwise)
