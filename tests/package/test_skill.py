"""The skill for coding agents: its format, the command that prints it, its code, and the names that it uses."""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import shlex
import subprocess
import sys
import urllib.request
from importlib.metadata import metadata
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from support.clients import CANARY
from support.skill import TEXT, blocks, program

from ideogram_async import errors
from ideogram_async._skill import SKILL
from ideogram_async.cli.app import make_app
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox.command import _parser
from ideogram_async.sandbox.thread import running_in_thread

HEADER = re.compile(r"---\n(.*?)---\n", re.DOTALL)


def test_the_header_has_the_format_of_skills() -> None:
    """Name and description obey https://agentskills.io/specification, and the folder has the name of the skill."""
    header = HEADER.match(TEXT)
    assert header is not None
    fields = dict(line.split(": ", 1) for line in header[1].splitlines())

    assert ["name", "description", "license", "compatibility"] == list(fields)
    assert SKILL.parent.name == fields["name"]
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", fields["name"])
    assert len(fields["description"]) <= 1024
    # YAML reads these values as text, without quotes.
    assert [] == [value for value in fields.values() if re.search(r": | #|^[\W\d]", value)]


def test_the_skill_is_short() -> None:
    """An agent reads the whole skill: at most 250 lines."""
    assert len(TEXT.splitlines()) <= 250


@pytest.mark.cli
@pytest.mark.parametrize("module", ["ideogram_async", "ideogram_async.cli"])
def test_the_command_prints_the_skill(module: str) -> None:
    """Both commands print it, byte for byte."""
    process = subprocess.run([sys.executable, "-m", module, "skill"], capture_output=True, check=True)

    assert SKILL.read_bytes() == process.stdout


@pytest.mark.cli
def test_the_command_needs_no_extra() -> None:
    """Without the packages of every extra, `python -m ideogram_async skill` prints the skill."""
    script = """
import sys
sys.modules |= dict.fromkeys(["cyclopts", "rich", "PIL", "fastapi"])
import ideogram_async.__main__ as m
sys.exit(m.main(["skill"]))
"""
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert TEXT == process.stdout


@pytest.fixture
def folder(ideogram_sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a working folder, in which clients use the sandbox of the test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IDEOGRAM_API_KEY", CANARY)
    monkeypatch.setenv("IDEOGRAM_BASE_URL", ideogram_sandbox.url)
    return tmp_path


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.partition("\n")[0])
async def test_a_block_runs(code: str, folder: Path, ideogram_sandbox: Sandbox) -> None:
    """Each block of Python runs by itself, as printed."""
    names: dict[str, Any] = {"__name__": "skill"}
    program = compile(code, "skill", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if program.co_flags & inspect.CO_COROUTINE:
        await eval(program, names)
    else:
        # A program may start an event loop of its own.
        await asyncio.to_thread(exec, program, names)

    assert [] == ideogram_sandbox.ledger.duplicates
    assert [] == ideogram_sandbox.leaked_keys


async def test_the_first_program_stores_its_images(folder: Path, ideogram_sandbox: Sandbox) -> None:
    """The first program buys two images and stores both."""
    await asyncio.to_thread(exec, blocks("python")[0], {"__name__": "__main__"})

    assert 2 == ideogram_sandbox.ledger.billed_images == len(list((folder / "foxes").iterdir()))


async def test_the_second_contract_stores_its_images(folder: Path, ideogram_sandbox: Sandbox) -> None:
    """The program that submits and waits buys one image, and stores it."""
    program = compile(blocks("python")[-1], "skill", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    await eval(program, {})

    assert 1 == ideogram_sandbox.ledger.billed_images == len(list((folder / "foxes").iterdir()))


@pytest.mark.cli
def test_the_test_needs_no_plugin(tmp_path: Path) -> None:
    """The test of the skill passes with pytest and this package alone."""
    (tmp_path / "test_fox.py").write_text(program("test_fox.py"))
    command = [sys.executable, "-m", "pytest", "-q", "-p", "ideogram_async.sandbox.pytest_plugin", "test_fox.py"]
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    process = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    assert (0, True) == (process.returncode, "1 passed" in process.stdout), process.stdout


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines() if line[0] != "#"])
def test_a_command_exists(line: str) -> None:
    """Each command line of the skill is one that its program accepts, and each request to the sandbox works."""
    program, *arguments = shlex.split(line)
    if program == "ideogram-async":
        command, _, _ = make_app().parse_args(arguments, exit_on_error=False, print_error=False)
        assert callable(command)
    elif program == "python":
        assert ["-m", "ideogram_async", "sandbox"] == arguments[:3]
        assert (8700, True) == attrgetter("port", "control")(_parser("sandbox").parse_args(arguments[3:-1]))
    elif program == "curl":
        assert 200 == request(*arguments)
    else:
        assert ("export", ["IDEOGRAM_BASE_URL=http://127.0.0.1:8700", "IDEOGRAM_API_KEY=sandbox"]) == (
            program,
            arguments,
        )


def request(url: str, option: str = "", body: str = "") -> int:
    """Send a request of the skill to a sandbox, and return its status."""
    with running_in_thread(Sandbox(control=True)) as sandbox:
        url = url.replace("http://127.0.0.1:8700", sandbox.url)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(url, body.encode() if option == "-d" else None) as reply:
            return int(reply.status)


def test_the_names_of_the_skill_exist() -> None:
    """Each error, extra and fault that the text names is one of the package."""
    code = re.findall(r"`(\w+)`", TEXT)
    named = {name for name in code if name.endswith("Error")}
    extras = re.findall(r"`(\w+)`", TEXT.partition("Extras: ")[2].partition("and others")[0])
    faults = re.findall(r"`(\w+)`", TEXT.partition("Other faults: ")[2].partition(" with")[0])

    assert 9 == len(named) == len(named & set(errors.__all__))
    assert 3 == len(extras) == len(set(extras) & set(metadata("ideogram-async").get_all("Provides-Extra") or ()))
    assert 6 == len(faults) == sum(hasattr(Fault, fault) for fault in faults)
