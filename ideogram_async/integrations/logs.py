"""Events in your log, as records with fields. It needs nothing but the standard library; structlog is welcome."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from ideogram_async.errors import Billed
from ideogram_async.events import (
    Answered,
    BatchFinished,
    BatchStopped,
    Downloaded,
    Event,
    Failed,
    JobFinished,
    JobStarted,
    Retrying,
    Throttled,
)
from ideogram_async.integrations._attributes import attributes_of

__all__ = ["EventLog"]

LEVELS: dict[type[Event], int] = {
    Answered: logging.INFO,
    Downloaded: logging.INFO,
    JobStarted: logging.INFO,
    JobFinished: logging.INFO,
    BatchFinished: logging.INFO,
    Retrying: logging.WARNING,
    Throttled: logging.WARNING,
    BatchStopped: logging.WARNING,
    Failed: logging.WARNING,
}

"""All others are DEBUG, and a failure that may have cost money is an ERROR."""


class Logger(Protocol):
    """What a logger of structlog can do."""

    def log(self, level: int, event: str, /, **facts: Any) -> Any:
        """Write a record with fields."""
        ...


class EventLog:
    """Writes each event down: `Ideogram(on_event=EventLog())`.

    A logger of the standard library gets the event's name as the message, and its facts as fields of the record whose
    names begin with `ideogram_`, where a formatter for JSON finds them. A logger of structlog gets the facts as
    keyword arguments. Neither gets a key, a link that opens, or a prompt.

    Args:
        logger: Where they go; the logger `ideogram_async.events` if not given.
        capture_prompts: Whether prompts are written down as well, and the service's words that may quote them.
    """

    def __init__(
        self,
        logger: logging.Logger | logging.LoggerAdapter[Any] | Logger | None = None,
        *,
        capture_prompts: bool = False,
    ) -> None:
        self._logger = logging.getLogger("ideogram_async.events") if logger is None else logger
        self._prompts = capture_prompts

    def __call__(self, event: Event) -> None:
        """Write it down, if its level is asked for."""
        level, name = level_of(event), type(event).__name__
        logger = self._logger
        if not isinstance(logger, logging.Logger | logging.LoggerAdapter):
            logger.log(level, name, **attributes_of(event, prompts=self._prompts))
        elif logger.isEnabledFor(level):
            facts = attributes_of(event, prompts=self._prompts)
            fields = {f"ideogram_{key}": fact for key, fact in facts.items()}
            logger.log(level, "%s %s", name, event.operation, extra=fields)


def level_of(event: Event) -> int:
    """Say how loud an event is."""
    if isinstance(event, Failed) and event.billed is not Billed.NO:
        return logging.ERROR

    return LEVELS.get(type(event), logging.DEBUG)
