"""Open folder of a batch: its lock, journal and inputs, and the sink of its images."""

from __future__ import annotations

import os
from contextlib import ExitStack, closing, suppress
from functools import partial
from pathlib import Path

from attrs import frozen

from ideogram_async._batch.inputs import InputStore
from ideogram_async._batch.journal import meta
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async._batch.journal.opening import OnLoss
from ideogram_async._batch.journal.schema import HIDDEN
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._download.atomic import remove_stale_files
from ideogram_async._download.disk import make_folder, sync, sync_folder
from ideogram_async._download.held import HeldFolder
from ideogram_async._sinks.folder import FolderSink
from ideogram_async._sinks.sink import Sink


@frozen(kw_only=True)
class Workspace:
    """A batch folder that this process has locked and holds open. Closing its journal releases both."""

    folder: Path
    held: HeldFolder
    hidden: HeldFolder
    """The folder of the journal."""
    journal: Journal
    inputs: InputStore
    sink: Sink
    """The destination of the images."""
    sink_uri: str | None
    """The URI of the sink, if it is not the folder."""

    @classmethod
    def open(cls, folder: Path, *, origin: str, on_loss: OnLoss = "refuse", sink: Sink | None = None) -> Workspace:
        """Create the folder if it is missing, lock it, and open its journal. Blocks.

        Args:
            folder: The folder of the batch.
            origin: The service that it belongs to.
            on_loss: What to do with a journal that lost records.
            sink: Where the images go; the folder itself if not passed.

        Raises:
            BatchLockedError: If another process holds the folder.
            JournalError: If its journal cannot be trusted.
            OSError: If the folder cannot be written. Checked before anything is sent.
        """
        path = folder / HIDDEN
        resources = ExitStack()
        try:
            held, hidden = _lock(folder, path, resources)

            def check() -> None:
                held.check()
                hidden.check()

            journal = Journal(
                path / "journal.sqlite3", origin=origin, on_loss=on_loss, before_send=check, on_close=resources.close
            ).open()
        except BaseException as error:
            resources.close()
            _add_file_name(error, folder)
            raise

        try:
            # Not before: a folder whose journal is refused is not changed.
            for each in (folder, path, path / "inputs"):
                remove_stale_files(each)
        except BaseException:
            journal.close()
            raise

        inputs = InputStore(hidden.absolute / "inputs", before_copy=check)
        return cls(
            folder=folder,
            held=held,
            hidden=hidden,
            journal=journal,
            inputs=inputs,
            sink=FolderSink(held) if sink is None else sink,
            sink_uri=None if sink is None else sink.uri,
        )

    async def check_sink(self) -> None:
        """Record the sink in the journal, and check that it can be reached. Does not block.

        Raises:
            JournalError: If the images of earlier runs are elsewhere.
            Exception: What the sink raises: `OSError` if it cannot be written.
        """
        await self.journal.run(partial(meta.claim_sink, uri=self.sink_uri))
        if self.sink_uri is not None:
            await self.sink.head(HIDDEN)


def _lock(folder: Path, path: Path, resources: ExitStack) -> tuple[HeldFolder, HeldFolder]:
    """Create the folders of a batch and of its journal, hold and lock them, and check that they can be written."""
    make_folder(folder)
    make_folder(path, mode=0o700)
    held = resources.enter_context(closing(HeldFolder(folder)))
    hidden = resources.enter_context(closing(HeldFolder(path)))
    resources.callback(FolderLock(path / "lock").acquire().release)
    _write_probe(folder)
    _sync_folders(path)
    return held, hidden


def _add_file_name(error: BaseException, folder: Path) -> None:
    # An error of a write or a sync names no file.
    if isinstance(error, OSError) and error.filename is None:
        error.filename = str(folder)


def _sync_folders(path: Path) -> None:
    """Make the journal's folder durable: the process that created it may have been killed before it was."""
    for each in (path, path.parent):
        sync_folder(each)

    # The folder above may be unreadable.
    with suppress(PermissionError):
        sync_folder(path.parent.parent)


def _write_probe(folder: Path) -> None:
    probe = folder / ".ideogram-probe"
    handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        os.write(handle, b"writable")
        sync(handle)
    finally:
        os.close(handle)
        probe.unlink()
