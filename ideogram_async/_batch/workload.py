"""Images, price and duration of jobs that have not been sent."""

from __future__ import annotations

from decimal import Decimal

from attrs import define

from ideogram_async._operations import Request
from ideogram_async._wire.encode import weight_of

SECONDS_PER_IMAGE = {"FLASH": 3.0, "TURBO": 6.0, "DEFAULT": 12.0, "QUALITY": 20.0}
"""Measured by third parties. A model without speeds counts as the slowest."""
SLOWEST = max(SECONDS_PER_IMAGE.values())


@define
class Workload:
    """Totals of jobs."""

    jobs: int = 0
    images: int = 0
    usd: Decimal = Decimal(0)
    """The cost of all jobs with a known price."""
    unpriced: int = 0
    """Jobs whose price is not known."""
    quotable: int = 0
    """Those of them whose price the service states before they are sent."""
    seconds: float = 0.0
    """Estimated duration with one concurrency slot."""

    def add(self, request: Request[object], usd: Decimal | None) -> None:
        """Add a job with its price, if that is known."""
        images = weight_of(request)
        speed = str(getattr(request, "rendering_speed", None) or "DEFAULT")
        self.jobs += 1
        self.images += images
        self.usd += usd or 0
        self.unpriced += usd is None
        self.quotable += usd is None and request.endpoint.has_quote
        self.seconds += images * SECONDS_PER_IMAGE.get(speed, SLOWEST)
