"""The folder of a batch, open: lock, journal, inputs. Everything here blocks, and belongs in a thread."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from ideogram_async._batch.inputs import Inputs
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async._batch.journal.schema import HIDDEN
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._download.atomic import remove_stale_files
from ideogram_async._download.disk import make_folder, sync

PROBE = ".ideogram-probe"


@frozen(kw_only=True)
class Office:
    """Where a batch keeps its books."""

    folder: Path
    journal: Journal
    inputs: Inputs
    lock: FolderLock

    @classmethod
    def open(cls, folder: Path, *, origin: str) -> Office:
        """Make the folder if it is not there, take it, and open its journal.

        Raises:
            BatchLockedError: If another process is at work there.
            JournalError: If its journal cannot be trusted.
            OSError: If it cannot be written; noticed before anything is sent.
        """
        make_folder(folder)
        hidden = folder / HIDDEN
        hidden.mkdir(mode=0o700, exist_ok=True)
        lock = FolderLock(hidden / "lock").take()
        try:
            _probe(folder)
            for written in (folder, hidden / "inputs"):
                remove_stale_files(written)

            journal = Journal.open(hidden / "journal.sqlite3", origin=origin, on_end=lock.release)
        except BaseException:
            lock.release()
            raise

        return cls(folder=folder, journal=journal, inputs=Inputs(hidden / "inputs"), lock=lock)

    def close(self) -> None:
        """Finish the books, and let go of the folder."""
        self.journal.close()

    def let_go(self) -> None:
        """Have that done, and wait for nothing."""
        self.journal.let_go()


def _probe(folder: Path) -> None:
    probe = folder / PROBE
    handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, b"can be written")
        sync(handle)
    finally:
        os.close(handle)
        probe.unlink()
