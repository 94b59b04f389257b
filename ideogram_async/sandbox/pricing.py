"""Prices that the contract file lists, and quotes."""

from __future__ import annotations

from decimal import Decimal

from attrs import frozen

from ideogram_async.sandbox.contract import Fields, Route, Schema
from ideogram_async.sandbox.declared_rules import SOURCES, has
from ideogram_async.sandbox.ledger import image_count
from ideogram_async.sandbox.recipe import Size
from ideogram_async.sandbox.records import JsonObject

MICRO = Decimal("0.000001")


@frozen
class Charge:
    """The price of a call."""

    quantity: int
    unit_usd: Decimal | None
    """The price of one image, or of the call; `None` if none is published."""
    worst_unit_usd: Decimal | None
    """The most that it may be; the price itself if that is published, rather than assumed."""
    is_exact: bool
    """Whether the price is published, rather than assumed."""

    @property
    def usd(self) -> Decimal | None:
        return None if self.unit_usd is None else self.unit_usd * self.quantity


def charge_of(route: Route, fields: Fields, size: Size) -> Charge:
    """Return the price of a call of the second contract that makes images of a size."""
    price = route.price
    quantity = max(image_count(route, fields), 1)
    if not price:
        return Charge(quantity, None, None, is_exact=False)

    usd = _unit_price(price, fields, size)
    is_exact = not any(_is_assumed(price, fields, name) for name in price.get("assumed", {}))
    return Charge(quantity, usd, usd if is_exact else max([usd, *_tier_prices(price, fields)]), is_exact)


def quote_of(route: Route, fields: Fields, size: Size) -> JsonObject:
    """Return the reply to a call with `dry_run`."""
    charge = charge_of(route, fields, size)
    micros = _micros(charge.usd)
    worst = _micros(charge.worst_unit_usd) * charge.quantity
    return {
        "object": "price_quote",
        "billing_identifier": billing_identifier(route),
        "quantity": charge.quantity,
        "usd_micros": micros,
        "credit_millis": micros // 10,
        "qualifier": "exact" if charge.is_exact else "estimate",
        **({} if charge.is_exact else {"upper_bound_usd_micros": worst}),
    }


def billing_identifier(route: Route) -> str:
    """Return the name of what is billed, such as `ideogram_4_5_generate`."""
    model = route.path.rpartition("/")[2]
    return f"{model}_{route.action}".replace("-", "_")


def _micros(usd: Decimal | None) -> int:
    return int((usd or 0) / MICRO)


def _unit_price(price: Schema, fields: Fields, size: Size) -> Decimal:
    if "per_pixels" in price:
        usd = Decimal(price["usd"]) * size[0] * size[1] / int(price["per_pixels"])
        return usd.quantize(MICRO)
    if isinstance(price["usd"], str):
        return Decimal(price["usd"])

    return Decimal(_rates(price, fields, size)[fields.get(price["by"]) or _default_tier(price, fields)])


def _rates(price: Schema, fields: Fields, size: Size) -> Schema:
    """Return the prices by tier; those of large images are higher, where the size was given."""
    rates: Schema = price["usd"]
    large: Schema = price.get("large", {})
    if not large or not has(fields, "size"):
        return rates

    return {**rates, **large["usd"]} if size[0] * size[1] > large["above_pixels"] else rates


def _default_tier(price: Schema, fields: Fields) -> str:
    has_sources = any(has(fields, name) for name in SOURCES)
    tier: str = price.get("default_with_sources", price["default"]) if has_sources else price["default"]
    return tier


def _is_assumed(price: Schema, fields: Fields, name: str) -> bool:
    """Return whether no price is published for the value of a field."""
    return fields.get(name) in price.get("assumed", {}).get(name, ())


def _tier_prices(price: Schema, fields: Fields) -> list[Decimal]:
    """Return the prices of a tier for all sizes, and those of all tiers if no price of it is published."""
    name = price.get("by", "")
    tables = [price["usd"], price.get("large", {}).get("usd", {})] if name else []
    tiers = {tier for rates in tables for tier in rates} if _is_assumed(price, fields, name) else {fields.get(name)}
    return [Decimal(usd) for rates in tables for tier, usd in rates.items() if tier in tiers]
