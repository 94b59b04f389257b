"""The commands that stay on this machine; they have options of their own, and need no key."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

__all__ = ["demo", "sandbox"]

Words = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]


def demo(*words: Words) -> int:
    """Make some images against a sandbox; buys nothing."""
    from ideogram_async.demo import main

    return main(words, prog="ideogram-async demo")


def sandbox(*words: Words) -> int:
    """Serve a sandbox until Ctrl-C: a local stand-in that behaves and bills alike, and costs nothing."""
    from ideogram_async.sandbox.command import main

    return main(words, prog="ideogram-async sandbox")
