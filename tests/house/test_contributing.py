"""What CONTRIBUTING.md names: sessions, tools, files and tests exist."""

from __future__ import annotations

import re
import tomllib

from support.paths import ROOT

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PROSE = FENCE.sub(lambda block: block[2] if block[1] == "sh" else "", PAGE)
FOLDERS = ("", "ideogram_async", "ideogram_async/sandbox", "tests", "tests/house", "tests/data")
PLACEHOLDERS = {"openapi.json"}


def files() -> set[str]:
    """Return the paths that the page names between backticks."""
    names = set(re.findall(r"`((?:[\w*-]+/)*[\w*.-]+\.(?:py|md|toml|json|txt|css))`", PROSE))
    return (names | set(re.findall(r"^(?:python|pytest \S+ \S+) (\S+\.py)", PROSE, re.MULTILINE))) - PLACEHOLDERS


def test_the_files_exist() -> None:
    """Each file that the page names exists, below the repository, the package or the tests."""
    missing = {name for name in files() if not any([*(ROOT / folder).glob(name)] for folder in FOLDERS)}

    # The site writes these two, and others below `build`.
    assert {"llms.txt", "llms-full.txt"} == {name for name in missing if not name.startswith("build/")}
    assert len(files()) > 12


def test_the_sessions_exist() -> None:
    """Each session that a page or the script of the whole check names is one of nox."""
    sessions = re.findall(
        r"^@nox\.session(?:\(name=\"([\w-]+)\".*)?(?:.*\n)+?def (\w+)\(",
        (ROOT / "noxfile.py").read_text(),
        re.MULTILINE,
    )
    defined = {name for names in sessions for name in names}
    pages = [ROOT / "AGENTS.md", ROOT / ".ci" / "run", *ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
    named = {name for page in pages for name in re.findall(r"nox -s ([a-z_-]+[a-z])", page.read_text())}
    listed = PROSE.partition("lists all sessions, such as ")[2].partition(". `bash")[0]

    assert set() == named - defined
    assert set() == set(re.findall(r"`([\w-]+)`", listed)) - defined
    assert {"docs", "drift", "typing"} <= named


def test_the_tools_are_installed() -> None:
    """Each program that the page runs from the environment is a requirement for development."""
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["dev"]
    installed = {re.split(r"[\[>=]", each)[0] for each in requirements} | {"pip", "activate"}
    named = set(re.findall(r"\.venv/bin/([\w-]+)", PROSE)) | set(re.findall(r"^(pytest) ", PROSE, re.MULTILINE))

    assert set() == named - installed
    assert {"nox", "pre-commit", "pytest"} <= named
