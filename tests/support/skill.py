"""The skill for coding agents, by its parts."""

from __future__ import annotations

from ideogram_async._skill import SKILL
from support.pages import fenced

__all__ = ["TEXT", "blocks", "program"]

TEXT = SKILL.read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the blocks of a language."""
    return fenced(TEXT, language)


def program(name: str) -> str:
    """Return the program with a name such as `shop.py`."""
    [code] = [block for block in blocks("python") if block.startswith(f"# {name}\n")]
    return code
