"""The pages: their code runs as printed against the sandbox, their links lead to files, their lists are complete."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.clients import CANARY
from support.paths import ROOT
from support.pictures import picture

from ideogram_async import Ideogram
from ideogram_async.sandbox import Sandbox

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- not run: .+ -->\n)?^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = "import sys; from ideogram_async.cli import main; sys.exit(main())"
TRAINING_SECONDS = 3600
"""Seconds that the sandbox takes to train a model."""


def blocks(page: Path) -> list[tuple[str, bool]]:
    """Return each block of Python on a page, and whether it runs."""
    return [(match[1], match[0].startswith("```")) for match in BLOCK.finditer(page.read_text())]


@pytest.fixture
def folder(ideogram_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder with the files that the pages read, for clients that use the sandbox."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDEOGRAM_API_KEY", CANARY)
    monkeypatch.setenv("IDEOGRAM_BASE_URL", ideogram_sandbox.url)
    (tmp_path / "fox.png").write_bytes(picture())
    (tmp_path / "training").mkdir()
    for number in range(15):
        (tmp_path / "training" / f"{number}.png").write_bytes(picture(size=(64 + number, 48)))

    return tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
async def test_the_code_of_a_page_runs(page: Path, folder: Path, ideogram_sandbox: Sandbox) -> None:
    """Every block of Python on a page runs, in one namespace, and so do the tests that it defines."""
    names: dict[str, Any] = {"__name__": "page"}
    for code, runs in blocks(page):
        program = compile(code, str(page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if runs:
            await run(program, names)

        if ".train(" in code:
            ideogram_sandbox.advance(TRAINING_SECONDS)

    for client in [value for value in names.values() if isinstance(value, Ideogram)]:
        await client.aclose()

    for test in [value for name, value in names.items() if name.startswith("test_")]:
        async with Sandbox() as sandbox, Ideogram("sandbox", base_url=sandbox.url) as client:
            await test(client, sandbox)

    assert [] == ideogram_sandbox.leaked_keys


async def run(program: Any, names: dict[str, Any]) -> None:
    if program.co_flags & inspect.CO_COROUTINE:
        call: Callable[[], Awaitable[None]] = lambda: eval(program, names)  # noqa: E731
        await call()
    else:
        # A block may start an event loop of its own.
        await asyncio.to_thread(exec, program, names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_to_files(page: Path) -> None:
    """Each relative link on a page names a file that exists, and a heading of it where it has a fragment."""
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text())
    targets = [((page.parent / path) if path else page, fragment) for path, fragment in links]

    assert [] == [str(path) for path, _ in targets if not path.exists()]
    assert [] == [f"{path.name}#{name}" for path, name in targets if name and name not in headings(path)]


def headings(page: Path) -> set[str]:
    lines = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", line).lower().replace(" ", "-") for line in lines}


def test_the_reference_is_complete() -> None:
    """The API reference is what `docs/make_reference.py` writes: every public name with its current signature."""
    make_reference = runpy.run_path(str(ROOT / "docs" / "make_reference.py"))
    listed = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")

    assert make_reference["reference"]() == listed, "run: python docs/make_reference.py"


def test_the_tables_of_the_benchmarks_show_the_results() -> None:
    """The tables are what `docs/make_benchmarks.py` writes."""
    make_benchmarks = runpy.run_path(str(ROOT / "docs" / "make_benchmarks.py"))
    text = make_benchmarks["PAGE"].read_text(encoding="utf-8")
    results = json.loads(make_benchmarks["RESULTS"].read_text(encoding="utf-8"))

    assert make_benchmarks["page"](text, results) == text, "run: python docs/make_benchmarks.py"


def test_the_layout_is_complete() -> None:
    """The layout in CONTRIBUTING names every module and package of the top level."""
    layout = (ROOT / "CONTRIBUTING.md").read_text()
    modules = {path.name for path in (ROOT / "ideogram_async").glob("*.py")}
    packages = {f"{path.parent.name}/" for path in (ROOT / "ideogram_async").glob("*/*.py")}

    assert [] == sorted(name for name in (modules | packages) - {"_version.py"} if name not in layout)


def test_the_first_program_runs(folder: Path, ideogram_sandbox: Sandbox) -> None:
    """The README's program makes two images, as printed, with nothing but the key in the environment."""
    program = next(code for code, _ in blocks(ROOT / "README.md") if "asyncio.run" in code)
    process = run_python("-c", program, folder=folder)

    assert "" == process.stderr
    assert sorted(process.stdout.split()) == sorted(f"foxes/{path.name}" for path in (folder / "foxes").iterdir())
    assert 2 == ideogram_sandbox.ledger.billed_images


def test_the_commands_of_the_batch_page_run(folder: Path) -> None:
    """The jobs file, the table and the commands of the page on batches work together, as printed."""
    page = (ROOT / "docs" / "batch.md").read_text()
    (folder / "jobs.jsonl").write_text(fenced(page, "json"))
    (folder / "table.csv").write_text(fenced(page, ""))
    commands = [line.partition("#")[0].split()[1:] for line in fenced(page, "sh").splitlines()]
    codes = [
        (" ".join(arguments[1:3]), run_python("-c", COMMAND, *arguments, folder=folder).returncode)
        for arguments in [*commands, ["batch", "plan", "table.csv"]]
    ]

    # No job is ambiguous here, so there is none to resolve.
    assert ["resolve out/"] == [name for name, code in codes if code]
    assert {"out", "jobs.csv"} <= {path.name for path in folder.iterdir()}


def fenced(page: str, language: str) -> str:
    """Return the last block of a language on a page."""
    fences = re.findall(r"^```(\w*)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return [text for name, text in fences if name == language][-1]


def test_the_demo_ends_with_images_on_disk(tmp_path: Path) -> None:
    """`python -m ideogram_async demo` stores 31 images, is billed for none twice, and prints their folder."""
    process = run_python("-m", "ideogram_async", "demo", "--folder", "out", folder=tmp_path)

    assert "" == process.stderr
    assert 31 == len(list((tmp_path / "out").rglob("*.png")))
    assert f"stored in                  {tmp_path / 'out'}" in process.stdout
    assert "billed twice               0" in process.stdout


@pytest.mark.parametrize(("arguments", "status"), [((), 2), (("nonsense",), 2), (("--help",), 0)])
def test_the_command_explains_itself(tmp_path: Path, arguments: tuple[str, ...], status: int) -> None:
    """Without a known command, `python -m ideogram_async` lists its commands."""
    process = run_python("-m", "ideogram_async", *arguments, folder=tmp_path)

    assert status == process.returncode
    assert "sandbox   serve a sandbox until Ctrl-C" in process.stdout + process.stderr


def run_python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
