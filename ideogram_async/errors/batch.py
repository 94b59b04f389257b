"""A batch cannot begin, or cannot go on. None of these has cost anything."""

from __future__ import annotations

from ideogram_async.errors.base import IdeogramError

__all__ = ["BatchError", "BatchLockedError", "JobConflictError", "JournalError"]


class BatchError(IdeogramError):
    """A batch cannot use its folder. Nothing was sent on that account."""

    advice = "Look into the folder that is named; what it holds is kept."


class BatchLockedError(BatchError):
    """Another process is at work in the folder."""

    retryable = True
    advice = "Wait until the other process ends, or choose another folder."


class JournalError(BatchError):
    """The folder's journal is damaged, foreign, or belongs to another service. It is never started afresh."""

    advice = "Keep the folder: its journal says what was paid for. Restore it from a copy, or begin in a new folder."


class JobConflictError(BatchError):
    """A job's id already stands for another request."""

    advice = "Give the changed request another id: what the first one made has been paid for."
