"""Errors: pickles, copies, attributes, and the tree in the docstring of the module."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

import ideogram_async
from ideogram_async import errors
from ideogram_async._accepted import Accepted
from ideogram_async.errors import Billed, IdeogramError, Phase

ANSWER: dict[str, Any] = {
    "status": 499,
    "body": {"error": "no"},
    "reason": "because",
    "request_id": "abc",
    "retry_after": 7.0,
    "headers": {"x-a": "b"},
}
DETAILS: dict[str, dict[str, Any]] = {
    "InvalidRequestError": {"problems": [("prompt", "is empty")], "subject": "Generate"},
    "DecodeError": {"raw": b"{", "links": ["https://x/y"], "problems": ["$: missing"], "request_id": "abc"},
    "FileConflictError": {"path": Path("/x"), "url": "https://x/y"},
    "RateLimitError": ANSWER | {"max_in_flight": 4, "billed": Billed.UNKNOWN},
    "InDoubtError": {
        "key": "order-1",
        "attempt": 2,
        "started_at": datetime(2026, 11, 29, tzinfo=UTC),
        "usd": Decimal("0.06"),
        "phase": Phase.SENT,
    },
    "ServerError": ANSWER | {"billed": Billed.UNKNOWN},
    "GenerationFailed": {"generation_id": "xtdZiqPwRxqY1Y7NExFmzB", "reason": "content_policy_violation"},
    "WaitTimeout": {"ticket": Accepted("xtdZiqPwRxqY1Y7NExFmzB", weight=2), "status": "pending"},
    "WebhookError": {"reason": "stale", "generation_id": "xtdZiqPwRxqY1Y7NExFmzB"},
}
FAMILIES: dict[type[IdeogramError], dict[str, Any]] = {
    errors.TransportError: {"phase": Phase.SENT},
    errors.APIStatusError: ANSWER,
    errors.DownloadError: {"url": "https://x/y", "status": 418},
}


def kinds() -> list[type[IdeogramError]]:
    """Return every error class that is exported."""
    exported = [getattr(errors, name) for name in errors.__all__]
    return [each for each in exported if inspect.isclass(each) and issubclass(each, IdeogramError)]


def details_of(kind: type[IdeogramError]) -> dict[str, Any]:
    family = next((details for root, details in FAMILIES.items() if issubclass(kind, root)), {})
    return DETAILS.get(kind.__name__, family)


def make(kind: type[IdeogramError]) -> IdeogramError:
    """Create an error of a class with all its details."""
    details = details_of(kind)
    if kind is errors.InvalidRequestError:
        return kind(details["problems"], subject=details["subject"])  # type: ignore[call-arg]

    return kind("message", **details)


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("duplicate", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_pickle_and_copy(duplicate: Any, kind: type[IdeogramError]) -> None:
    """A pickled or copied error has the same message, attributes and notes."""
    error = make(kind)
    error.add_note("a note")
    back = duplicate(error)

    assert (kind, str(error), error.args, vars(error)) == (type(back), str(back), back.args, vars(back))
    assert (error.billed, error.retryable, error.advice) == (back.billed, back.retryable, back.advice)


@pytest.mark.parametrize("kind", kinds())
def test_attributes(kind: type[IdeogramError]) -> None:
    """Every error has its details, `billed`, `retryable` and `advice`."""
    error = make(kind)
    kept = {name: value for name, value in details_of(kind).items() if name not in ("subject", "problems", "links")}

    assert kept == {name: getattr(error, name) for name in kept}
    assert error.billed in Billed
    assert isinstance(error.retryable, bool)
    assert kind is IdeogramError or error.advice.endswith(".")
    assert not (error.retryable and error.billed is not Billed.NO) or kind in (
        errors.RateLimitError,
        errors.InProgressError,
    )


def test_tree() -> None:
    """The tree in the docstring of the module is complete, and in the order of the classes."""
    drawn = [line for line in (errors.__doc__ or "").splitlines() if re.match(r"    [ │├└─]*[A-Z]", line)]
    path: list[str] = []
    parents: dict[str, str] = {}
    for line in drawn:
        bare = line.lstrip(" │├└─")
        depth = (len(line) - len(bare) - 4) // 4
        name = bare.split()[0]
        path[depth:] = [name]
        if depth:
            parents[name] = path[depth - 1]

    classes = [kind for kind in vars(errors).values() if kind in kinds() and kind is not IdeogramError]
    actual = [(kind.__name__, kind.__mro__[1].__name__) for kind in classes]

    assert actual == list(parents.items())


def test_exported() -> None:
    """Every error can also be imported from the package."""
    assert [] == [kind.__name__ for kind in kinds() if getattr(ideogram_async, kind.__name__) is not kind]


def test_builtin_bases() -> None:
    """An invalid request is also a `ValueError`; no other error has a builtin base."""
    builtin = {
        kind.__name__: [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"][:-3]
        for kind in kinds()
    }

    assert {"InvalidRequestError": ["ValueError"]} == {name: bases for name, bases in builtin.items() if bases}


@pytest.mark.parametrize("billed", Billed)
def test_server_error_is_retryable_if_not_billed(billed: Billed) -> None:
    """A server error is retryable only if it certainly was not billed."""
    error = errors.ServerError("message", status=500, billed=billed)

    assert (billed is Billed.NO) == error.retryable
    assert ("bill you twice" in error.advice) == (billed is not Billed.NO)
