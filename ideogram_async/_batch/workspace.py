"""Open folder of a batch: its lock, journal and inputs. Everything here blocks."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from ideogram_async._batch.inputs import InputStore
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async._batch.journal.schema import HIDDEN
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._download.atomic import remove_stale_files
from ideogram_async._download.disk import make_folder, sync


@frozen(kw_only=True)
class Workspace:
    """A batch folder that this process has locked. Closing its journal releases the lock."""

    folder: Path
    journal: Journal
    inputs: InputStore

    @classmethod
    def open(cls, folder: Path, *, origin: str) -> Workspace:
        """Create the folder if it is missing, lock it, and open its journal.

        Raises:
            BatchLockedError: If another process holds the folder.
            JournalError: If its journal cannot be trusted.
            OSError: If the folder cannot be written. Checked before anything is sent.
        """
        make_folder(folder)
        hidden = folder / HIDDEN
        make_folder(hidden, mode=0o700)
        lock = FolderLock(hidden / "lock").acquire()
        try:
            _write_probe(folder)
            for path in (folder, hidden / "inputs"):
                remove_stale_files(path)

            journal = Journal.open(hidden / "journal.sqlite3", origin=origin, on_close=lock.release)
        except BaseException:
            lock.release()
            raise

        return cls(folder=folder, journal=journal, inputs=InputStore(hidden / "inputs"))


def _write_probe(folder: Path) -> None:
    probe = folder / ".ideogram-probe"
    handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, b"writable")
        sync(handle)
    finally:
        os.close(handle)
        probe.unlink()
