"""The pages: their code runs as printed against the sandbox, their links lead to files, their lists are complete."""

from __future__ import annotations

import ast
import asyncio
import inspect
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support.clients import CANARY
from support.databases import needs_sqlite
from support.objectstores import moto, new_bucket
from support.pages import FOLLOWED, fenced
from support.paths import ROOT
from support.pictures import picture

from ideogram_async import Ideogram
from ideogram_async._operations import operations_of
from ideogram_async._prices import bundled_prices
from ideogram_async.sandbox import Sandbox

PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- not run: [^\n]+ -->\n)?^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
COMMAND = "import sys; from ideogram_async.cli import main; sys.exit(main())"
TRAINING_SECONDS = 3600
"""Seconds that the sandbox takes to train a model."""


def blocks(page: Path) -> list[tuple[str, bool]]:
    """Return each block of Python on a page, and whether it runs here, and not as a program of its own."""
    saved = "# " if page.stem in FOLLOWED else "\0"
    return [
        (match[1], match[0].startswith("```") and not match[1].startswith(saved))
        for match in BLOCK.finditer(page.read_text())
    ]


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


@pytest.fixture
def bucket(page: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A bucket named `images`, and the environment that leads to it, for the pages that need one."""
    if "S3Store(" not in page.read_text():
        yield
        return

    with moto() as url:
        new_bucket(url, "images")
        for name, value in {"ACCESS_KEY_ID": "user", "SECRET_ACCESS_KEY": "password", "ENDPOINT_URL": url}.items():
            monkeypatch.setenv(f"AWS_{name}", value)

        monkeypatch.setenv("AWS_REGION", "us-east-1")
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        yield


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
async def test_the_code_of_a_page_runs(page: Path, folder: Path, bucket: None, ideogram_sandbox: Sandbox) -> None:
    """Every block of Python on a page runs, in one namespace, and so do the tests that it defines."""
    if page.stem == "dbos":
        needs_sqlite()

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


def test_the_tables_of_the_benchmarks_show_the_results() -> None:
    """The tables are what `docs/make_benchmarks.py` writes."""
    make_benchmarks = runpy.run_path(str(ROOT / "docs" / "make_benchmarks.py"))
    text = make_benchmarks["PAGE"].read_text(encoding="utf-8")
    results = json.loads(make_benchmarks["RESULTS"].read_text(encoding="utf-8"))

    assert make_benchmarks["page"](text, results) == text, "run: python docs/make_benchmarks.py"


def test_the_pictures_of_the_architecture_are_drawn() -> None:
    """The pictures are what `docs/make_diagrams.py` draws."""
    make_diagrams = runpy.run_path(str(ROOT / "docs" / "make_diagrams.py"))
    folder = ROOT / "docs" / "pictures"
    drawn = make_diagrams["pictures"]()

    assert {name: (folder / name).read_text(encoding="utf-8") for name in drawn} == drawn, (
        "run: python docs/make_diagrams.py"
    )


def test_the_tables_of_prices_show_the_data() -> None:
    """The tables are what `docs/make_prices.py` writes, and contain every rate."""
    make_prices = runpy.run_path(str(ROOT / "docs" / "make_prices.py"))
    text = make_prices["PAGE"].read_text(encoding="utf-8")
    families = {rate.partition(".")[0] for rate in bundled_prices() if not rate.startswith(("V_", "v2/"))}
    second = {rate.partition(".")[0] for rate in bundled_prices() if rate.startswith("v2/")}

    assert make_prices["page"](text) == text, "run: python docs/make_prices.py"
    assert second == set(re.findall(r"^\| `(v2/.*?)`", text, re.MULTILINE))
    assert families == make_prices["BY_SPEED"].keys() | make_prices["FLAT"].keys()


def test_the_messages_of_the_troubleshooting_page_exist() -> None:
    """Each message in a heading, up to the messages of Python, is one that the package raises."""
    page = (ROOT / "docs" / "troubleshooting.md").read_text().partition("## Messages of Python")[0]
    messages = re.findall(r"^### (?:Jobs are )?`+ ?(.+?) ?`+$", page, re.MULTILINE)
    source = "\0".join(path.read_text() for path in (ROOT / "ideogram_async").rglob("*.py"))
    source = source.replace("{subject}", "request").replace("{kind}", "field")
    parts = [part.strip() for message in messages for part in message.split("...")]

    assert [] == [part for part in parts if part not in source]


def test_every_operation_has_a_row_for_those_who_move() -> None:
    """The table of paths names each operation that makes or describes images, but for the legacy ones."""
    page = (ROOT / "docs" / "migrating.md").read_text()
    operations = {name: request.endpoint for name, request in operations_of(Ideogram).items()}

    assert [] == [name for name in operations if f"`client.{name}`" not in page]
    assert [] == [name for name, endpoint in operations.items() if f"POST {endpoint.path}`" not in page]


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
    """The jobs file, the table and the commands of the pages on batches work together, as printed."""
    page, budgets, files = [(ROOT / "docs" / f"{name}.md").read_text() for name in ("batch", "budgets", "jobs-files")]
    (folder / "jobs.jsonl").write_text(fenced(files, "json")[-1])
    (folder / "table.csv").write_text(fenced(files, "")[-1])
    lines = (fenced(page, "sh")[-1] + fenced(budgets, "sh")[-1]).splitlines()
    commands = [shlex.split(line, comments=True)[1:] for line in lines]
    codes = [
        (" ".join(arguments[1:3]), run_python("-c", COMMAND, *arguments, folder=folder).returncode)
        for arguments in [*commands, ["batch", "plan", "table.csv"]]
    ]

    # No job is ambiguous here, so there is none to resolve.
    assert ["resolve out/"] == [name for name, code in codes if code]
    assert {"out", "jobs.csv"} <= {path.name for path in folder.iterdir()}


def test_the_demo_ends_with_images_on_disk(tmp_path: Path) -> None:
    """`python -m ideogram_async demo` stores 31 images, is billed for none twice, and prints their folder."""
    process = run_python("-m", "ideogram_async", "demo", "--folder", "out", folder=tmp_path)

    assert "" == process.stderr
    assert 31 == len(list((tmp_path / "out").rglob("*.png")))
    assert f"stored in                  {tmp_path / 'out'}" in process.stdout
    assert "billed twice               0" in process.stdout


def run_python(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = os.environ | {"PYTHONWARNINGS": "error"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
