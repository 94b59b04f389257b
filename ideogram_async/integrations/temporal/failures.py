"""Errors of calls as failures of activities and workflows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import cast

from temporalio.exceptions import ApplicationError

from ideogram_async.errors import IdeogramError
from ideogram_async.integrations._steps import error_from_json, error_to_json

_classes: dict[str, type[IdeogramError]] = {}


def to_failure(error: IdeogramError, *, is_final: bool) -> ApplicationError:
    """Return the failure of an activity.

    Args:
        error: The error, which crosses as JSON.
        is_final: Whether no further attempt can help.
    """
    seconds: float | None = getattr(error, "retry_after", None)
    return ApplicationError(
        str(error),
        error_to_json(error),
        type=type(error).__name__,
        non_retryable=is_final,
        next_retry_delay=None if seconds is None or is_final else timedelta(seconds=seconds),
    )


def from_details(details: Sequence[object]) -> IdeogramError | None:
    """Return the error in the details of a failure; `None` if it is another one."""
    match [*details]:
        case [dict(data)] if {"type", "message"} <= data.keys():
            return error_from_json(data)
        case _:
            return None


def ending_workflow(error: IdeogramError) -> IdeogramError:
    """Return the same error as one that ends a workflow that does not catch it.

    Other exceptions suspend a workflow until its code is corrected.
    """
    name = type(error).__name__
    kind = _ending(name, type(error))
    ending = kind.__new__(kind, str(error))
    ApplicationError.__init__(
        cast(ApplicationError, ending), str(error), error_to_json(error), type=name, non_retryable=True
    )
    ending.args = error.args
    vars(ending).update(vars(error))
    return ending


def _ending(name: str, kind: type[IdeogramError]) -> type[IdeogramError]:
    if name not in _classes:
        _classes[name] = type(name, (kind, ApplicationError), {"__doc__": kind.__doc__, "__module__": kind.__module__})

    return _classes[name]
