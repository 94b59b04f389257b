"""What was billed, and what was billed twice."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from attrs import field, frozen

from ideogram_async.sandbox.contract import Route
from ideogram_async.sandbox.records import Arrival

__all__ = ["Entry", "Ledger", "Places", "fingerprint", "image_count", "price"]


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


class Places:
    """Places for images in progress; a request takes all it needs, or none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self.peak = 0

    def take(self, weight: int) -> bool:
        """Take places, or say that they are not free."""
        if weight and self.taken + weight > self.limit:
            return False

        self.taken += weight
        self.peak = max(self.peak, self.taken)
        return True

    def leave(self, weight: int) -> None:
        """Give places back."""
        self.taken -= weight


_PRICES = Path(__file__).parents[1] / "prices.json"

_FLAT = {
    "POST /v1/remove-background": "remove-background",
    "POST /v1/ideogram-v3/layerize-text": "layerize-text",
    "POST /describe": "describe",
    "POST /upscale": "upscale",
    "POST /v1/ideogram-v3/train-model": "train-model",
}

_WITHOUT_IMAGES = ("POST /describe", "POST /v1/ideogram-v3/train-model")

Fields = dict[str, Any]


@lru_cache(maxsize=1)
def _rates() -> dict[str, Decimal]:
    tables = json.loads(_PRICES.read_text(encoding="utf-8"))
    return {key: Decimal(usd) for table in tables for key, usd in table["rates"].items()}


def image_count(route: Route, fields: Fields) -> int:
    """Say how many images a request makes."""
    return 0 if route.operation in _WITHOUT_IMAGES else int(fields.get("num_images", 1))


def price(route: Route, fields: Fields) -> Decimal | None:
    """Give the price of a request in USD, or `None` where no price is published."""
    if route.operation in _FLAT:
        return _rates().get(_FLAT[route.operation])

    each = _rates().get(_key(route, fields))
    return None if each is None else each * image_count(route, fields)


def _key(route: Route, fields: Fields) -> str:
    if route.operation == "POST /v1/edit":
        return "edit"
    if not route.path.startswith("/v1/"):
        return str(fields.get("model", "V_2"))

    return f"{_family(route, fields)}.{fields.get('rendering_speed', 'DEFAULT')}"


def _family(route: Route, fields: Fields) -> str:
    if route.path.endswith("/generate-transparent"):
        return f"transparent-{fields.get('upscale_factor', 'X1')}"
    if fields.get("character_reference_images"):
        return "v3-character"

    return "v3-custom" if "custom_model_uri" in fields else "v3"
