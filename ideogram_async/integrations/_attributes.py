"""Conversion of events to attributes of logs and traces: plain values without secrets."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import attrs

from ideogram_async._redaction import RedactedStr
from ideogram_async.errors import Phase
from ideogram_async.events import Event, Failed

Attribute: TypeAlias = str | int | float | bool


def attributes_of(event: Event, *, prompts: bool = False) -> dict[str, Attribute]:
    """Return the fields of an event that are not `None`.

    The prompt is included only with `prompts`. So is the service's message for a rejected call, which may quote the
    prompt.
    """
    values: dict[str, object] = {field.name: getattr(event, field.name) for field in attrs.fields(type(event))}
    if isinstance(event, Failed) and event.phase is Phase.ANSWERING and not prompts:
        del values["message"]

    return {
        name: _plain(value)
        for name, value in values.items()
        if value is not None and (prompts or not isinstance(value, RedactedStr))
    }


def _plain(value: object) -> Attribute:
    match value:
        case RedactedStr():
            return value.reveal()
        case Enum():
            return str(value.value)
        case datetime():
            return value.isoformat()
        case Decimal() | Path():
            return str(value)
        case str():
            return _redact_urls(value)
        case int() | float():
            return value
        case _:
            return repr(value)


def _redact_urls(text: str) -> str:
    """Remove user names, passwords, queries and fragments from the URLs in a text: they grant access."""
    text = re.sub(r"(https?://)[^\s/?#@]*@", r"\1***@", text)
    return re.sub(r"(https?://[^\s?#\"'<>]*)[?#][^\s\"'<>]*", r"\1?***", text)
