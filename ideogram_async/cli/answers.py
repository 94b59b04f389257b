"""Answers, told to people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from ideogram_async.cli.plain import plain
from ideogram_async.cli.say import console, count, money, safe
from ideogram_async.models.values import Price

__all__ = ["tell_answer", "tell_paths"]

WITHHELD = "withheld as unsafe; it was paid for all the same"


def tell_answer(answer: Any, paths: Sequence[Path | None], price: Price | None) -> None:
    """Say what came: images one a line, descriptions as text, everything else field by field.

    Args:
        answer: What came.
        paths: Where its images are; empty if they were not to be stored.
        price: What they cost, where that is to be told.
    """
    target = console()
    if type(answer).__module__ != "ideogram_async.models.images":
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


def _images(answer: Any) -> Iterator[tuple[str | None, str]]:
    if hasattr(answer, "base_image_url"):
        yield answer.base_image_url, "without text"
        if answer.original_image_url is not None:
            yield answer.original_image_url, "as it was"

        return

    for image in answer:
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
