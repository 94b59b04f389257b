"""Jobs that are settled and whose results nobody takes any more: the journal tells of them."""

from __future__ import annotations

from pathlib import Path

import attrs

from ideogram_async.batch.job import JobResult
from ideogram_async.batch.reading import entry_of
from ideogram_async.batch.settled import Settled
from ideogram_async.cli.displays import Display
from ideogram_async.errors import BatchError
from ideogram_async.events import Event, JobFinished

__all__ = ["Untold"]


class Untold:
    """Stands between a batch and what shows it, and sees to it that every settled job is told.

    Args:
        folder: The batch's folder.
        display: What shows it.
    """

    def __init__(self, folder: Path, display: Display) -> None:
        self._folder = folder
        self._display = display
        self._settled = Settled(folder)
        self._keys: dict[str, None] = {}
        """What was settled, and not yet taken. No more than the batch itself keeps."""
        self._is_left = False

    def event(self, event: Event) -> None:
        """Something happened."""
        self._display.event(event)
        if isinstance(event, JobFinished):
            self._keys[event.call_id] = None
            if self._is_left:
                self.tell_all()

    def result(self, result: JobResult) -> None:
        """A result was taken."""
        self._keys.pop(result.key, None)
        self._display.result(result)

    def tell_all(self) -> None:
        """Tell what was settled so far, and from now on whatever will be."""
        self._is_left = True
        keys, self._keys = list(self._keys), {}
        for key in keys:
            if (result := self._found(key)) is not None:
                self._display.result(result)

    def _found(self, key: str) -> JobResult | None:
        try:
            entry = entry_of(self._folder, key)
            return None if entry is None else attrs.evolve(self._settled.result(entry), from_journal=False)
        except (BatchError, OSError):
            # It is told in the report.
            return None
