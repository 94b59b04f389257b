"""Requirements of the package: an operating system with POSIX file locks, and for some modules an extra."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager


def require_posix() -> None:
    """Raise an `ImportError` on Windows.

    A function, so that type checkers that run on Windows still analyze the module that calls it.
    """
    if sys.platform == "win32":
        raise ImportError(
            "ideogram_async does not run on Windows, which lacks the file locks and durable renames that keep a batch"
            " from paying twice. Use it in WSL: https://learn.microsoft.com/windows/wsl/install"
        )


@contextmanager
def needs_extra(feature: str, extra: str) -> Generator[None]:
    """Name the extra to install if an import in the block finds that a package is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("ideogram_async"):
            raise

        message = f"{feature} needs the extra {extra}: pip install 'ideogram-async[{extra}]'"
        raise ImportError(message, name=error.name) from None
