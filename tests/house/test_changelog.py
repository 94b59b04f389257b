"""The changelog: the form of its entries, and the names in it."""

from __future__ import annotations

import pydoc
import re

import attrs
import pytest
from support.paths import ROOT

import ideogram_async

TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
KINDS = ("Added", "Changed", "Deprecated", "Fixed", "Removed", "Security")
VERSION = re.compile(r"## \d+\.\d+\.\d+ \((?:unreleased|\d{4}-\d{2}-\d{2})\)")


def faults(text: str) -> list[str]:
    """Return the lines that are not of the form of the changelog, and the names that do not exist."""
    problems = [line for line in text.splitlines() if line.startswith("## ") and not VERSION.fullmatch(line)]
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        kind, _, body = section.partition("\n")
        entries = re.split(r"^(?=- )", body.partition("\n## ")[0], flags=re.MULTILINE)[1:]
        problems += [] if kind in KINDS else [f"### {kind}"]
        problems += [
            entry.strip()
            for entry in entries
            if not re.fullmatch(rf"- {kind} .+\.\n*(?:#### .+\n*)?", entry, re.DOTALL)
        ]

    names = re.findall(r"`(ideogram_async(?:\.\w+)+)`", text)
    return problems + [name for name in names if not exists(name)]


def exists(name: str) -> bool:
    """Return whether a full name is a module, or what is in one: a class, a function, an attribute or a field."""
    owner, _, member = name.rpartition(".")
    value = pydoc.locate(owner)
    fields = attrs.fields_dict(value) if isinstance(value, type) and attrs.has(value) else {}
    return pydoc.locate(name) is not None or member in fields


def test_the_changelog_has_its_form() -> None:
    """Each entry is a sentence in the past tense under its kind, and each name with `ideogram_async.` exists."""
    assert [] == faults(TEXT)


def test_the_changelog_has_every_public_name() -> None:
    """Each name that `ideogram_async` exports is in the changelog."""
    names = {name for code in re.findall(r"`([^`]+)`", TEXT) for name in re.findall(r"\w+", code)}

    assert {"__version__"} == {*ideogram_async.__all__} - names


@pytest.mark.parametrize(
    "line",
    [
        "## 1.0 (soon)",
        "### Improvements",
        "### Added\n\n- Add `ideogram_async.Retry`.",
        "### Fixed\n\n- Added a thing.",
        "### Added\n\n- Added a thing",
        "### Added\n\n- Added `ideogram_async.Retri`.",
        "### Added\n\n- Added `ideogram_async.Retry.bass`.",
    ],
)
def test_a_fault_is_found(line: str) -> None:
    """Another heading, another tense, a sentence without its period, and a name that does not exist."""
    assert 1 == len(faults(line))


def test_a_good_entry_has_no_fault() -> None:
    """An entry may continue on the next line, and sections may have groups."""
    text = "## 1.2.0 (2026-11-29)\n\n### Added\n\n#### Client\n\n- Added `ideogram_async.Retry.base`,\n  a field.\n"

    assert [] == faults(text)
