"""A job in one line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.cells import set_cell_size
from rich.text import Text

from ideogram_async._batch.job import ImageState, JobResult, JobState
from ideogram_async.cli.catalog import worded
from ideogram_async.cli.console import console, count, money, plain, safe
from ideogram_async.cli.errors import tell_error
from ideogram_async.errors import APIStatusError, DecodeError, SafetyError
from ideogram_async.files import FromJob
from ideogram_async.models.base import Price
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
    from ideogram_async.cli.catalog import makers

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


WITHHELD = "withheld as unsafe; it was paid for all the same"


def tell_answer(answer: Any, paths: Sequence[Path | None], price: Price | None) -> None:
    """Say what came: images one a line, descriptions as text, everything else field by field.

    Args:
        answer: What came.
        paths: Where its images are; empty if they were not to be stored.
        price: What they cost, where that is to be told.
    """
    target = console()
    if not isinstance(answer, ImageAnswer):
        for line in _lines(plain(answer)):
            target.print(Text(safe(line)))

        return

    images = list(_images(answer))
    _tell_images(images, paths)
    if price is not None:
        made = count(len(images), "image")
        told = f"{made} for {money(price.usd)}" if price.usd is not None else f"{made}; no price is known"
        target.print(Text(f"  {told}", "dim"))


def tell_paths(paths: Sequence[Path | None]) -> None:
    """Say what was stored, where nothing else is known of it."""
    for n, path in enumerate(paths):
        if path is not None:
            console().print(_image_line(n, str(path), path, "", is_kept=True), soft_wrap=True)


def _tell_images(images: Sequence[tuple[str | None, str]], paths: Sequence[Path | None]) -> None:
    for n, (link, facts) in enumerate(images):
        line = _image_line(n, link, paths[n] if n < len(paths) else None, facts, is_kept=bool(paths))
        console().print(line, soft_wrap=True)


def _images(answer: ImageAnswer) -> Iterator[tuple[str | None, str]]:
    for image in answer.images:
        if isinstance(image, LayerImage):
            yield image.url, image.layer
            continue

        size = getattr(image, "upscaled_resolution", None) or getattr(image, "resolution", "")
        seed = getattr(image, "seed", None)
        yield image.url, "  ".join([str(size)] * bool(size) + [f"seed {seed}"] * (seed is not None))


def _image_line(n: int, link: str | None, path: Path | None, facts: str, *, is_kept: bool) -> Text:
    if link is None:
        return Text.assemble((f"✗ {n + 1} ", "yellow"), WITHHELD)

    if path is not None:
        return Text.assemble((f"✓ {n + 1} ", "green"), (safe(path), "bold"), (f"  {safe(facts)}", "dim"))

    # A link that was not stored is the only thing left of what was paid for.
    sign = ("✗", "red") if is_kept else ("•", "green")
    return Text.assemble((f"{sign[0]} {n + 1} ", sign[1]), safe(link), (f"  {safe(facts)}", "dim"))


def _lines(told: Any, indent: str = "") -> Iterator[str]:
    match told:
        case dict():
            for name, value in told.items():
                yield from _named(name, value, indent)
        case list():
            for item in told:
                yield from _item(item, indent)
        case _:
            yield f"{indent}{told}"


def _named(name: str, value: Any, indent: str) -> Iterator[str]:
    if value is None:
        return

    if isinstance(value, dict | list):
        yield f"{indent}{name}:{'' if value else ' none'}"
        yield from _lines(value, indent + "  ")
    else:
        yield f"{indent}{name}: {value}"


def _item(item: Any, indent: str) -> Iterator[str]:
    first, *rest = list(_lines(item, indent + "  ")) or [f"{indent}  -"]
    yield f"{indent}- {first[len(indent) + 2 :]}"
    yield from rest


def tell_result(result: JobResult) -> dict[str, object]:
    """Put a result into fields, for machines."""
    return {
        "id": result.id,
        "key": result.key,
        "index": result.index,
        "operation": kind_of(result.request),
        "state": result.state,
        "cost_usd": result.cost_usd,
        "from_journal": result.from_journal,
        "images": result.images,
        "why": why(result) or None,
        "error": None if result.error is None else tell_error(result.error),
    }
