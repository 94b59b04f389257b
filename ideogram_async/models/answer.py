"""What every answer and every object in it has."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

from ideogram_async.models.reply import Reply

__all__ = ["Answer", "Item"]


@frozen(kw_only=True)
class Item:
    """An object inside an answer."""

    extra: dict[str, Any] = field(factory=dict, eq=False, repr=False)
    """What the service sent beyond the contract, as parsed JSON."""


@frozen(kw_only=True)
class Answer(Item):
    """What a call gives back."""

    meta: Reply = field(default=Reply(status=200, raw=b""), eq=False, repr=False)
    """Status, request id, headers, attempts, seconds and bytes of the reply it was read from."""
