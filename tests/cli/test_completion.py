"""Completion of commands, options and values, in the shells that are installed. Nothing is written to a real home."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
from attrs import evolve
from support.commands import CommandLine, Completed, Invoke
from support.installed import find

LINES = {
    "batch re": ["resolve"],
    "batch resolve out fox ": ["adopt", "lost", "retry"],
    "batch run --max-c": ["--max-cost-usd"],
    "generate-t": ["generate-transparent"],
    "generate fox --rendering-speed ": ["DEFAULT", "FLASH", "QUALITY", "TURBO"],
    "generate fox --style-preset WE": ["WEIRD"],
    "models list --scope ": ["owned", "shared"],
    "reframe fox.png 1280x76": ["1280x768"],
    "values style-": ["style-preset", "style-type"],
}
"""Beginnings of commands, and how they may continue."""

BASH = """
source "$1"; shift
function=$(complete -p ideogram-async | sed 's/.*-F \\([^ ]*\\).*/\\1/')
for line; do
    read -ra COMP_WORDS <<< "ideogram-async $line"
    [[ $line == *' ' ]] && COMP_WORDS+=('')
    COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
    COMPREPLY=()
    $function ideogram-async "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
    echo "${COMPREPLY[@]}"
done
"""
FISH = 'source $argv[1]; for line in $argv[2..]; string join -- " " (complete -C "ideogram-async $line" | cut -f1); end'
ZSH = """
zmodload zsh/zpty
zpty shell zsh -i
zpty -r shell text '*ready> *'
zpty -w -n shell $'ideogram-async batch reso\\tout/ fox ad\\t'
zpty -r shell text '*adopt*'
print done
"""


def install(invoke: Invoke, shell: str) -> tuple[Completed, Path]:
    """Install the completion of a shell, and return the command and the path of the script."""
    find(shell)
    completed = invoke("--install-completion", shell)
    return completed, Path(completed.out.splitlines()[0].removeprefix("Wrote "))


def run(*arguments: object) -> str:
    process = subprocess.run([*map(str, arguments)], capture_output=True, text=True, timeout=30, check=True)
    return process.stdout


def sorted_words(text: str) -> list[list[str]]:
    return [sorted(line.split()) for line in text.splitlines()]


@pytest.mark.parametrize(("shell", "options"), [("bash", ("--norc", "-c", BASH, "-")), ("fish", ("-N", "-c", FISH))])
def test_commands_options_and_values_are_completed(invoke: Invoke, shell: str, options: Sequence[str]):
    """Each beginning of a command continues as the command line does."""
    _, script = install(invoke, shell)

    assert list(LINES.values()) == sorted_words(run(shell, *options, script, *LINES))


def test_bash_loads_the_script(invoke: Invoke, home: Path):
    """A second installation changes nothing, and the lines of `.bashrc` are kept."""
    (home / ".bashrc").write_text("# mine, without an end")
    install(invoke, "bash")
    completed, script = install(invoke, "bash")
    comment, loads = (home / ".bashrc").read_text().splitlines()[1:]

    assert "# mine, without an end\n" == (home / ".bashrc").read_text().partition("#" + comment[1:])[0]
    assert f'[ -f "{script}" ] && . "{script}"' == loads
    assert f"{home}/.bashrc loads it:\n  {loads}\n" in completed.out
    assert f"To undo: rm '{script}', and remove that line\n" in completed.out
    assert "_ideogram_async" in run("bash", "--rcfile", home / ".bashrc", "-ic", "complete -p ideogram-async")


def test_zsh_completes(invoke: Invoke, home: Path):
    """What `.zshrc` lacks is printed, and with it zsh completes a command and a value."""
    first, script = install(invoke, "zsh")
    with (home / ".zshrc").open("a") as startup:
        startup.write("autoload -Uz compinit && compinit -u\nPS1='ready> '\n")

    second, _ = install(invoke, "zsh")

    assert "done\n" == run("zsh", "-f", "-c", ZSH)
    assert f"fpath=('{script.parent}' $fpath)" in first.out
    assert "add this line to the end of" in first.out
    assert "add this line" not in second.out


def test_the_shell_in_use(invoke: Invoke, home: Path, monkeypatch: pytest.MonkeyPatch):
    """Without a name, the completion of the shell in use is installed."""
    monkeypatch.setenv("FISH_VERSION", "3.6.0")
    completed = invoke("--install-completion")

    assert (0, "") == (completed.code, completed.err)
    assert f"Wrote {home}/.config/fish/completions/ideogram-async.fish\n" in completed.out
    assert {".config"} == {path.name for path in home.iterdir()}


def test_other_shells(invoke: Invoke, home: Path):
    """A shell without completion is refused, and nothing is written."""
    completed = invoke("--install-completion", "tcsh")

    assert 2 == completed.code
    assert "Completion does not support 'tcsh'." in completed.err
    assert "Pass bash, zsh or fish" in completed.err
    assert [] == list(home.iterdir())


def test_a_home_that_cannot_be_written(invoke: Invoke, home: Path):
    """A home folder that cannot be written is a usage error that names the path."""
    (home / ".config").write_text("not a folder")
    completed = invoke("--install-completion", "fish")

    assert 2 == completed.code
    assert f"{home}/.config/fish/completions cannot be written: Not a directory" in completed.err


def test_an_ascii_locale(cli: CommandLine, home: Path):
    """A script is UTF-8 in every locale."""
    ascii_cli = evolve(cli, env=cli.env | {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"})
    completed = ascii_cli("--install-completion", "zsh")

    assert (0, "") == (completed.code, completed.err)
    assert "…" in next((home / ".zsh").rglob("*ideogram*")).read_text(encoding="utf-8")
