"""Account usage: what was billed, in time buckets."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal

from ideogram_async.sandbox.contract import Fields
from ideogram_async.sandbox.ledger import Entry
from ideogram_async.sandbox.records import JsonObject, RefusalError
from ideogram_async.sandbox.resources import format_time
from ideogram_async.sandbox.state import State

WIDTHS = {"1d": timedelta(days=1), "1h": timedelta(hours=1)}
MAX_BUCKETS = {"1d": 92, "1h": 168}


def account_usage(state: State, fields: Fields) -> JsonObject:
    """Return the bills of a span of time; the sandbox has billed nothing in the app.

    Raises:
        RefusalError: If the span is negative, or longer than the service allows.
    """
    width = fields.get("bucket_width", "1d")
    start = datetime.fromisoformat(fields["start_time"]).timestamp()
    end = datetime.fromisoformat(fields["end_time"]).timestamp() if "end_time" in fields else state.now
    seconds = WIDTHS[width].total_seconds()
    if not 0 <= end - start <= MAX_BUCKETS[width] * seconds:
        raise RefusalError(400, f"start_time: the span must be 0 to {MAX_BUCKETS[width]} buckets of {width}")

    is_listed = "api" in fields.get("sources", ["api"])
    entries = [entry for entry in state.ledger.entries if is_listed and start <= entry.billed_at < end]
    starts = [start + index * seconds for index in range(MAX_BUCKETS[width]) if start + index * seconds < end]
    return {"buckets": [_bucket(first, min(first + seconds, end), entries) for first in starts]}


def _bucket(start: float, end: float, entries: list[Entry]) -> JsonObject:
    lines: dict[tuple[str, Decimal], list[Entry]] = {}
    for entry in entries:
        if start <= entry.billed_at < end and entry.usd is not None:
            path, unit_price = entry.operation.partition(" ")[2], entry.usd / max(entry.images, 1)
            lines.setdefault((path, unit_price), []).append(entry)

    items = [_line_item(path, unit_price, billed) for (path, unit_price), billed in lines.items()]
    return {"start_time": format_time(start), "end_time": format_time(end), "line_items": items}


def _line_item(path: str, unit_price: Decimal, entries: list[Entry]) -> JsonObject:
    """Return one line; amounts are decimal text."""
    quantity = sum(max(entry.images, 1) for entry in entries)
    return {
        "api_key": {"id": "c2FuZGJveC1rZXktMDAwMQ", "label": "sandbox", "redacted_key": None},
        "billed_units": {"quantity": str(quantity), "unit": "image", "unit_price": str(unit_price)},
        "cost_total": str(sum(entry.usd or 0 for entry in entries)),
        "currency_code": "USD",
        "description": f"Sandbox {path}",
        "endpoint": path,
        "product": path.strip("/").replace("/", "_").replace("-", "_"),
        "source": "api",
    }
