"""Answers built from an image that the user has found."""

from __future__ import annotations

import json
from datetime import UTC, datetime

UNKNOWN_SEED = -1


def adopted_body(url: str, seed: int | None = None, prompt: str | None = None) -> bytes:
    """Return the body of an answer like the one that was lost, valid for every operation."""
    seed = UNKNOWN_SEED if seed is None else seed
    item = {"url": url, "is_image_safe": True, "prompt": prompt or "", "seed": seed, "resolution": ""}
    body = {"created": datetime.now(UTC).isoformat(), "data": [item], "base_image_url": url, "seed": seed}
    return json.dumps({"adopted": True, **body}).encode()
