"""The root of all errors, and of requests that break rules."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

__all__ = [
    "Billed",
    "IdeogramError",
    "InvalidRequestError",
    "Phase",
]


class Billed(StrEnum):
    """Whether a call was paid for."""

    NO = "no"
    """It certainly did not run."""
    YES = "yes"
    """It ran: an answer says so, even if the answer cannot be read."""
    UNKNOWN = "unknown"
    """It was sent, and nothing tells whether it ran."""


class Phase(StrEnum):
    """How far an attempt had come."""

    QUEUED = "queued"
    """Waiting for a place, or between two attempts."""
    CONNECTING = "connecting"
    """Looking up the host, connecting, or agreeing on TLS: not one byte of the request had left."""
    SENT = "sent"
    """The request was leaving or had left; no answer had begun."""
    ANSWERING = "answering"
    """The status line had come."""


class IdeogramError(Exception):
    """The root of every error that this library raises on its own account."""

    billed: Billed = Billed.NO
    retryable: bool = False
    """Whether the same call may be sent again: that cannot pay twice, and it may help."""
    advice: str = ""
    """What to do next, in a sentence."""

    def __reduce__(self) -> tuple[Any, ...]:
        # The default would call `__init__` with `args` alone, and lose every keyword.
        return _restore, (type(self), self.args, self.__dict__)


class InvalidRequestError(IdeogramError, ValueError):
    """A request breaks one or more rules; nothing was sent and nothing was spent."""

    advice = "Correct the fields that are named, and send again."

    def __init__(self, problems: Iterable[tuple[str, str]], *, subject: str = "request") -> None:
        self.problems: tuple[tuple[str, str], ...] = tuple(problems)
        """Every fault at once, as `(field, rule)`."""

        lines = "".join(f"\n  {field}: {rule}" for field, rule in self.problems)
        super().__init__(f"invalid {subject}, nothing was sent:{lines}")


def _restore(kind: type[IdeogramError], args: tuple[Any, ...], state: dict[str, Any]) -> IdeogramError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
