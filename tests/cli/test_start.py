"""Start of `batch run`: its question before an expensive run, and its dry run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.commands import CommandLine, generate
from support.terminal import terminal

from ideogram_async.sandbox import Fault, Sandbox

QUESTION = "Send this? [y/N]"
QUALITY = {"num_images": 8, "rendering_speed": "QUALITY"}
UNKNOWN = {"rendering_speed": "unchecked:BALANCED"}


def expensive(cli: CommandLine, **first: object) -> None:
    """Write jobs for 0.72 USD each, 25.92 USD in all."""
    cli.write("jobs.jsonl", generate("n0", **(QUALITY | first)), *(generate(f"n{n}", **QUALITY) for n in range(1, 36)))


@pytest.mark.parametrize(("answer", "code"), [("n\r", 2), ("\r", 2), ("\x04", 2), ("\x03", 130)])
def test_a_run_that_is_not_confirmed_sends_nothing(cli: CommandLine, ideogram_sandbox: Sandbox, answer: str, code: int):
    """Anything but a yes sends nothing and creates no folder; the question shows jobs, images, price and time."""
    expensive(cli)
    with terminal(cli, 80, "batch", "run", "jobs.jsonl", "out") as (process, screen):
        screen.wait_for(QUESTION)
        screen.type(answer)
        screen.read_all()

    text = "\n".join(screen.lines)

    assert code == process.wait()
    assert [] == [each for each in ("jobs      36", "images    288", "price     25.92 USD", "time") if each not in text]
    assert "nothing was sent" in text.lower()
    assert [] == ideogram_sandbox.requests
    assert not (cli.folder / "out").exists()


def test_a_run_that_is_confirmed(cli: CommandLine, ideogram_sandbox: Sandbox):
    """After a yes the run begins. A job of unknown price is always confirmed."""
    cli.write("jobs.jsonl", generate("fox", **UNKNOWN))
    ideogram_sandbox.fail("generate", fault=Fault.status(422))
    with terminal(cli, 80, "batch", "run", "jobs.jsonl", "out") as (_, screen):
        screen.wait_for(QUESTION)
        screen.type("Yes\r")
        screen.read_all()

    assert "0.00 USD, and 1 job of unknown price" in "\n".join(screen.lines)
    assert 1 == len(ideogram_sandbox.requests)


@pytest.mark.parametrize("arguments", [("--yes",), ("-y",), ("--max-cost-usd", "0.06"), ("--sandbox",)])
def test_a_run_without_a_question(cli: CommandLine, arguments: tuple[str, ...]):
    """With `--yes`, a budget or the sandbox, nothing is asked."""
    cli.write("jobs.jsonl", generate("fox", **UNKNOWN))
    with terminal(cli, 80, "batch", "run", "jobs.jsonl", "out", *arguments) as (_, screen):
        screen.read_all()

    assert QUESTION not in screen.text
    assert "1 rejected" in screen.text


def test_a_pipe_is_not_asked(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Without a terminal as input, and with a jobs file that can be read once, nothing is asked."""
    cli.write("jobs.jsonl", generate("fox", **UNKNOWN))
    plain = cli("batch", "run", "jobs.jsonl", "out")
    os.mkfifo(cli.folder / "fifo")
    with terminal(cli, 80, "batch", "run", "fifo", "other") as (_, screen):
        (cli.folder / "fifo").write_text((cli.folder / "jobs.jsonl").read_text())
        screen.read_all()

    assert QUESTION not in plain.err + screen.text
    assert 2 == len(ideogram_sandbox.requests)


