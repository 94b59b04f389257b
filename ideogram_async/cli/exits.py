"""What the exit code says."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from ideogram_async.errors import BatchError, Billed, IdeogramError, InvalidRequestError

if TYPE_CHECKING:
    from ideogram_async.batch.report import Report

__all__ = ["Exit", "of_error", "of_report", "worst"]


class Exit(IntEnum):
    """The exit codes, each with one meaning for every command."""

    OK = 0
    FAILED = 1
    """Some jobs failed, or images were withheld or lost."""
    USAGE = 2
    """The command cannot be done as it was given; nothing was spent on it."""
    AMBIGUOUS = 3
    """Something may have run, and may have been paid for."""
    STOPPED = 4
    """A batch stopped early, also by one Ctrl-C; the same command goes on."""
    INTERRUPTED = 130
    """A second Ctrl-C: what was on its way is in doubt."""


RANK = (Exit.OK, Exit.FAILED, Exit.AMBIGUOUS, Exit.STOPPED, Exit.INTERRUPTED, Exit.USAGE)


def worst(codes: Iterable[Exit]) -> Exit:
    """Choose the code that matters most: 2 before 130, 4, 3 and 1."""
    return max(codes, key=RANK.index, default=Exit.OK)


def of_report(report: Report) -> Exit:
    """Say how a batch ended."""
    has_failed = bool(report.failures or report.images_withheld or report.images_lost)
    found = {
        Exit.FAILED: has_failed,
        Exit.AMBIGUOUS: bool(report.ambiguous),
        Exit.STOPPED: report.stopped is not None,
    }
    return worst(code for code, is_so in found.items() if is_so)


def of_error(error: IdeogramError) -> Exit:
    """Say what an error means for the command that met it."""
    if isinstance(error, InvalidRequestError | BatchError):
        return Exit.USAGE

    return Exit.AMBIGUOUS if error.billed is Billed.UNKNOWN else Exit.FAILED
