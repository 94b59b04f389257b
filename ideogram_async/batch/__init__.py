"""Bulk runs that survive anything: a journal before the money, images whole on disk, nothing paid twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async.lazy import attach

if TYPE_CHECKING:
    from ideogram_async.batch.folder import Folder

__all__ = ["Folder"]

__getattr__, __dir__ = attach(__name__, __all__, ("folder",))
