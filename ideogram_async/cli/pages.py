"""The gallery, made for a command."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from ideogram_async.batch.folder import Folder
from ideogram_async.cli.say import console
from ideogram_async.cli.trouble import UsageError

__all__ = ["busy", "can_draw", "make_gallery"]


def make_gallery(folder: Path, *, as_json: bool) -> Path:
    """Make the page.

    Raises:
        OSError: If it cannot be written.
        UsageError: If what draws it is not installed.
    """
    if not can_draw():
        raise UsageError("The gallery needs jinja2 and Pillow.", "Install them: pip install 'ideogram-async[cli]'")

    with busy("Drawing the gallery", as_json=as_json):
        return Folder(folder).gallery()


def can_draw() -> bool:
    """Whether what draws the page is installed."""
    return find_spec("jinja2") is not None and find_spec("PIL") is not None


@contextmanager
def busy(words: str, *, as_json: bool) -> Generator[None]:
    """Show in a terminal that something takes a while."""
    target = console(sys.stderr)
    if as_json or not target.is_terminal:
        yield
        return

    with target.status(f"{words} …"):
        yield
