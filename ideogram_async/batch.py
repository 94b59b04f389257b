"""Bulk runs that survive anything: a journal before the money, images whole on disk, nothing paid twice."""

from __future__ import annotations

from ideogram_async._batch.folder import Folder

__all__ = ["Folder"]
