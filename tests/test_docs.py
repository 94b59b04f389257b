"""What the pages show is true: their code parses, their first program runs, their links lead somewhere."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)


SHOWN = [pytest.param(code, id=f"{page.stem}-{n}") for page in PAGES for n, code in enumerate(blocks(page))]


@pytest.mark.parametrize("code", SHOWN)
def test_shown_code_parses(code: str):
    """Every block of Python on the pages is Python, with `await` allowed outside functions."""
    assert compile(code, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path):
    """Each relative link on a page names a file that exists."""
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text())

    assert [] == [link for link in links if not (page.parent / link).exists()]


def test_the_first_program_runs(tmp_path: Path, ideogram_sandbox):
    """The README's program makes two images, as printed, with nothing but the key in the environment."""
    program = next(code for code in blocks(ROOT / "README.md") if "asyncio.run" in code)
    run = run_python("-c", program, folder=tmp_path, base_url=ideogram_sandbox.url)

    assert "" == run.stderr
    assert sorted(run.stdout.split()) == sorted(f"foxes/{path.name}" for path in (tmp_path / "foxes").iterdir())
    assert 2 == ideogram_sandbox.ledger.billed_images


def test_the_demo_ends_with_images_on_disk(tmp_path: Path):
    """`python -m ideogram_async demo` stores 31 images, pays for none twice, and says where they are."""
    run = run_python("-m", "ideogram_async", "demo", "--folder", "out", folder=tmp_path)

    assert "" == run.stderr
    assert 31 == len(list((tmp_path / "out").rglob("*.png")))
    assert f"stored in                  {tmp_path / 'out'}" in run.stdout
    assert "billed twice               0" in run.stdout


@pytest.mark.parametrize(("words", "status"), [((), 2), (("nonsense",), 2), (("--help",), 0)])
def test_the_command_explains_itself(tmp_path: Path, words: tuple[str, ...], status: int):
    """Without a command that it knows, `python -m ideogram_async` lists those it has."""
    run = run_python("-m", "ideogram_async", *words, folder=tmp_path)

    assert status == run.returncode
    assert "sandbox   serve a sandbox until Ctrl-C" in run.stdout + run.stderr


def run_python(*words: str, folder: Path, base_url: str = "") -> subprocess.CompletedProcess[str]:
    env = os.environ | {"IDEOGRAM_API_KEY": "sandbox", "IDEOGRAM_BASE_URL": base_url, "PYTHONWARNINGS": "error"}
    return subprocess.run([sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False)
