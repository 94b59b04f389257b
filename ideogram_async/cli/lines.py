"""A job in one line."""

from __future__ import annotations

from typing import Any

from rich.cells import set_cell_size
from rich.text import Text

from ideogram_async.batch.job import ImageState, JobResult, JobState
from ideogram_async.cli.say import count, money, safe
from ideogram_async.cli.wording import worded
from ideogram_async.errors import APIStatusError, DecodeError, SafetyError
from ideogram_async.files import FromJob

__all__ = ["ID_WIDTH", "SIGNS", "brief", "job_line", "kind_of", "why"]

SIGNS = {
    JobState.DONE: ("✓", "green"),
    JobState.PARTIAL: ("◐", "yellow"),
    JobState.ANSWERED: ("◐", "yellow"),
    JobState.REJECTED: ("✗", "red"),
    JobState.AMBIGUOUS: ("?", "magenta"),
    JobState.PENDING: ("·", "dim"),
    JobState.SENDING: ("→", "cyan"),
}
STATES = {ImageState.LINKED: "still to be collected", ImageState.TOO_LARGE: "too large"}
WAITING = {
    JobState.PENDING: "not sent; the next run sends it",
    JobState.ANSWERED: "paid for; the next run looks for its images",
    JobState.PARTIAL: "paid for, and without images",
}
ID_WIDTH = 16
KIND_WIDTH = 20
COUNT_WIDTH = 9
MONEY_WIDTH = 9
WIDE = 90


def job_line(result: JobResult, width: int | None = None) -> Text:
    """Tell a job in a line that a terminal may cut at its end; a narrow one has no place for the operation."""
    sign, colour = SIGNS[result.state]
    stored = sum(image.state is ImageState.STORED for image in result.images)
    told = why(result) or about(result.request)
    cost = "before" if result.from_journal else money(result.cost_usd)
    is_wide = width is None or width >= WIDE
    return Text.assemble(
        (f"{sign} ", colour),
        (set_cell_size(safe(result.id), ID_WIDTH), "bold"),
        f" {kind_of(result.request):<{KIND_WIDTH}}" if is_wide else "",
        f" {count(stored, 'image'):<{COUNT_WIDTH}}",
        (f"{cost:>{MONEY_WIDTH}}  ", "dim"),
        (safe(told), colour if result.state is not JobState.DONE else "dim"),
    )


def about(request: Any) -> str:
    """Say what a request is about: its prompt, or the job whose image it takes."""
    earlier = getattr(getattr(request, "image", None), "source", None)
    came_from = f"from {earlier.id}, image {earlier.index}" if isinstance(earlier, FromJob) else ""
    return str(getattr(request, "prompt", None) or came_from)


def kind_of(request: Any) -> str:
    """Name a request's operation, in the words of a jobs file."""
    from ideogram_async.cli.operations import makers

    return next((name for name, named in makers().items() if named.request is type(request)), "")


def why(result: JobResult) -> str:
    """Say in a few words why a job is not done; empty if it is."""
    match result.state:
        case JobState.DONE:
            return ""
        case JobState.AMBIGUOUS:
            return "may have run, and may have been paid for"
        case _ if result.error is not None:
            return brief(result.error, str(result.request.endpoint))
        case _:
            return _what_became(result)


def brief(error: Exception, operation: str) -> str:
    """Say in a line what an error is about."""
    lines = [line.strip() for line in worded(str(error)).splitlines() if line.strip()]
    if isinstance(error, SafetyError) and not lines:
        return "did not pass the safety check"

    if isinstance(error, DecodeError):
        return "the answer cannot be read: " + "; ".join(lines[1:] or lines)

    if not isinstance(error, APIStatusError) and len(lines) > 1:
        return "; ".join(lines[1:])

    return lines[0].removeprefix(f"{operation}: ") if lines else type(error).__name__


def _what_became(result: JobResult) -> str:
    states = [image.state for image in result.images if image.state is not ImageState.STORED]
    if states:
        told = ", ".join(f"{states.count(state)} {STATES.get(state, state)}" for state in dict.fromkeys(states))
        return f"{told} of {count(len(result.images), 'image')}, paid all the same"

    return WAITING.get(result.state, str(result.state))
