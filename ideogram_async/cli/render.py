"""Rendering of answers and of jobs, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from rich.cells import set_cell_size
from rich.text import Text

from ideogram_async import ImageState, JobResult, JobState, Price
from ideogram_async.cli.catalog import AnyRequest, image_commands, rule_for_cli
from ideogram_async.cli.console import console, escape, format_usd, pluralize, to_json
from ideogram_async.cli.errors import to_json_error
from ideogram_async.errors import APIStatusError, DecodeError, SafetyError
from ideogram_async.files import FromJob
from ideogram_async.models.images import ImageAnswer, LayerImage

SIGNS = {
    JobState.DONE: ("✓", "green"),
    JobState.PARTIAL: ("◐", "yellow"),
    JobState.ANSWERED: ("◐", "yellow"),
    JobState.REJECTED: ("✗", "red"),
    JobState.AMBIGUOUS: ("?", "magenta"),
    JobState.PENDING: ("·", "dim"),
    JobState.SENDING: ("→", "cyan"),
}

IMAGE_STATES = {ImageState.LINKED: "still to be downloaded", ImageState.TOO_LARGE: "too large"}

UNFINISHED = {
    JobState.PENDING: "not sent; the next run sends it",
    JobState.ANSWERED: "billed; the next run downloads its images",
    JobState.PARTIAL: "billed, but without images",
}

WITHHELD = "withheld as unsafe, but billed"
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
        f" {operation_name(result.request):<{OPERATION_WIDTH}}" if is_wide else "",
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
        "operation": operation_name(result.request),
        "state": result.state,
        "cost_usd": result.cost_usd,
        "from_journal": result.from_journal,
        "images": result.images,
        "reason": reason(result) or None,
        "error": None if result.error is None else to_json_error(result.error),
    }


def operation_name(request: AnyRequest) -> str:
    """Return the name of a request's operation in a jobs file."""
    return next((name for name, command in image_commands().items() if command.request is type(request)), "")


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
    return str(getattr(request, "prompt", None) or origin)


def _error_line(error: Exception, operation: str) -> str:
    lines = [line.strip() for line in rule_for_cli(str(error)).splitlines() if line.strip()]
    if isinstance(error, SafetyError) and not lines:
        return "did not pass the safety check"

    if isinstance(error, DecodeError):
        return "the response cannot be read: " + "; ".join(lines[1:] or lines)

    if not isinstance(error, APIStatusError) and len(lines) > 1:
        return "; ".join(lines[1:])

    return lines[0].removeprefix(f"{operation}: ") if lines else type(error).__name__


def _missing_images(result: JobResult) -> str:
    states = [image.state for image in result.images if image.state is not ImageState.STORED]
    if states:
        parts = (f"{states.count(state)} {IMAGE_STATES.get(state, state)}" for state in dict.fromkeys(states))
        return f"{', '.join(parts)} of {pluralize(len(result.images), 'image')}, but billed"

    return UNFINISHED.get(result.state, str(result.state))


def print_answer(answer: object, paths: Sequence[Path | None], price: Price | None) -> None:
    """Print an answer: one image per line, everything else field by field.

    Args:
        answer: The answer.
        paths: The paths of its images; empty if none was stored.
        price: The price to print, if any.
    """
    target = console()
    if not isinstance(answer, ImageAnswer):
        for line in _field_lines(to_json(answer)):
            target.print(Text(escape(line)))

        return

    images = list(_links_and_facts(answer))
    for index, (link, facts) in enumerate(images):
        path = paths[index] if index < len(paths) else None
        target.print(_image_line(index, link, path, facts, is_stored=bool(paths)), soft_wrap=True)

    if price is not None:
        cost = "; unknown price" if price.usd is None else f" for {format_usd(price.usd)}"
        target.print(Text(f"  {pluralize(len(images), 'image')}{cost}", "dim"))


def print_paths(paths: Sequence[Path | None]) -> None:
    """Print the paths of images without other details."""
    for index, path in enumerate(paths):
        if path is not None:
            console().print(_image_line(index, str(path), path, "", is_stored=True), soft_wrap=True)


def _links_and_facts(answer: ImageAnswer) -> Iterator[tuple[str | None, str]]:
    for image in answer.images:
        if isinstance(image, LayerImage):
            yield image.url, image.layer
            continue

        size = getattr(image, "upscaled_resolution", None) or getattr(image, "resolution", "")
        seed = getattr(image, "seed", None)
        yield image.url, "  ".join([str(size)] * bool(size) + [f"seed {seed}"] * (seed is not None))


def _image_line(index: int, link: str | None, path: Path | None, facts: str, *, is_stored: bool) -> Text:
    if link is None:
        return Text.assemble((f"✗ {index + 1} ", "yellow"), WITHHELD)

    if path is not None:
        return Text.assemble((f"✓ {index + 1} ", "green"), (escape(path), "bold"), (f"  {escape(facts)}", "dim"))

    # The link of an image that was not stored is the only access to what was billed.
    sign, color = ("✗", "red") if is_stored else ("•", "green")
    return Text.assemble((f"{sign} {index + 1} ", color), escape(link), (f"  {escape(facts)}", "dim"))


def _field_lines(value: object, indent: str = "") -> Iterator[str]:
    match value:
        case Mapping():
            for name, item in value.items():
                yield from _named_lines(str(name), item, indent)
        case list():
            for item in value:
                first, *others = list(_field_lines(item, indent + "  ")) or [f"{indent}  -"]
                yield f"{indent}- {first[len(indent) + 2 :]}"
                yield from others
        case _:
            yield f"{indent}{value}"


def _named_lines(name: str, value: object, indent: str) -> Iterator[str]:
    if isinstance(value, Mapping | list):
        yield f"{indent}{name}:{'' if value else ' none'}"
        yield from _field_lines(value, indent + "  ")
    elif value is not None:
        yield f"{indent}{name}: {value}"
