"""Requests of the second contract as values."""

from __future__ import annotations

import copy
import inspect
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs
import pytest
from support.pictures import picture

from ideogram_async import AssetIdentifier, JsonPrompt, v2

NOW = datetime.now(UTC)
REQUESTS = [getattr(v2, name) for name in v2.__all__ if hasattr(getattr(v2, name), "endpoint")]
every_request = pytest.mark.parametrize("kind", REQUESTS, ids=lambda kind: kind.__name__)


@every_request
def test_construction_accepts_any_value(kind: type[Any]) -> None:
    """Construction accepts any value; `problems` reports the invalid ones, and never fails."""
    values = (5, object(), "", b"", [], {}, {"a": 1}, [object()], ("a", b""), ("a", 1), iter(()), float("nan"))
    names = inspect.signature(kind).parameters
    requests = [kind(**dict.fromkeys(names, value)) for value in (None, *values)][1:]

    assert all(request.problems() for request in requests if names)
    assert all(isinstance(request.problems(validate=False), list) for request in requests)


@every_request
def test_defaults(kind: type[Any]) -> None:
    """What is left open is `None`; a custom request has settings of its own."""
    defaults = {field.default for field in attrs.fields(kind) if field.default is not attrs.NOTHING}

    assert defaults <= {None} or kind is v2.Custom


@every_request
def test_pickles(kind: type[Any]) -> None:
    """A request can be pickled, copied, compared and hashed."""
    samples = (
        {
            "start_time": NOW,
            "prompt": JsonPrompt("x", elements=[v2.Obj("a")]) if kind.__name__.startswith("Generate4") else "x",
            "images": [AssetIdentifier(asset_type="RESPONSE", asset_id="x")],
            "extra": {"a": [1, {"b": None}]},
            "fields": {"a": [1, {"b": None}]},
            "files": {"image": picture()},
            "resolution": "1024x1024",
            "generation_id": "g1",
            "text_prompt": "x",
            "context_window": "none",
            "character_reference_images": [picture()],
        }
        | dict.fromkeys(("content", "action", "model"), "a")
        | dict.fromkeys(("image", "mask"), picture())
    )
    names = [
        field.name
        for field in attrs.fields(kind)
        if field.name in samples and not (field.kw_only and field.name in ("mask", "resolution"))
    ]
    request = kind(**{name: samples[name] for name in names})
    again = pickle.loads(pickle.dumps(request))

    assert request == again == copy.deepcopy(request)
    assert hash(request) == hash(again)
    assert [] == again.problems()


@pytest.mark.parametrize(
    ("start", "fields", "rule"),
    [
        (NOW - timedelta(days=91), {}, None),
        (NOW - timedelta(days=93), {}, "at most 92 days"),
        (NOW - timedelta(hours=167), {"bucket_width": "1h"}, None),
        (NOW - timedelta(hours=169), {"bucket_width": "1h"}, "at most 7 days"),
        (NOW - timedelta(days=400), {"end_time": NOW - timedelta(days=390)}, None),
        (NOW, {"end_time": NOW - timedelta(seconds=1)}, "must be before end_time"),
        (NOW.replace(tzinfo=None), {}, "needs a time zone"),
        (NOW, {"bucket_width": "1w"}, "is not one of 1d, 1h"),
        (NOW, {"sources": ["web"]}, "is not one of api, app"),
    ],
)
def test_account_usage(start: datetime, fields: Any, rule: str | None) -> None:
    """The time that usage covers is checked before sending, with now as its end."""
    problems = v2.GetAccountUsage(start, **fields).problems()

    assert bool(rule) == bool(problems)
    assert not rule or rule in problems[0][1]
