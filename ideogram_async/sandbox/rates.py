"""What a piece of work costs, by the published prices."""

from __future__ import annotations

import json
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import Any

from ideogram_async.sandbox.contract import Route

__all__ = ["image_count", "price"]

_PRICES = Path(__file__).parents[1] / "prices.json"
_FLAT = {
    "POST /v1/remove-background": "remove-background",
    "POST /v1/ideogram-v3/layerize-text": "layerize-text",
    "POST /describe": "describe",
    "POST /upscale": "upscale",
    "POST /v1/ideogram-v3/train-model": "train-model",
}
_WITHOUT_IMAGES = ("POST /describe", "POST /v1/ideogram-v3/train-model")

Fields = dict[str, Any]


@lru_cache(maxsize=1)
def _rates() -> dict[str, Decimal]:
    tables = json.loads(_PRICES.read_text(encoding="utf-8"))
    return {key: Decimal(usd) for table in tables for key, usd in table["rates"].items()}


def image_count(route: Route, fields: Fields) -> int:
    """Say how many images a request makes."""
    return 0 if route.operation in _WITHOUT_IMAGES else int(fields.get("num_images", 1))


def price(route: Route, fields: Fields) -> Decimal | None:
    """Give the price of a request in USD, or `None` where no price is published."""
    if route.operation in _FLAT:
        return _rates().get(_FLAT[route.operation])

    each = _rates().get(_key(route, fields))
    return None if each is None else each * image_count(route, fields)


def _key(route: Route, fields: Fields) -> str:
    if route.operation == "POST /v1/edit":
        return "edit"
    if not route.path.startswith("/v1/"):
        return str(fields.get("model", "V_2"))

    return f"{_family(route, fields)}.{fields.get('rendering_speed', 'DEFAULT')}"


def _family(route: Route, fields: Fields) -> str:
    if route.path.endswith("/generate-transparent"):
        return f"transparent-{fields.get('upscale_factor', 'X1')}"
    if fields.get("character_reference_images"):
        return "v3-character"

    return "v3-custom" if "custom_model_uri" in fields else "v3"
