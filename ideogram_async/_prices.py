"""Cost estimates from a dated price table that callers can override. An unknown price stays unknown."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from decimal import Decimal
from functools import cache
from pathlib import Path

import attrs

from ideogram_async._operations import Request
from ideogram_async.models.base import Price
from ideogram_async.v2._rules import parse_size

UNKNOWN = Price(usd=None, per_image=None, as_of=None, source=None)
FREE = Price(usd=Decimal(0), per_image=Decimal(0), as_of=None, source=None)

# Billed per call, regardless of the number of images.
PER_CALL = {
    "/describe": "describe",
    "/upscale": "upscale",
    "/v1/ideogram-v3/layerize-text": "layerize-text",
    "/v1/ideogram-v3/train-model": "train-model",
    "/v1/remove-background": "remove-background",
}

LEGACY = ("/generate", "/edit", "/remix", "/reframe")

TIERS = {"quality": "high", "rendering_speed": "default"}
"""Fields of the second contract that set the price, and the tier that counts if they are left open."""
SMALL_AREA = 2048 * 2048
"""Pixels up to which the lower price of a tier applies. The size auto counts as small, one left open as large."""


class PriceTable:
    """Prices in USD by rate, such as `v3.TURBO`.

    Args:
        overrides: Your own rates, `{"v3.TURBO": "0.025"}`. They replace those of the bundled price table.

    Raises:
        ValueError: If an override names an unknown rate, or its price is not an amount in USD.
    """

    def __init__(self, overrides: Mapping[str, Decimal | str | float] | None = None) -> None:
        self._rates = dict(bundled_prices())
        for name, usd in (overrides or {}).items():
            if name not in self._rates:
                raise ValueError(f"prices: unknown rate {name!r}; expected one of {', '.join(sorted(self._rates))}")

            self._rates[name] = _price(parse_usd(f"prices: {name}", usd), as_of=None, source="caller")

    def estimate(self, request: Request[object]) -> Price:
        """Return the price of a request if the service makes all its images."""
        if isinstance(request, type) or not hasattr(request, "endpoint"):
            raise TypeError(f"estimate takes a request such as Generate(...), not {type(request).__name__}")

        path = request.endpoint.path
        if not request.endpoint.charged:
            return FREE

        names = _rate_names(path, request) if path.startswith("/v2/") else (_rate_name(path, request),)
        price = next((self._rates[name] for name in names if name in self._rates), UNKNOWN)
        if price.per_image is None or path in PER_CALL:
            return price

        images = getattr(request, "num_images", None)
        images = 1 if images is None else images
        if not isinstance(images, int) or images < 1:
            return UNKNOWN

        return attrs.evolve(price, usd=price.per_image * images)


def parse_usd(name: str, value: Decimal | str | float) -> Decimal:
    """Return an amount of money as a decimal. A float counts as printed: `0.1` is ten cents.

    Raises:
        ValueError: If the value is not a finite number, or is negative. The message begins with `name`.
    """
    try:
        usd = Decimal(str(value))
    except ArithmeticError:
        usd = Decimal("NaN")

    if not usd.is_finite() or usd < 0:
        raise ValueError(f"{name} must be an amount in USD, not {value!r}")

    return usd


def format_usd(usd: Decimal | None) -> str:
    """Format an amount with cents, and with more digits only if it has more."""
    if usd is None:
        return "unknown price"

    exact = f"{usd.normalize():f}"
    _, _, digits = exact.partition(".")
    return f"{usd.normalize():,f} USD" if len(digits) > 2 else f"{usd:,.2f} USD"


def _rate_name(path: str, request: Request[object]) -> str:
    if path in PER_CALL:
        return PER_CALL[path]

    if path == "/v1/edit":
        return "edit"

    if path in LEGACY:
        return str(getattr(request, "model", None) or "V_2")

    if not path.startswith("/v1/ideogram-v3/"):
        return ""

    return f"{_rate_family(path, request)}.{getattr(request, 'rendering_speed', None) or 'DEFAULT'}"


def _rate_names(path: str, request: Request[object]) -> Iterator[str]:
    """Yield the names of rates of the second contract; the first one in the table applies."""
    if request.mode_fields or getattr(request, "extra", None):
        # What a field that is not in the contract costs is unknown.
        return

    *_, action, model = path.split("/")
    tiers = (f".{getattr(request, name) or tier}" for name, tier in TIERS.items() if hasattr(request, name))
    tier = next(tiers, "")
    for area in _areas(request):
        yield f"v2/{action}/{model}{area}{tier}"


def _areas(request: Request[object]) -> Iterator[str]:
    if (area := getattr(request, "output_resolution", "")) != "":
        yield f"-{area or '1k'}"
        return

    text = getattr(request, "size", "auto")
    size = (1, 1) if text == "auto" else parse_size(str(text))
    is_large = size is not None and size[0] * size[1] > SMALL_AREA
    if size is None or is_large:
        yield "-large"
    if not is_large:
        yield ""


def _rate_family(path: str, request: Request[object]) -> str:
    if path.endswith("/generate-transparent"):
        return f"transparent-{getattr(request, 'upscale_factor', None) or 'X1'}"

    has_character = bool(getattr(request, "character_reference_images", None))
    if getattr(request, "custom_model_uri", None):
        # No source lists a price for a custom model with a character reference.
        return "" if has_character else "v3-custom"

    return "v3-character" if has_character else "v3"


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
