"""The public surface is the stored one, so that each change of it is deliberate."""

from __future__ import annotations

import difflib

import attrs
from support.surface import STORED, lines_of, surface

import ideogram_async


def test_the_surface_is_the_stored_one() -> None:
    """No public name, argument, default, member or value differs from `tests/data/surface.txt`."""
    changes = [*difflib.unified_diff(STORED.read_text().splitlines(), [*surface()], lineterm="", n=0)]

    assert [] == changes, "if this is deliberate, run: python tests/support/surface.py"


def test_the_surface_has_every_name() -> None:
    """Each name that the package exports is in the stored surface."""
    names = {line.partition("(")[0].partition(" ")[0] for line in STORED.read_text().splitlines()}
    missing = {f"ideogram_async.{name}" for name in ideogram_async.__all__} - names

    assert {"ideogram_async.__version__"} == missing


def test_a_change_is_seen() -> None:
    """A new argument, another default, a new member and a new base are other lines."""

    class OldError(ValueError):
        advice = "x"

    class NewError(KeyError):
        advice = "x"

        def retry(self) -> None: ...

    OldError.__module__ = NewError.__module__ = "ideogram_async.errors"

    @attrs.frozen
    class Request:
        prompt: str
        seed: int | None = attrs.field(default=None, kw_only=True)

    assert ["f(a, *, b=1)"] == [*lines_of([("f", lambda a, *, b=1: a)])]
    assert ["f(a, *, b=2)"] == [*lines_of([("f", lambda a, *, b=2: a)])]
    assert ["Error(ValueError)", "    OldError.advice"] == [*lines_of([("Error", OldError)])]
    assert ["Error(KeyError)", "    NewError.advice", "    NewError.retry(self)"] == [*lines_of([("Error", NewError)])]
    assert ["Request(prompt, *, seed=None)"] == [*lines_of([("Request", Request)])]
