"""Sinks: where images go. A folder is one, and `ideogram_async.integrations.objects` has one for object stores."""

from __future__ import annotations

from ideogram_async._sinks.folder import FolderSink
from ideogram_async._sinks.sink import Facts, Sink, Stored

__all__ = ["Facts", "FolderSink", "Sink", "Stored"]
