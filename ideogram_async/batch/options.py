"""How a batch is run."""

from __future__ import annotations

from decimal import Decimal

from attrs import field, frozen
from attrs.validators import ge

from ideogram_async.batch.names import Names

__all__ = ["BatchOptions"]


def _amount(given: Decimal | str | float | None) -> Decimal | None:
    if given is None:
        return None

    try:
        amount = Decimal(str(given))
    except ArithmeticError:
        raise ValueError(f"max_cost_usd must be an amount in USD, not {given!r}") from None

    if not amount.is_finite() or amount < 0:
        raise ValueError(f"max_cost_usd must be an amount in USD, not {given!r}")

    return amount


def _names(template: str | None) -> Names:
    return Names(template)


@frozen(kw_only=True)
class BatchOptions:
    """How a batch is run."""

    max_cost_usd: Decimal | None = field(converter=_amount)
    max_downloads: int = field(validator=ge(1))
    retry_ambiguous: bool
    names: Names = field(converter=_names)
    ordered: bool
    sidecars: bool
