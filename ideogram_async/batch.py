"""Bulk runs that survive crashes: each call is journaled before it is sent, and nothing is paid twice."""

from __future__ import annotations

from ideogram_async._batch.folder import Folder

__all__ = ["Folder"]
