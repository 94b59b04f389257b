"""Results of jobs, a line or a JSON object each."""

from __future__ import annotations

from collections import Counter

from rich.cells import set_cell_size
from rich.text import Text

from ideogram_async import ImageState, JobResult, JobState, StoredImage
from ideogram_async._batch.job import PROBLEM_TEXTS, UNRECORDED
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async._rows.fields import AnyRequest, operation_name, prompt_text
from ideogram_async._rows.options import row_operation
from ideogram_async.cli.catalog import rule_for_cli
from ideogram_async.cli.console import escape
from ideogram_async.cli.errors import to_json_error
from ideogram_async.errors import APIStatusError, DecodeError, SafetyError
from ideogram_async.files import FromJob

SIGNS = {
    JobState.DONE: ("✓", "green"),
    JobState.PARTIAL: ("◐", "yellow"),
    JobState.ANSWERED: ("◐", "yellow"),
    JobState.ACCEPTED: ("→", "cyan"),
    JobState.REJECTED: ("✗", "red"),
    JobState.AMBIGUOUS: ("?", "magenta"),
    JobState.PENDING: ("·", "dim"),
    JobState.SENDING: ("→", "cyan"),
}

LINKED = "still to be downloaded"

UNFINISHED = {
    JobState.PENDING: "not sent; the next run sends it",
    JobState.ACCEPTED: "accepted; the next run asks for its images",
    JobState.ANSWERED: "billed; the next run downloads its images",
    JobState.PARTIAL: "billed, but without images",
}

ID_WIDTH = 16
OPERATION_WIDTH = 20
COUNT_WIDTH = 9
USD_WIDTH = 9
WIDE = 90
"""Minimum number of columns for a line that includes the operation."""


def job_line(result: JobResult, width: int | None = None) -> Text:
    """Return a job as one line. A terminal may truncate it; `width` is its number of columns."""
    sign, color = SIGNS[result.state]
    stored = sum(image.state is ImageState.STORED for image in result.images)
    cost = "before" if result.from_journal else format_usd(result.cost_usd)
    is_wide = width is None or width >= WIDE
    return Text.assemble(
        (f"{sign} ", color),
        (set_cell_size(escape(result.id), ID_WIDTH), "bold"),
        f" {operation_name(type(result.request)):<{OPERATION_WIDTH}}" if is_wide else "",
        f" {pluralize(stored, 'image'):<{COUNT_WIDTH}}",
        (f"{cost:>{USD_WIDTH}}  ", "dim"),
        (escape(reason(result) or _subject(result.request)), color if result.state is not JobState.DONE else "dim"),
    )


def to_json_result(result: JobResult) -> dict[str, object]:
    """Return the fields of a result for JSON."""
    return {
        "id": result.id,
        "key": result.key,
        "index": result.index,
        "operation": row_operation(type(result.request), vars(result.request))[0],
        "state": result.state,
        "cost_usd": result.cost_usd,
        "from_journal": result.from_journal,
        "images": result.images,
        "carried": result.carried,
        "reason": reason(result) or None,
        "error": None if result.error is None else to_json_error(result.error),
    }


def reason(result: JobResult) -> str:
    """Return the reason that a job is not done, in a few words; empty if it is done."""
    match result.state:
        case JobState.DONE:
            return ""
        case JobState.AMBIGUOUS:
            return "outcome unknown; may have been billed"
        case _ if result.error is not None:
            return _error_line(result.error, str(result.request.endpoint))
        case _:
            return _missing_images(result)


def _subject(request: AnyRequest) -> str:
    """Return the prompt of a request, or the job whose image it uses."""
    source = getattr(getattr(request, "image", None), "source", None)
    origin = f"from {source.id}, image {source.index}" if isinstance(source, FromJob) else ""
    return prompt_text(request) or origin


def _error_line(error: Exception, operation: str) -> str:
    lines = [line.strip() for line in rule_for_cli(str(error)).splitlines() if line.strip()]
    if isinstance(error, SafetyError) and not lines:
        return "did not pass the safety check"

    if isinstance(error, DecodeError) and not str(error).startswith(UNRECORDED):
        return "the response cannot be read: " + "; ".join(lines[1:] or lines)

    if not isinstance(error, APIStatusError) and len(lines) > 1:
        return "; ".join(lines[1:])

    return lines[0].removeprefix(f"{operation}: ") if lines else type(error).__name__


def _missing_images(result: JobResult) -> str:
    parts = Counter(_image_problem(image) for image in result.images if image.state is not ImageState.STORED)
    if not parts:
        return UNFINISHED.get(result.state, str(result.state))

    (first, count), *others = parts.items()
    counts = [f"{count} of {pluralize(len(result.images), 'image')} {first}", *(f"{n} {other}" for other, n in others)]
    return f"{', '.join(counts)}; billed"


def _image_problem(image: StoredImage) -> str:
    if image.state is not ImageState.LINKED:
        return str(image.state)

    return LINKED if image.problem is None else f"{LINKED} ({PROBLEM_TEXTS[image.problem]})"
