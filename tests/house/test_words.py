"""Words: American spelling, and phrases that code, comments, tests and pages do not have."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from codespell_lib import main as codespell
from support.paths import ROOT

FOLDERS = (".ci", ".github", "benchmarks", "docs", "examples", "ideogram_async", "tests")
BINARY = {".png", ".jpg", ".jpeg", ".webp", ".gif", ".xlsx", ".ttf", ".woff2", ".zip"}
WORDS = {
    "callers, users, no caller": r"\b(?:whoever|nobody|somebody|anybody|everybody)\b",
    "report, return, state": r"\b(?:tells|told)\b",
    "retried": r"\btr(?:ied|ies) again\b",
    "is not a": r"(?<!here )\bis no (?!longer\b|more\b|later\b|link\b)[a-z]+",
    "again": r"\banew\b",
    "available": r"\bto be had\b",
    "n seconds": r"\bso many (?:seconds|bytes|images)\b",
    "return": r"\bhand(?:s|ed)? out\b",
    "dataset, timeout": r"\bdata sets?\b|\btime-outs?\b",
    "use": r"\b(?:utilize|leverage)[sd]?\b",
    "nothing": r"\b(?:simply|easily|obviously|basically|of course|seamless\w*|effortless\w*|blazing\w*|cutting-edge)\b",
    "the reason itself": r"\b(?:TODO|FIXME|XXX)\b|\bissues? #?\d+\b|\bR\d{1,2}\b",
    "the package index": r"\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs\.org|deb\.debian\.org|proxy\.golang\.org)",
    "a relative path": r"(?<![\w.}>])/(?:work|root)/",
}
"""What to write instead of a phrase."""
IDENTIFIERS = {"asked", "found", "given", "likes", "made", "meant", "near", "said", "says", "told"}
"""Names that do not state what a value is. Tests may use them."""
IN_PACKAGE = {"state, contain": r"\b(?:says|said)\b"}


def files() -> Iterator[Path]:
    """Yield the files of the repository that people write. This module lists what it looks for."""
    yield from (path for path in ROOT.glob("[!.]*") if path.is_file())
    for path in (path for folder in FOLDERS for path in (ROOT / folder).rglob("*")):
        caches = [part for part in path.relative_to(ROOT).parts if re.match(r"__pycache__|\.\w+_cache", part)]
        if path.is_file() and not caches and path.suffix not in BINARY and path != Path(__file__):
            yield path


def faults(text: str, words: dict[str, str]) -> list[str]:
    """Return the lines of a text that have a phrase."""
    if not re.search("|".join(words.values()), text):
        return []

    return [
        f"{number}: {line.strip()} -> {instead}"
        for number, line in enumerate(text.splitlines(), 1)
        for instead, phrase in words.items()
        if re.search(phrase, line)
    ]


def test_no_file_has_these_phrases() -> None:
    """No file has a phrase of the lists."""
    problems = [
        f"{path.relative_to(ROOT)}:{fault}"
        for path in files()
        for fault in faults(
            path.read_text(encoding="utf-8", errors="replace"),
            WORDS | (IN_PACKAGE if ROOT / "ideogram_async" in path.parents else {}),
        )
    ]

    assert [] == problems


def names_in(source: str) -> set[str]:
    """Return the names of the variables, arguments, functions and classes of a module, without underscores."""
    nodes = [*ast.walk(ast.parse(source))]
    names = [node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    names += [node.arg for node in nodes if isinstance(node, ast.arg)]
    names += [node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)]
    return {name.strip("_") for name in names}


def test_no_name_is_one_of_these() -> None:
    """No variable, argument, function or class of the package and the scripts has a name of the list."""
    modules = [path for path in files() if path.suffix == ".py" and ROOT / "tests" not in path.parents]
    names = {str(path.relative_to(ROOT)): names_in(path.read_text()) & IDENTIFIERS for path in modules}

    assert {} == {path: each for path, each in names.items() if each}


def test_a_name_is_found() -> None:
    """Variables, arguments, functions and classes are found, and attributes of other libraries are not."""
    source = "def told(asked, *, near=1): made = x.found\nfor given in []: ...\nclass meant: ...\nasync def says(): ..."

    assert IDENTIFIERS - {"found", "said", "likes"} == names_in(source)


@pytest.mark.parametrize(
    ("text", "is_fault"),
    [
        ("The error tells what to do.", True),
        ("A list is no file.", True),
        ("It is tried again after a time-out.", True),
        ("As issue 12 states", True),
        ("See /root/notes", True),
        ("There is no file, and it is no longer held.", False),
        ("It is retried after a timeout; `file.tell()` is the position.", False),
        ("A `data` set and https://example.com/root/", False),
        ("S3Store(endpoint='https://<account>.r2.cloudflarestorage.com')", False),
    ],
)
def test_a_phrase_is_found(text: str, is_fault: bool) -> None:
    """A phrase of the lists is found, and what only resembles one is not."""
    assert is_fault == bool(faults(text, WORDS))


def test_spelling(monkeypatch: pytest.MonkeyPatch) -> None:
    """`codespell` finds no misspelt word, by the settings in `pyproject.toml`."""
    monkeypatch.chdir(ROOT)

    assert 0 == codespell()


@pytest.mark.parametrize("word", ["recieve", "colour", "behaviour", "serialise"])  # codespell:ignore
def test_a_misspelt_word_is_found(
    word: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The settings find a common mistake, and British spelling, in the folder where codespell runs."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "page.md").write_text(word)
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())
    monkeypatch.chdir(tmp_path)

    assert codespell()
    assert f"page.md:1: {word} ==>" in capsys.readouterr().out
