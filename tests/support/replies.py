"""Bodies in the service's format, and functions that decode them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ideogram_async._wire.call import Call
from ideogram_async._wire.decode import decode
from ideogram_async.errors import DecodeError
from ideogram_async.models import ImageGenerationResponseV3, Reply

__all__ = ["CREATED", "DATASET", "FREE", "IMAGE", "MODEL", "PAID", "images", "read", "refused", "without"]

PAID = Call(operation="POST /x", method="POST", path="/x")
FREE = Call(operation="GET /x", method="GET", path="/x", charged=False)
IMAGE = {
    "prompt": "a fox",
    "resolution": "1024x1024",
    "is_image_safe": True,
    "seed": 7,
    "url": "https://ideogram.ai/api/images/ephemeral/a.png?exp=1&sig=2",
}
CREATED = "2026-01-23T04:56:07+00:00"
DATASET = {"dataset_id": "d", "name": "foxes", "user_id": "u", "creation_time": CREATED}
MODEL = {
    "model_id": "m",
    "name": "foxes",
    "status": "TRAINING",
    "creation_time": CREATED,
    "is_available_for_generation": False,
    "is_owned": True,
}


def read(value: Any, kind: type[Any] = ImageGenerationResponseV3, *, call: Call = PAID) -> Any:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return decode(call, Reply(status=200, raw=raw), kind)


def images(**changes: Any) -> dict[str, Any]:
    return {"created": CREATED, "data": [IMAGE | changes]}


def without(value: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in value.items() if name not in names}


def refused(value: Any, kind: type[Any] = ImageGenerationResponseV3, *, call: Call = PAID) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        read(value, kind, call=call)

    return caught.value
