"""Examples at the end of each help text."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import App
from support.commands import Invoke, generate
from support.pictures import picture

from ideogram_async import JsonPrompt
from ideogram_async.cli.app import make_app
from ideogram_async.cli.examples import EXAMPLES, WITH_EXIT_CODES, examples_of
from ideogram_async.ledger import SqliteLedger
from ideogram_async.sandbox import Sandbox

PARSES_ITS_OWN = ("demo", "sandbox", "skill")
NEEDS_STATE = (
    *("DATASET_ID", "GENERATION_ID", "MODEL_ID", "batch resolve", "batch run jobs.csv out/ --max-cost-usd"),
    *("ledger resolve", "postgresql://"),
)
"""Examples that are only parsed: they need an id, a call in doubt, a server, or the journal of another service."""


def command_names(app: App, parent: str = "") -> Iterator[str]:
    for name in app:
        if not name.startswith("-"):
            command = f"{parent} {name}".strip()
            yield command
            yield from command_names(app[name], command)


async def make_ledger(path: Path) -> None:
    async with SqliteLedger(path) as ledger:
        await ledger.get("x")


COMMANDS = ["", *(name for name in command_names(make_app()) if name not in PARSES_ITS_OWN)]
RUN = sorted({example for command in EXAMPLES for example in EXAMPLES[command]})


@pytest.mark.parametrize("command", COMMANDS)
def test_help_ends_with_examples(command: str, invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """The help of each command has examples that its parser accepts, and exit codes where scripts need them."""
    monkeypatch.setenv("COLUMNS", "200")
    app, page = make_app(), [line.strip() for line in invoke(*command.split(), "--help").out.splitlines()]
    examples = examples_of(command)
    for example in examples:
        app.parse_args(shlex.split(example), exit_on_error=False, print_error=False)

    assert [] == [example for example in examples if f"• ideogram-async {example}" not in page]
    assert [] == [example for example in examples if not example.startswith(command)]
    assert (command in WITH_EXIT_CODES) == ("Exit codes:" in page)


@pytest.mark.parametrize("name", PARSES_ITS_OWN)
def test_other_help_ends_with_an_example(invoke: Invoke, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """The commands that parse their own options have an example, too."""
    with pytest.raises(SystemExit):
        invoke(name, "--help")

    assert f"example: ideogram-async {name} " in capsys.readouterr().out


def test_the_help_of_the_program_is_short(invoke: Invoke) -> None:
    """The help of the program shows the commands, where to get a key, and four examples, but not the exit codes."""
    page = invoke().out

    assert "https://ideogram.ai/manage-api" in page
    assert len(page.splitlines()) < 75


@pytest.mark.parametrize("example", [each for each in RUN if not any(state in each for state in NEEDS_STATE)])
def test_examples_run(
    example: str, invoke: Invoke, tmp_path: Path, ideogram_sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each example that needs no earlier call runs as it is printed, here against the sandbox."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", "sandbox")
    monkeypatch.setenv("IDEOGRAM_BASE_URL", ideogram_sandbox.url)
    monkeypatch.setenv("BASH_VERSION", "5.2")
    for name in ("fox", "mask", "poster"):
        (tmp_path / f"{name}.png").write_bytes(picture(mode="L" if name == "mask" else "RGB"))

    (tmp_path / "poster.json").write_text(str(JsonPrompt("a poster")))
    (tmp_path / "jobs.csv").write_text("operation,prompt\ngenerate,a red fox\n")
    (tmp_path / "jobs.jsonl").write_text(f"{generate('fox')}\n".replace("'", '"'))
    asyncio.run(make_ledger(tmp_path / "calls.sqlite3"))
    if " out/" in example and "batch run" not in example:
        invoke("batch", "run", "jobs.csv", "out/", "--no-gallery")

    completed = invoke(*shlex.split(example))

    assert (0, "") == (completed.code, completed.err)
