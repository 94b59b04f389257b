"""The recipes in CONTRIBUTING.md, applied to a copy of the repository as a contributor would."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.pages import fenced
from support.paths import ROOT
from support.pictures import picture

PAGE = (ROOT / "CONTRIBUTING.md").read_text()
IGNORED = shutil.ignore_patterns(".*", "__pycache__", "dist", "site", "build", "node_modules")


LISTED = """
import runpy
pages = "".join(runpy.run_path("docs/make_reference.py")["pages"]("").values())
print(*[name for name in ("ideogram_async.Extend", "ideogram_async.v2.Generate5") if f"::: {name}\\n" in pages])
"""


def recipes() -> list[str]:
    """Return the changes that the page shows."""
    return fenced(PAGE, "diff")


def apply(change: str, root: Path) -> None:
    """Apply a change in place of the lines that it shows, or at the end of the file if all its lines are new."""
    for section in re.split(r"^--- ", change, flags=re.MULTILINE)[1:]:
        name, _, body = section.partition("\n")
        path = root / name
        for hunk in re.split(r"^@@\n", body, flags=re.MULTILINE):
            lines = [line if line.strip() else " \n" for line in hunk.splitlines(keepends=True)]
            old = "".join(line[1:] for line in lines if line[0] != "+")
            new = "".join(line[1:] for line in lines if line[0] != "-")
            text = path.read_text()
            assert not old or 1 == text.count(old), f"{name} has these lines {text.count(old)} times:\n{old}"

            path.write_text(text.replace(old, new) if old else f"{text}\n\n{new}")


def run(root: Path, *arguments: str, folder: Path | None = None) -> str:
    """Run Python with the package and the tests of a copy, and return what it prints."""
    # Coverage would look for the source of the copy when that is gone.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "PYTEST", "COV_"))}
    env["PYTHONPATH"] = os.pathsep.join([str(root), str(root / "tests")])
    process = subprocess.run(
        [sys.executable, *arguments], cwd=folder or root, env=env, capture_output=True, text=True, check=False
    )

    assert 0 == process.returncode, process.stdout[-4000:] + process.stderr[-4000:]
    return process.stdout


def use(root: Path, folder: Path, method: str, command: str, fields: dict[str, Any]) -> list[dict[str, Any]]:
    """Use an operation as a method, a row and a command; return the dry run of the command, and what happened."""
    lines = run(root, "-m", "support.recipe_program", method, command, json.dumps(fields), folder=folder).splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository with every change of the page, and the generated files that it names."""
    copy = Path(shutil.copytree(ROOT, tmp_path_factory.mktemp("copy") / "repository", ignore=IGNORED))
    for change in recipes():
        apply(change, copy)

    for command in re.findall(r"^python (.+\.py)$", PAGE, re.MULTILINE):
        run(copy, command)

    return copy


def code_of(change: str) -> list[str]:
    """Return the lines of Python that a change adds, without blank lines and docstrings."""
    sections = re.findall(r"^--- \S+\.py\n(.*?)(?=^--- |\Z)", change, re.DOTALL | re.MULTILINE)
    added = "\n".join(line[1:] for text in sections for line in text.splitlines() if line.startswith("+"))
    return [line for line in re.sub(r'""".*?"""', "", added, flags=re.DOTALL).splitlines() if line.strip()]


@pytest.mark.parametrize("change", recipes()[:2], ids=["second contract", "first contract"])
def test_an_operation_takes_ten_lines(change: str) -> None:
    """A new operation takes at most ten lines of code, apart from its documentation."""
    assert 5 <= len(code_of(change)) <= 10


@pytest.mark.programs
@pytest.mark.parametrize(
    ("method", "command", "fields", "summary", "usd"),
    [
        ("v2.generate_5", "v2 generate-5", {"prompt": "a fox", "num_images": 2, "quality": "medium"}, "Draw", "0.10"),
        ("extend", "extend", {"image": "fox.png", "prompt": "a fox", "num_images": 2}, "Continue", "0.12"),
    ],
)
def test_an_operation_is_everywhere(
    root: Path, tmp_path: Path, method: str, command: str, fields: dict[str, Any], summary: str, usd: str
) -> None:
    """It is a method with a help page, a command, an operation of rows, priced, and served by the sandbox."""
    (tmp_path / "fox.png").write_bytes(picture())
    dry_run, seen = use(root, tmp_path, method, command, fields)

    assert seen["summary"].startswith(summary)
    assert (2, 2, usd, usd) == (seen["images"], seen["stored"], seen["estimated"], seen["paid"])
    assert [f"{dry_run['method']} {dry_run['path']}"] == seen["operations"]


@pytest.mark.programs
@pytest.mark.parametrize(
    ("command", "fields"),
    [
        ("layerize-3", {"image": "fox.png", "language": "en"}),
        ("generate-3-character", {"prompt": "x", "character_reference_images": "fox.png", "style_type": "design"}),
    ],
)
def test_a_field_is_everywhere(root: Path, tmp_path: Path, command: str, fields: dict[str, Any]) -> None:
    """A new field and a new value are taken by the method, the command, a row and the sandbox."""
    (tmp_path / "fox.png").write_bytes(picture())
    dry_run, seen = use(root, tmp_path, f"v2.{command.replace('-', '_')}", f"v2 {command}", fields)

    assert [*fields.items()][-1] in map(tuple, dry_run["fields"])
    assert seen["stored"] > 0


@pytest.mark.programs
def test_the_house_accepts_them(root: Path) -> None:
    """The style checks and the tests of the house and of the contracts pass, and the pages list what is new."""
    checks = [f"tests/house/test_{name}.py" for name in ("changelog", "docstrings", "surface")]
    tests = [*checks, "tests/requests", "tests/v2/test_contract.py", "tests/package/test_help.py"]
    tests += [
        "tests/test_house.py::test_every_request_has_one_method",
        "tests/test_house.py::test_imports_have_no_cycle",
    ]
    new = "surface or house or Extend or Generate5 or ideogram-5 or layerize"
    options = ["-q", "-p", "no:cacheprovider", "-p", "no:randomly", "-n0", "-k", new]
    run(root, "-m", "ruff", "check", "--no-cache", ".")
    run(root, "-m", "ruff", "format", "--no-cache", "--check", ".")
    report = run(root, "-m", "pytest", *options, *tests)

    assert " passed" in report
    assert "ideogram_async.Extend ideogram_async.v2.Generate5" == run(root, "-c", LISTED).strip()
    assert "v2/generate/ideogram-5" in (root / "docs" / "prices.md").read_text()
