"""Words of closed lists, written as text: in any case, and `unchecked:` before one that is newer than this library."""

from __future__ import annotations

from typing import Any

from ideogram_async.enums import Unchecked
from ideogram_async.requests.rules import Choice

__all__ = ["PREFIX", "word"]

PREFIX = "unchecked:"


def word(rule: Any, text: str) -> str:
    """Write a word of a closed list as the list does: `turbo` is `TURBO`. Other text stays as it is."""
    if not isinstance(rule, Choice):
        return text

    bare = text.strip()
    if bare.casefold().startswith(PREFIX):
        return Unchecked(bare[len(PREFIX) :])

    words = {each.casefold(): str(each) for each in rule.words}
    return words.get(bare.casefold(), text)
