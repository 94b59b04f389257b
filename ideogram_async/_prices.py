"""What a request will cost, by a dated table that a caller can override. What is not known stays unknown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

from ideogram_async._operations import Request
from ideogram_async.models.base import Price

UNKNOWN = Price(usd=None, per_image=None, as_of=None, source=None)

FREE = Price(usd=Decimal(0), per_image=Decimal(0), as_of=None, source=None)

V3 = "/v1/ideogram-v3/"

# Charged by the call, however many images it makes.
BY_INPUT = {
    "/describe": "describe",
    "/upscale": "upscale",
    "/v1/ideogram-v3/layerize-text": "layerize-text",
    "/v1/ideogram-v3/train-model": "train-model",
    "/v1/remove-background": "remove-background",
}

LEGACY = ("/generate", "/edit", "/remix", "/reframe")


class PriceTable:
    """Prices in USD by rate, such as `v3.TURBO`.

    Args:
        overrides: Rates of your own, `{"v3.TURBO": "0.025"}`; the rest is the shipped table.

    Raises:
        ValueError: If an override names no rate of the table, or is no price.
    """

    def __init__(self, overrides: Mapping[str, Decimal | str | float] | None = None) -> None:
        self._rates = dict(bundled_prices())
        for name, usd in (overrides or {}).items():
            if name not in self._rates:
                raise ValueError(f"prices: no rate is called {name!r}; there are {', '.join(sorted(self._rates))}")

            self._rates[name] = _price(parse_usd(f"prices: {name}", usd), as_of=None, source="caller")

    def estimate(self, request: Request[Any]) -> Price:
        """Say what a request will cost if all its images are made."""
        path = request.endpoint.path
        if not request.endpoint.charged:
            return FREE

        price = self._rates.get(_rate_of(path, request), UNKNOWN)
        if price.per_image is None or path in BY_INPUT:
            return price

        images = getattr(request, "num_images", None)
        images = 1 if images is None else images
        if not isinstance(images, int) or images < 1:
            return UNKNOWN

        if images == 1:
            return price

        return Price(usd=price.per_image * images, per_image=price.per_image, as_of=price.as_of, source=price.source)


def _rate_of(path: str, request: Any) -> str:
    if path in BY_INPUT:
        return BY_INPUT[path]

    if path == "/v1/edit":
        return "edit"

    if path in LEGACY:
        return str(request.model or "V_2")

    if not path.startswith(V3):
        return ""

    return f"{_family(path, request)}.{request.rendering_speed or 'DEFAULT'}"


def _family(path: str, request: Any) -> str:
    if path.endswith("/generate-transparent"):
        return f"transparent-{request.upscale_factor or 'X1'}"

    if getattr(request, "custom_model_uri", None):
        # A custom model that keeps a character has no price of its own in any source.
        return "v3-custom" if not request.character_reference_images else ""

    return "v3-character" if getattr(request, "character_reference_images", None) else "v3"


@cache
def bundled_prices() -> dict[str, Price]:
    """Return the bundled price table by rate."""
    tables = json.loads(Path(__file__).with_name("prices.json").read_text())
    return {
        name: _price(Decimal(usd), as_of=date.fromisoformat(table["as_of"]), source=table["source"])
        for table in tables
        for name, usd in table["rates"].items()
    }


def _price(usd: Decimal, *, as_of: date | None, source: str) -> Price:
    return Price(usd=usd, per_image=usd, as_of=as_of, source=source)


def parse_usd(name: str, value: Decimal | str | float) -> Decimal:
    """Convert a value to an amount of money; errors start with `name`.

    Raises:
        ValueError: If the value is not a finite amount of at least zero.
    """
    try:
        usd = Decimal(str(value))
    except ArithmeticError:
        usd = Decimal("NaN")

    if not usd.is_finite() or usd < 0:
        raise ValueError(f"{name} must be an amount in USD, not {value!r}")

    return usd
