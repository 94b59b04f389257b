"""What was billed, and what was billed twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from decimal import Decimal

from attrs import field, frozen

from ideogram_async.sandbox.records import Arrival

__all__ = ["Entry", "Ledger", "fingerprint"]


@frozen
class Entry:
    """One piece of work that was done and billed."""

    operation: str
    """Method and path template of the contract."""
    fingerprint: str = field(repr=False)
    """Equal for requests with the same operation and the same content."""
    images: int
    """How many images were made, withheld ones included."""
    usd: Decimal | None
    """The price, or `None` where no price is published (nothing is taken from the balance then)."""
    at: float
    """The moment on the box's clock, in Unix seconds."""


class Ledger:
    """Everything a box has billed since its start or last reset."""

    def __init__(self, balance_usd: Decimal | None = None) -> None:
        self._balance_usd = balance_usd
        self._reserved_usd = Decimal(0)
        self._billed_usd = Decimal(0)
        self._entries: list[Entry] = []

    def __repr__(self) -> str:
        return f"<Ledger entries={len(self.entries)} images={self.billed_images} usd={self.billed_usd}>"

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Give what was billed, in order."""
        return tuple(self._entries)

    @property
    def billed_images(self) -> int:
        """Count the images that were billed."""
        return sum(entry.images for entry in self.entries)

    @property
    def billed_usd(self) -> Decimal:
        """Sum up the prices; an entry without a price counts as nothing."""
        return self._billed_usd

    @property
    def duplicates(self) -> list[str]:
        """Give each fingerprint that was billed more than once."""
        counts = Counter(entry.fingerprint for entry in self.entries)
        return [content for content, count in counts.items() if count > 1]

    def reserve(self, usd: Decimal | None) -> bool:
        """Set money aside for work that begins, or say that the balance does not suffice."""
        wanted = usd or Decimal(0)

        if self._balance_usd is not None and self._billed_usd + self._reserved_usd + wanted > self._balance_usd:
            return False

        self._reserved_usd += wanted
        return True

    def release(self, usd: Decimal | None) -> None:
        """Free the money that was set aside."""
        self._reserved_usd -= usd or Decimal(0)

    def bill(self, entry: Entry) -> None:
        """Write down work that was done."""
        self._billed_usd += entry.usd or Decimal(0)
        self._entries.append(entry)


def fingerprint(arrival: Arrival) -> str:
    """Hash the operation and the content of a request, whatever the order of its parts."""
    digest = hashlib.sha256(arrival.operation.encode())

    for part in sorted(arrival.parts, key=lambda part: part.name):
        for piece in (part.name.encode(), part.body):
            digest.update(len(piece).to_bytes(8, "big") + piece)

    if arrival.json is not None:
        digest.update(json.dumps(arrival.json, sort_keys=True).encode())

    return digest.hexdigest()
