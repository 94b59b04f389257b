"""Log records for events, with structured fields. Works with the standard library and with structlog."""

from __future__ import annotations

import logging
from typing import Any, Protocol

from ideogram_async import events
from ideogram_async.errors import Billed
from ideogram_async.integrations._attributes import attributes_of

__all__ = ["EventLog"]

LEVELS: dict[type[events.Event], int] = {
    events.Answered: logging.INFO,
    events.Downloaded: logging.INFO,
    events.JobStarted: logging.INFO,
    events.JobFinished: logging.INFO,
    events.BatchFinished: logging.INFO,
    events.Retrying: logging.WARNING,
    events.Throttled: logging.WARNING,
    events.BatchStopped: logging.WARNING,
    events.Failed: logging.WARNING,
}
"""Other events are DEBUG. A failure that may have been billed is an ERROR."""


class Logger(Protocol):
    """The part of a structlog logger that is used here."""

    def log(self, level: int, event: str, /, **attributes: object) -> object:
        """Write a record with fields."""
        ...


class EventLog:
    """A listener that logs each event: `Ideogram(on_event=EventLog())`.

    A logger of the standard library receives the event's name as the message, and the event's fields as attributes of
    the record. Their names begin with `ideogram_`, and a JSON formatter can write them. A structlog logger receives
    them as keyword arguments. The API key and signed links are never logged.

    Args:
        logger: Destination; the logger `ideogram_async.events` if omitted.
        capture_prompts: Whether to log prompts as well, and service messages that may quote them.
    """

    def __init__(
        self,
        logger: logging.Logger | logging.LoggerAdapter[Any] | Logger | None = None,
        *,
        capture_prompts: bool = False,
    ) -> None:
        self._logger = logging.getLogger("ideogram_async.events") if logger is None else logger
        self._prompts = capture_prompts

    def __call__(self, event: events.Event) -> None:
        """Log an event if its level is enabled."""
        level, name = level_of(event), type(event).__name__
        logger = self._logger
        if not isinstance(logger, logging.Logger | logging.LoggerAdapter):
            logger.log(level, name, **attributes_of(event, prompts=self._prompts))
        elif logger.isEnabledFor(level):
            attributes = attributes_of(event, prompts=self._prompts)
            fields = {f"ideogram_{key}": value for key, value in attributes.items()}
            logger.log(level, "%s %s", name, event.operation, extra=fields)


def level_of(event: events.Event) -> int:
    """Return the log level of an event."""
    if isinstance(event, events.Failed) and event.billed is not Billed.NO:
        return logging.ERROR

    return LEVELS.get(type(event), logging.DEBUG)
