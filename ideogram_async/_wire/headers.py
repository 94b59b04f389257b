"""Response headers. Separate from the decoder, so that reading them loads no converter."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime

MAX_HEADER_BYTES = 2 * 2**20
"""The longest line of a header that is read: some gateways add long policies."""

MAX_HEADERS = 10_000
"""The largest number of headers that are read."""


def retry_after_of(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds of Retry-After, a number or a date. A past date gives 0, an invalid value `None`."""
    value = headers.get("retry-after", "").strip(" \t")
    # `float` would also accept `1_0`, `1e3` and the digits of other scripts.
    if not re.fullmatch(r"-?[0-9]+(\.[0-9]*)?", value):
        return _seconds_until(value, now or datetime.now(UTC)) if value else None

    seconds = float(value)
    return max(0.0, seconds) if math.isfinite(seconds) else None


def date_of(headers: Mapping[str, str]) -> datetime | None:
    """Return the time of a response by its sender's clock; `None` if `Date` is missing or invalid."""
    return _parse_date(headers.get("date", ""))


def _seconds_until(date: str, now: datetime) -> float | None:
    moment = _parse_date(date)
    return None if moment is None else max(0.0, (moment - now).total_seconds())


def _parse_date(date: str) -> datetime | None:
    # Loads a part of `email` and `socket`, for a form that few responses need.
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(date)
    except (TypeError, ValueError, OverflowError):
        return None

    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