def test_only_what_would_be_sent_is_confirmed(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Jobs that are done or rejected cost nothing more, so a resumed run below 25 USD asks nothing."""
    cli.write("first.jsonl", *(generate(f"n{n}") for n in range(2)))
    ideogram_sandbox.fail("generate", fault=Fault.status(422))
    cli("batch", "run", "first.jsonl", "out")
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(2)), generate("new"))
    with terminal(cli, 80, "batch", "run", "jobs.jsonl", "out") as (process, screen):
        screen.read_all()

    dry = cli("batch", "run", "jobs.jsonl", "out", "--dry-run", "--json").events[0]
    again = cli("batch", "run", "jobs.jsonl", "out", "--dry-run", "--retry-rejected")
    done = cli("batch", "run", "first.jsonl", "out", "--dry-run", "--max-cost-usd", "0.06")

    assert 1 == process.wait()
    assert QUESTION not in screen.text
    assert {"done": 2, "rejected": 1} == dry["skipped"]
    assert {"jobs": 0, "images": 0, "usd": "0", "unpriced": 0} == dry["send"]
    assert "jobs      1 of 3\n  skipped   2 done\n  images    1\n  price     0.06 USD\n" in again.out
    assert "covers" not in done.out


def test_a_dry_run(cli: CommandLine, ideogram_sandbox: Sandbox):
    """`--dry-run` needs no key, prints what would be sent and how far the budget goes, and writes nothing."""
    cli.write(
        "jobs.jsonl",
        generate("n0"),
        generate("n1"),
        generate("n2", prompt="a picture of n1"),
        generate("x", **UNKNOWN),
        {"operation": "v2 generate-4-transparent", "id": "quoted", "prompt": "a fox", "rendering_speed": "quality"},
    )
    keyless = CommandLine(cli.folder, {**cli.env, "IDEOGRAM_API_KEY": ""})

    completed = keyless("batch", "run", "jobs.jsonl", "out", "--dry-run", "--max-cost-usd", "0.10")

    assert (0, "") == (completed.code, completed.err)
    assert "price     0.18 USD, and 2 jobs of unknown price\n" in completed.out
    assert "covers 0.10 USD of 0.18 USD; the run stops there\n" in completed.out
    assert "asks the service for the price of 1 job, at no cost\n" in completed.out
    assert "refuses 1 job of unknown price, unpaid\n" in completed.out
    assert "1 job with the content of an earlier job; each is billed\n" in completed.out
    assert "Nothing was sent.\n" in completed.out
    assert [] == ideogram_sandbox.requests
    assert ["jobs.jsonl"] == os.listdir(cli.folder)


def test_a_dry_run_lists_faults_and_conflicts(cli: CommandLine, ideogram_sandbox: Sandbox):
    """It exits with 2 for a faulty file, also where the folder has another request under an id."""
    cli.write("jobs.jsonl", generate("fox"))
    cli("batch", "run", "jobs.jsonl", "out")
    cli.write("jobs.jsonl", generate("fox", seed=3), generate("owl", num_images=9))

    completed = cli("batch", "run", "jobs.jsonl", "out", "--dry-run")

    assert 2 == completed.code
    assert "line 1: id is already used by a different request, which is done" in completed.err
    assert "line 2: num_images must be from 1 to 8, not 9" in completed.err
    assert 1 == len(ideogram_sandbox.requests)


def test_a_dry_run_counts_jobs_without_an_id(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Jobs without an id are recognized by their content and its occurrence, and files by theirs."""
    row = {"operation": "generate", "prompt": "a fox"}
    cli.write("jobs.jsonl", row, row)
    cli("batch", "run", "jobs.jsonl", "out")
    cli.write("jobs.jsonl", row, row, row)

    dry = cli("batch", "run", "jobs.jsonl", "out", "--dry-run", "--json").events[0]

    assert ({"done": 2}, 1) == (dry["skipped"], dry["send"]["jobs"])


def test_the_gallery_is_opened(cli: CommandLine):
    """`--open` writes the gallery and opens it by a file URI; without a display its path is printed."""
    cli.write("jobs.jsonl", generate("fox"))
    browser = cli.folder / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{cli.folder}/opened"\n')
    browser.chmod(0o755)
    env = {**cli.env, "BROWSER": "browser", "PATH": f"{cli.folder}:{cli.env['PATH']}"}

    completed = CommandLine(cli.folder, env)("batch", "run", "jobs.jsonl", "out", "--open")
    page = cli.folder / "out" / "gallery.html"

    assert 0 == completed.code
    assert str(page) in completed.out
    assert Path(page).as_uri() == (cli.folder / "opened").read_text().strip()
