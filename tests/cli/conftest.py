"""Fixtures that run the command line, in a process of its own or in this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.commands import CommandLine, Completed, Invoke

from ideogram_async.cli import main
from ideogram_async.sandbox import Sandbox


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

    def run(*arguments: object) -> Completed:
        code = main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return Completed(code, output.out, output.err)

    return run
