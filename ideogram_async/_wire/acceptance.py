"""Acknowledgements of accepted generations, and what becomes of them.

The body decides, not how the call asked for it: an acceptance has an id and no data.
Source: https://developer.ideogram.ai/ideogram-api/production-integration
"""

from __future__ import annotations

import json
from typing import TypeGuard, cast

import attrs

from ideogram_async._accepted import Accepted
from ideogram_async._wire.call import Call
from ideogram_async.models.base import JsonObject, Reply

COMPLETED, FAILED = "completed", "failed"


def accepted_in(call: Call, reply: Reply) -> Accepted | None:
    """Return the acceptance in a reply; `None` if it is anything else."""
    if call.poll is None or not reply.is_success:
        return None

    # Also of a reply that was cut: a part of an object cannot be read.
    body = json_object(reply.raw)
    generation_id = body.get("generation_id")
    if not _is_id(generation_id) or body.get("data") is not None or body.get("error"):
        return None

    return Accepted(generation_id, weight=call.weight, poll=call.poll, raw=reply.raw)


def poll_operation(accepted: Accepted) -> str:
    """Return the method and path of the polls for a generation, as in the contract."""
    return f"GET {accepted.poll}{{generation_id}}"


def status_in(reply: Reply) -> str | None:
    """Return the status of a generation in a reply; `None` if it cannot be read."""
    status = json_object(reply.raw).get("status") if reply.is_success and reply.cut is None else None
    return status if isinstance(status, str) else None


def lacks_images(reply: Reply) -> bool:
    """Return whether a reply states that a generation has completed, and has neither its images nor an error."""
    body = json_object(reply.raw)
    return body.get("status") == COMPLETED and body.get("data") is None and not body.get("error")


def is_failure(raw: bytes) -> bool:
    """Return whether a body is that of a failed generation. One with an image is an answer: it may have been billed."""
    # Parsed only if it may be one: an answer may be large.
    if b'"failed"' not in raw:
        return False

    body = json_object(raw)
    return body.get("status") == FAILED and not _has_image(body.get("data"))


def _has_image(data: object) -> bool:
    items = cast(list[object], data) if isinstance(data, list) else []
    return any(isinstance(item, dict) and cast(JsonObject, item).get("url") for item in items)


def with_acknowledgement(accepted: Accepted, reply: Reply) -> Reply:
    """Return the reply of a finished generation with the fields that only the acknowledgement has."""
    acknowledged, finished = json_object(accepted.raw), json_object(reply.raw)
    known = {name: value for name, value in finished.items() if value is not None}
    text = json.dumps({**acknowledged, **known}, ensure_ascii=False, separators=(",", ":"))
    # UTF-8 has no half of a surrogate pair, which a text that the service has cut may end with. JSON escapes it.
    return attrs.evolve(reply, raw=text.encode(errors="backslashreplace"))


def _is_id(value: object) -> TypeGuard[str]:
    # Half of a surrogate pair, which is not printable, can be neither stored nor asked for.
    return isinstance(value, str) and value != "" and value.isprintable()


def json_object(raw: bytes) -> JsonObject:
    """Return the JSON object of a body; an empty one if it is anything else."""
    try:
        value: object = json.loads(raw)
    except (ValueError, RecursionError):
        return {}

    return cast(JsonObject, value) if isinstance(value, dict) else {}
