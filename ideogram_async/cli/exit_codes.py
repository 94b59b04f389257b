"""Exit codes of the commands."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from ideogram_async import JobState
from ideogram_async.errors import BatchError, Billed, IdeogramError, InvalidRequestError, LedgerError, WaitTimeout

if TYPE_CHECKING:
    from ideogram_async import Report


class Exit(IntEnum):
    """Exit code. Each has one meaning for every command."""

    OK = 0
    FAILED = 1
    """Some jobs failed, or images were withheld or lost."""
    USAGE = 2
    """Usage error, or a folder or ledger that cannot be used."""
    AMBIGUOUS = 3
    """Some outcomes are unknown and may have been billed."""
    UNFINISHED = 4
    """A batch stopped early, also by one Ctrl-C, or accepted jobs or images are missing; the same command resumes. A
    generation is not finished; `wait` waits again."""
    INTERRUPTED = 130
    """A second Ctrl-C: the outcome of calls in flight is unknown."""


SEVERITY = (Exit.OK, Exit.FAILED, Exit.AMBIGUOUS, Exit.UNFINISHED, Exit.INTERRUPTED, Exit.USAGE)


def worst(codes: Iterable[Exit]) -> Exit:
    """Return the most severe code: 2 before 130, 4, 3 and 1."""
    return max(codes, key=SEVERITY.index, default=Exit.OK)


def exit_code_for_report(report: Report) -> Exit:
    """Return the exit code of a batch."""
    has_open_jobs = any(report.by_state.get(state) for state in (JobState.ACCEPTED, JobState.ANSWERED))
    conditions = {
        Exit.FAILED: bool(report.failures or report.images_withheld or report.images_lost),
        Exit.AMBIGUOUS: bool(report.ambiguous),
        Exit.UNFINISHED: report.stopped is not None or report.images_linked > 0 or has_open_jobs,
    }
    return worst(code for code, holds in conditions.items() if holds)


def exit_code_for_error(error: IdeogramError) -> Exit:
    """Return the exit code of a command that ended with an error."""
    if isinstance(error, InvalidRequestError | BatchError | LedgerError):
        return Exit.USAGE

    if isinstance(error, WaitTimeout):
        return Exit.UNFINISHED

    return Exit.AMBIGUOUS if error.billed is Billed.UNKNOWN else Exit.FAILED
