"""Values that describe money and the limit."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from attrs import frozen

__all__ = ["LimiterStatistics", "Price"]


@frozen(kw_only=True)
class Price:
    """What a request will cost, as far as a dated table can tell."""

    usd: Decimal | None
    """The whole call; `None` where the price is not known."""
    per_image: Decimal | None
    """One output image, or one call where the service charges by the input."""
    as_of: date | None
    """The day on which the source was read."""
    source: str | None
    """Where the price stands, or `caller` for one that was passed in."""


@frozen(kw_only=True)
class LimiterStatistics:
    """How full the limit is, for the running event loop."""

    limit: float
    """Images that may be in progress now: what was configured, or less after a 429."""
    in_flight: int
    """Images in progress."""
    waiting: int
    """Calls that wait for places."""
    rejected: int
    """Calls that the service refused with 429."""
