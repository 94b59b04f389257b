"""Response headers. Separate from the decoder, so that reading them loads no converter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime


def retry_after_of(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds of Retry-After, a number or a date. A past date gives 0, an invalid value `None`."""
    value = headers.get("retry-after", "").strip()
    if not value:
        return None

    try:
        seconds = float(value)
    except ValueError:
        return _seconds_until(value, now or datetime.now(UTC))

    return max(0.0, seconds) if math.isfinite(seconds) else None


def _seconds_until(date: str, now: datetime) -> float | None:
    # Loads a part of `email` and `socket`, for a form that the service does not use.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return None

    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
