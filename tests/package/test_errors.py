"""Errors travel whole: pickled, copied, with their facts; and their tree is the one on the module's first page."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import pytest

import ideogram_async
from ideogram_async import errors
from ideogram_async.errors import Billed, IdeogramError, Phase

ANSWER: dict[str, Any] = {
    "status": 499,
    "body": {"error": "no"},
    "reason": "because",
    "request_id": "abc",
    "retry_after": 7.0,
    "headers": {"x-a": "b"},
}
FACTS: dict[str, dict[str, Any]] = {
    "InvalidRequestError": {"problems": [("prompt", "is empty")], "subject": "Generate"},
    "DecodeError": {"raw": b"{", "links": ["https://x/y"], "problems": ["$: missing"], "request_id": "abc"},
    "FileConflictError": {"path": Path("/x"), "url": "https://x/y"},
    "RateLimitError": ANSWER | {"max_in_flight": 4, "billed": Billed.UNKNOWN},
    "ServerError": ANSWER | {"billed": Billed.UNKNOWN},
}
FAMILIES: dict[type[IdeogramError], dict[str, Any]] = {
    errors.TransportError: {"phase": Phase.SENT},
    errors.APIStatusError: ANSWER,
    errors.DownloadError: {"url": "https://x/y", "status": 418},
}


def kinds() -> list[type[IdeogramError]]:
    """Return every error class that is exported."""
    found = [getattr(errors, name) for name in errors.__all__]
    return [each for each in found if inspect.isclass(each) and issubclass(each, IdeogramError)]


def facts_of(kind: type[IdeogramError]) -> dict[str, Any]:
    family = next((facts for root, facts in FAMILIES.items() if issubclass(kind, root)), {})
    return FACTS.get(kind.__name__, family)


def make(kind: type[IdeogramError]) -> IdeogramError:
    """Make an error of that class, with all the facts that it takes."""
    facts = facts_of(kind)
    if kind is errors.InvalidRequestError:
        return kind(facts["problems"], subject=facts["subject"])  # type: ignore[call-arg]

    return kind("words", **facts)


@pytest.mark.parametrize("kind", kinds())
@pytest.mark.parametrize("travel", [lambda error: pickle.loads(pickle.dumps(error)), copy.copy, copy.deepcopy])
def test_travels(travel: Any, kind: type[IdeogramError]) -> None:
    """An error that was pickled or copied is what it was."""
    error = make(kind)
    error.add_note("a note")
    back = travel(error)

    assert (kind, str(error), error.args, vars(error)) == (type(back), str(back), back.args, vars(back))
    assert (error.billed, error.retryable, error.advice) == (back.billed, back.retryable, back.advice)


@pytest.mark.parametrize("kind", kinds())
def test_tells(kind: type[IdeogramError]) -> None:
    """Every error keeps its facts, says whether money was spent and whether a repeat is safe, and gives advice."""
    error = make(kind)
    kept = {name: value for name, value in facts_of(kind).items() if name not in ("subject", "problems", "links")}

    assert kept == {name: getattr(error, name) for name in kept}
    assert error.billed in Billed
    assert isinstance(error.retryable, bool)
    assert kind is IdeogramError or error.advice.endswith(".")
    assert not (error.retryable and error.billed is not Billed.NO) or kind is errors.RateLimitError


def test_tree() -> None:
    """The tree in the module's first page is the tree."""
    drawn = [line for line in (errors.__doc__ or "").splitlines() if "Error" in line and line.startswith("    ")]
    path: list[str] = []
    parents: dict[str, str] = {}
    for line in drawn:
        bare = line.lstrip(" │├└─")
        depth = (len(line) - len(bare) - 4) // 4
        name = bare.split()[0]
        path[depth:] = [name]
        if depth:
            parents[name] = path[depth - 1]

    actual = {kind.__name__: kind.__mro__[1].__name__ for kind in kinds() if kind is not IdeogramError}
    shown = {name: parent for name, parent in actual.items() if name in parents}

    assert shown == parents
    assert set(actual) - set(parents) <= {"BatchError", "BatchLockedError", "JobConflictError", "JournalError"}


def test_exported() -> None:
    """Every error can be imported from the package, too."""
    assert [] == [kind.__name__ for kind in kinds() if getattr(ideogram_async, kind.__name__) is not kind]


def test_caught_as_what_they_are() -> None:
    """A wrong value is a `ValueError` as well; nothing else pretends to be a builtin."""
    builtin = {
        kind.__name__: [base.__name__ for base in kind.__mro__ if base.__module__ == "builtins"][:-3]
        for kind in kinds()
    }

    assert {"InvalidRequestError": ["ValueError"]} == {name: bases for name, bases in builtin.items() if bases}


@pytest.mark.parametrize("billed", Billed)
def test_doubt_forbids_a_repeat(billed: Billed) -> None:
    """A server's failure may be repeated only if it certainly cost nothing."""
    error = errors.ServerError("words", status=500, billed=billed)

    assert (billed is Billed.NO) == error.retryable
    assert ("bill you twice" in error.advice) == (billed is not Billed.NO)
