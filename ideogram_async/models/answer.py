"""What every answer and every object in it has."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from ideogram_async.models.reply import Reply
from ideogram_async.value import Value

__all__ = ["Answer", "Item"]


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Item(Value):
    """An object inside an answer."""

    extra: dict[str, Any] = field(factory=dict, eq=False, repr=False)
    """What the service sent beyond the contract, as parsed JSON."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Answer(Item):
    """What a call gives back."""

    meta: Reply = field(default=Reply(status=200, raw=b""), eq=False, repr=False)
    """Status, request id, headers, attempts, seconds and bytes of the reply it was read from."""
