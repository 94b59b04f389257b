"""Jobs of an input that a run into a folder would send."""

from __future__ import annotations

import sqlite3
from collections import Counter
from pathlib import Path

from attrs import define, field, frozen

from ideogram_async._batch.costs import NOT_BILLED
from ideogram_async._batch.job import JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.reader import read_snapshot
from ideogram_async._batch.journal.schema import HIDDEN
from ideogram_async._batch.workload import Workload


@frozen
class RecordedJob:
    """A job of a journal, without its request and reply."""

    state: JobState
    fingerprint: str
    resends: int


@define
class Resumption:
    """The work that a run into a folder would send, counted by a plan.

    Args:
        recorded: The jobs of the folder, by key.
        retry_ambiguous: Whether the run sends ambiguous jobs again.
        retry_rejected: Whether it sends rejected jobs again.
    """

    recorded: dict[str, RecordedJob] = field(factory=dict)
    retry_ambiguous: bool = False
    retry_rejected: bool = False
    sent: Workload = field(factory=Workload, init=False)
    """Jobs to send."""
    skipped: Counter[JobState] = field(factory=Counter, init=False)
    """Jobs of the input that are not sent, by state."""

    def conflict(self, key: str, fingerprint: str) -> str | None:
        """Return why a job cannot be registered, if the folder has another request under its id."""
        job = self.recorded.get(key)
        if job is None or job.fingerprint == fingerprint or (job.state in NOT_BILLED and not job.resends):
            return None

        return (
            f"is already used by a different request, which is {job.state} and may have been billed; choose another id"
        )

    def skipped_state(self, key: str, fingerprint: str) -> JobState | None:
        """Return the state of a job that the run does not send, or `None` for one that it sends."""
        job = self.recorded.get(key)
        if job is None or job.state is JobState.PENDING:
            return None

        match job.state:
            case JobState.REJECTED if self.retry_rejected or job.fingerprint != fingerprint:
                return None
            case JobState.AMBIGUOUS | JobState.SENDING:
                return None if self.retry_ambiguous else JobState.AMBIGUOUS
            case state:
                return state


def read_recorded(folder: Path) -> dict[str, RecordedJob]:
    """Return the jobs of a folder, by key; none if it has no journal.

    Raises:
        JournalError: If the journal cannot be trusted.
    """
    if not (folder / HIDDEN).exists():
        return {}

    def read(database: sqlite3.Connection) -> dict[str, RecordedJob]:
        return {key: RecordedJob(*facts) for key, facts in queries.job_states(database)}

    return read_snapshot(folder, read)
