"""What the headers and the body of a refusal say."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from ideogram_async.models.reply import Reply

__all__ = ["body_of", "max_in_flight_of", "retry_after_of"]

DEEPEST = 50


def retry_after_of(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Read Retry-After, in seconds or as a date; nonsense and the past are `None` and 0."""
    given = headers.get("retry-after", "").strip()
    if not given:
        return None

    try:
        seconds = float(given)
    except ValueError:
        return _until(given, now or datetime.now(UTC))

    return max(0.0, seconds) if math.isfinite(seconds) else None


def max_in_flight_of(reply: Reply) -> int | None:
    """Read how many images the service allows at once, where a refusal says so.

    Source: https://developer.ideogram.ai/ideogram-api/rate-limits
    """
    told: Any = body_of(reply)
    limit = told.get("max_inflight_requests") if isinstance(told, dict) else None
    return limit if type(limit) is int and limit >= 1 else None


def body_of(reply: Reply) -> Any:
    """Parse a refusal's body; what is no JSON, or nested beyond all sense, stays text."""
    try:
        body = reply.json()
    except ValueError:
        body = None
    else:
        if _is_shallow(body):
            return body

    return reply.raw.decode(errors="replace")


def _is_shallow(value: Any) -> bool:
    """Whether a value can be copied and pickled, which Python does one level in another."""
    level = [value]
    for _ in range(DEEPEST):
        inner = [item.values() if isinstance(item, dict) else item for item in level if isinstance(item, dict | list)]
        level = [item for items in inner for item in items]

    return not level


def _until(given: str, now: datetime) -> float | None:
    try:
        moment = parsedate_to_datetime(given)
    except (TypeError, ValueError, OverflowError):
        return None

    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
