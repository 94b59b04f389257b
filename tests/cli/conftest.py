"""Fixtures that run the command line, in a process of its own or in this one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from support.commands import CommandLine, Completed, Invoke

from ideogram_async.cli import main
from ideogram_async.sandbox import Sandbox


def pytest_itemcollected(item: pytest.Item) -> None:
    """Mark the tests that run the command line in a process of its own."""
    if "cli" in getattr(item, "fixturenames", ()):
        item.add_marker(pytest.mark.cli)


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder of its own for each test, with a space: a command must not write into the real one."""
    for name in [name for name in os.environ if name.startswith(("XDG_", "ZSH", "ZDOTDIR", "BASH_", "FISH_"))]:
        monkeypatch.delenv(name)

    folder = tmp_path_factory.mktemp("my home")
    monkeypatch.setenv("HOME", str(folder))
    return folder


@pytest.fixture
def cli(tmp_path: Path, ideogram_sandbox: Sandbox) -> CommandLine:
    """Return a command line that uses the sandbox of the test, in a folder of its own."""
    settings = {"IDEOGRAM_API_KEY": "sandbox", "IDEOGRAM_BASE_URL": ideogram_sandbox.url, "COLUMNS": "100"}
    return CommandLine(tmp_path, os.environ | settings)


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Invoke:
    """Return a function that runs a command in this process, without a key and without a server."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IDEOGRAM_API_KEY", raising=False)
    monkeypatch.setenv("IDEOGRAM_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("COLUMNS", "100")
    # The command never imports pydantic, but other tests do, and then cyclopts validates with it.
    monkeypatch.delitem(sys.modules, "pydantic", raising=False)

    def run(*arguments: object) -> Completed:
        code = main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return Completed(code, output.out, output.err)

    return run
