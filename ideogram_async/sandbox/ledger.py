"""Billing: what was billed, the price of each request, and the concurrency slots."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from decimal import Decimal

from attrs import field, frozen

from ideogram_async._prices import bundled_prices
from ideogram_async.sandbox.contract import Fields, Route
from ideogram_async.sandbox.records import RecordedRequest

# Operations with one price per call, regardless of the number of images.
FLAT_RATES = {
    "POST /v1/remove-background": "remove-background",
    "POST /v1/ideogram-v3/layerize-text": "layerize-text",
    "POST /describe": "describe",
    "POST /upscale": "upscale",
    "POST /v1/ideogram-v3/train-model": "train-model",
}
WITHOUT_IMAGES = ("POST /describe", "POST /v1/ideogram-v3/train-model")

# How a call is answered, which does not change what it buys.
MODE_FIELDS = ("async", "webhook_url")


@frozen
class Entry:
    """One call that ran and was billed."""

    operation: str
    """Method and path template of the contract."""
    fingerprint: str = field(repr=False)
    """Equal for requests with the same operation and the same content."""
    images: int
    """The number of images that were made, withheld ones included."""
    usd: Decimal | None
    """The price; `None` if none is published, which leaves the balance unchanged."""
    billed_at: float
    """The time on the sandbox's clock, in Unix seconds."""


class Ledger:
    """Everything that a sandbox has billed since its start or last reset."""

    def __init__(self, balance_usd: Decimal | None = None) -> None:
        self._balance_usd = balance_usd
        self._reserved_usd = Decimal(0)
        self._billed_usd = Decimal(0)
        self._entries: list[Entry] = []

    def __repr__(self) -> str:
        return f"<Ledger entries={len(self._entries)} images={self.billed_images} usd={self.billed_usd}>"

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The billed calls, in order."""
        return tuple(self._entries)

    @property
    def billed_images(self) -> int:
        """The number of billed images."""
        return sum(entry.images for entry in self._entries)

    @property
    def billed_usd(self) -> Decimal:
        """The sum of the prices; an entry without a price counts as zero."""
        return self._billed_usd

    @property
    def duplicates(self) -> list[str]:
        """Each fingerprint that was billed more than once."""
        counts = Counter(entry.fingerprint for entry in self._entries)
        return [content for content, count in counts.items() if count > 1]

    def reserve(self, usd: Decimal | None) -> bool:
        """Reserve the price of a call; return whether the balance is sufficient."""
        needed = self._billed_usd + self._reserved_usd + (usd or 0)
        if self._balance_usd is not None and needed > self._balance_usd:
            return False

        self._reserved_usd += usd or 0
        return True

    def release(self, usd: Decimal | None) -> None:
        """Release a reserved price."""
        self._reserved_usd -= usd or 0

    def bill(self, entry: Entry) -> None:
        """Record a call that ran."""
        self._billed_usd += entry.usd or 0
        self._entries.append(entry)


class Slots:
    """Concurrency slots, one for each image in progress; a call acquires all that it needs, or none."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.in_flight: int = 0
        self.peak: int = 0

    def acquire(self, weight: int) -> bool:
        """Acquire slots; return whether they were available."""
        if weight and self.in_flight + weight > self.limit:
            return False

        self.in_flight += weight
        self.peak = max(self.peak, self.in_flight)
        return True

    def release(self, weight: int) -> None:
        """Release slots."""
        self.in_flight -= weight


def fingerprint(request: RecordedRequest) -> str:
    """Hash the operation and the content of a request, independently of the order of its parts and of its mode."""
    digest = hashlib.sha256(request.operation.encode())
    parts = [part for part in request.parts if part.name not in MODE_FIELDS]
    for part in sorted(parts, key=lambda part: part.name):
        for piece in (part.name.encode(), part.body):
            digest.update(len(piece).to_bytes(8, "big") + piece)

    if isinstance(request.json, dict):
        content = {name: value for name, value in request.json.items() if name not in MODE_FIELDS}
        digest.update(json.dumps(content, sort_keys=True).encode())

    return digest.hexdigest()


def image_count(route: Route, fields: Fields) -> int:
    """Return the number of images that a request makes."""
    makes_none = route.operation in WITHOUT_IMAGES or route.mode == "sync"
    return 0 if makes_none else int(fields.get("num_images", 1))


def price_of(route: Route, fields: Fields) -> Decimal | None:
    """Return the price of a request in USD, or `None` if none is published.

    Independent of the client's own estimate, so that the two can be compared.
    """
    price = bundled_prices().get(_rate_of(route, fields))
    if price is None or price.usd is None:
        return None

    return price.usd if route.operation in FLAT_RATES else price.usd * image_count(route, fields)


def _rate_of(route: Route, fields: Fields) -> str:
    if route.operation in FLAT_RATES:
        return FLAT_RATES[route.operation]
    if route.operation == "POST /v1/edit":
        return "edit"
    if not route.path.startswith("/v1/"):
        return str(fields.get("model", "V_2"))

    return f"{_family_of(route, fields)}.{fields.get('rendering_speed', 'DEFAULT')}"


def _family_of(route: Route, fields: Fields) -> str:
    if route.path.endswith("/generate-transparent"):
        return f"transparent-{fields.get('upscale_factor', 'X1')}"
    if fields.get("character_reference_images"):
        return "v3-character"

    return "v3-custom" if "custom_model_uri" in fields else "v3"
