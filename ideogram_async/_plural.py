"""Numbers with their nouns, as people read them."""

from __future__ import annotations

__all__ = ["pluralize"]


def pluralize(number: int, noun: str) -> str:
    """Return `1 image`, `2 images`, `5,000 images`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
