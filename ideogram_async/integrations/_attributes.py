"""What of an event may be written down where others read it: plain values, no prompt, no link that opens."""

from __future__ import annotations

import re
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from ideogram_async._redaction import RedactedStr
from ideogram_async.errors import Phase
from ideogram_async.events import Event, Failed

Fact: TypeAlias = str | int | float | bool


def attributes_of(event: Event, *, prompts: bool = False) -> dict[str, Fact]:
    """Name the facts of an event, without those that are `None`.

    The prompt is among them only if `prompts` says so, and so is what the service wrote when it refused a call: it
    may quote the prompt.
    """
    facts: dict[str, Any] = {field.name: getattr(event, field.name) for field in attrs.fields(type(event))}
    if isinstance(event, Failed) and event.phase is Phase.ANSWERING and not prompts:
        del facts["message"]

    return {
        name: _plain(value)
        for name, value in facts.items()
        if value is not None and (prompts or not isinstance(value, RedactedStr))
    }


def _plain(value: Any) -> Fact:
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
            return _scrubbed(value)
        case int() | float():
            return value
        case _:
            return repr(value)


def _scrubbed(text: str) -> str:
    """Take users, passwords, queries and fragments out of the URLs in a text: who has them opens what they lead to."""
    text = re.sub(r"(https?://)[^\s/?#@]*@", r"\1***@", text)
    return re.sub(r"(https?://[^\s?#\"'<>]*)[?#][^\s\"'<>]*", r"\1?***", text)
