"""What every answer and every object in it has."""

from __future__ import annotations

from typing import Any

import attrs
from attrs import field, frozen

from ideogram_async.models.reply import Reply

__all__ = ["Answer", "Item"]


@frozen(kw_only=True, repr=False)
class Item:
    """An object inside an answer."""

    extra: dict[str, Any] = field(factory=dict, eq=False, repr=False)
    """What the service sent beyond the contract, as parsed JSON."""

    def __repr__(self) -> str:
        # Written once, and not made by attrs for each class: that is a third of the time a class takes to load.
        fields = (field.name for field in attrs.fields(type(self)) if field.repr)
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in fields)})"


@frozen(kw_only=True, repr=False)
class Answer(Item):
    """What a call gives back."""

    meta: Reply = field(default=Reply(status=200, raw=b""), eq=False, repr=False)
    """Status, request id, headers, attempts, seconds and bytes of the reply it was read from."""
