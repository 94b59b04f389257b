"""Output in a terminal: a progress bar and lines of its width, and neither in a pipe."""

from __future__ import annotations

import asyncio
import math
import re

import pytest
from rich.cells import cell_len
from rich.progress import Progress
from support.commands import CommandLine, generate
from support.terminal import terminal

from ideogram_async import JobState
from ideogram_async.batch import Folder
from ideogram_async.cli.batch.progress import TimeLeft
from ideogram_async.sandbox import Fault, Sandbox


@pytest.mark.parametrize("width", [40, 80, 120])
def test_a_bar_shows_the_progress(cli: CommandLine, ideogram_sandbox: Sandbox, width: int):
    """Jobs, images in flight, waiting calls and cost are shown during the run; no line is wider than the terminal."""
    cli.write("jobs.jsonl", *(generate(f"n{n}", prompt="a fox \x1b[31m" + "in the snow " * 20) for n in range(12)))
    ideogram_sandbox.hold()
    with terminal(cli, width, "batch", "run", "jobs.jsonl", "out") as (process, screen):
        screen.wait_for("10 images in flight")
        screen.wait_for("images per minute")
        ideogram_sandbox.release()
        screen.read_all()

    text = "\n".join(screen.lines)

    assert 0 == process.wait()
    assert "0/12 jobs" in text
    assert "2 waiting" in text
    assert "12, all done" in text
    assert "\x1b[31m" not in screen.text.replace("\x1b[31m✗", "")
    assert [] == [line for line in screen.lines if cell_len(line) > width and str(cli.folder) not in line]


def test_the_budget_is_part_of_the_progress(cli: CommandLine, ideogram_sandbox: Sandbox):
    """The bar shows the used part of the budget, earlier runs included, and how many jobs were rejected."""
    ideogram_sandbox.fail("generate", fault=Fault.status(422))
    cli.write("first.jsonl", *(generate(f"n{n}") for n in range(2)))
    cli("batch", "run", "first.jsonl", "out")
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(3)))
    ideogram_sandbox.hold()
    with terminal(cli, 80, "batch", "run", "jobs.jsonl", "out", "--max-cost-usd", "0.50") as (process, screen):
        screen.wait_for("0.06 of 0.50 USD · 1 rejected")
        ideogram_sandbox.release()
        screen.read_all()

    assert 1 == process.wait()


@pytest.mark.parametrize(("affordable", "expected"), [(math.inf, "0:30"), (10.0, "0:10"), (0.0, "0:00")])
def test_the_remaining_time(affordable: float, expected: str):
    """The remaining time is that until the last job, or until the budget is used up if that is earlier."""
    clock = iter(range(100))
    progress = Progress(get_time=lambda: float(next(clock)), disable=True)
    task = progress.add_task("", total=40, affordable=affordable)
    for completed in range(1, 11):
        progress.update(task, completed=completed)

    assert expected == TimeLeft().render(progress.tasks[0]).plain


def test_the_first_interrupt_is_acknowledged_at_once(cli: CommandLine, ideogram_sandbox: Sandbox):
    """The output explains Ctrl-C and a second one; the jobs in flight are printed as usual."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(30)))
    ideogram_sandbox.hold()
    with terminal(cli, 100, "batch", "run", "jobs.jsonl", "out") as (process, screen):
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(10), 20))
        process.send_signal(2)
        screen.wait_for("Stopping: waiting for calls in flight.")
        ideogram_sandbox.release()
        screen.read_all()

    assert 4 == process.wait()
    assert 10 == len({line[:6] for line in screen.lines if "a picture of n" in line})


def test_a_terminal_that_closes_stops_the_batch(cli: CommandLine, ideogram_sandbox: Sandbox):
    """The process gets SIGHUP, and every write fails: the calls in flight are stored, and it ends by itself."""
    # More jobs than a process could send before it handles the signal.
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(1000)))
    ideogram_sandbox.hold()
    with terminal(cli, 100, "batch", "run", "jobs.jsonl", "out", "--yes") as (process, screen):
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(10), 20))
        screen.close()
        ideogram_sandbox.release()

        assert 4 == process.wait(timeout=25)

    states = Folder(cli.folder / "out").report().by_state

    assert {JobState.DONE, JobState.PENDING} == set(states)
    assert states[JobState.DONE] == len(ideogram_sandbox.ledger.entries)


def test_no_color(cli: CommandLine):
    """With `NO_COLOR` there are no colors; bold and dim text is allowed."""
    cli.write("jobs.jsonl", generate("fox"))
    with terminal(cli, 80, "batch", "run", "jobs.jsonl", "out", NO_COLOR="1") as (_, screen):
        screen.read_all()

    colors = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7])(?:;\d+)*m")

    assert "all done" in screen.text
    assert [] == colors.findall(screen.text)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_quiet_run(cli: CommandLine, ideogram_sandbox: Sandbox, is_terminal: bool):
    """With `-q` there is no progress, and no line for a job that is done: failures and the report are printed."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(3)))
    ideogram_sandbox.fail("generate", fault=Fault.status(422))
    arguments = ("batch", "run", "jobs.jsonl", "out", "-q", "--gallery")
    if is_terminal:
        with terminal(cli, 80, *arguments) as (_, screen):
            screen.read_all()

        text = screen.text
    else:
        completed = cli(*arguments)
        text = completed.out + completed.err

    assert "3: 2 done, 1 rejected" in text
    assert 2 == text.count("✗")
    assert [] == [word for word in ("✓", "Checking", "Writing", "in flight", "\x1b[2K") if word in text]


def test_a_quiet_run_as_json(cli: CommandLine):
    """With `-q --json` there are results, errors and the report, and no events; `-v --json` is `--json`."""
    cli.write("jobs.jsonl", generate("fox"))

    quiet = cli("batch", "run", "jobs.jsonl", "out", "-q", "--json")
    verbose = cli("batch", "run", "jobs.jsonl", "other", "-v", "--json")

    assert ["JobResult", "Report"] == [event["event"] for event in quiet.events]
    assert {"JobStarted", "Answered", "JobResult", "Report"} <= {event["event"] for event in verbose.events}
    assert ("", "") == (quiet.err, verbose.err)


@pytest.mark.parametrize("width", [40, 80])
def test_a_terminal_without_unicode(cli: CommandLine, ideogram_sandbox: Sandbox, width: int):
    """Signs are replaced by ASCII ones, other characters are escaped, and no line is wider than the terminal."""
    cli.write("jobs.jsonl", *(generate(f"狐{n}", prompt="夕焼けの富士山、浮世絵風") for n in range(2)))
    ideogram_sandbox.fail("generate", fault=Fault.status(422))
    arguments = ("batch", "run", "jobs.jsonl", "out")
    with terminal(cli, width, *arguments, PYTHONIOENCODING="ascii", PYTHONUTF8="0") as (_, screen):
        screen.read_all()

    folder = str(cli.folder)

    assert screen.text.isascii()
    assert "\\u72d0" in screen.text
    assert [] == [line for line in screen.lines if len(line) > width and folder not in line]


def test_a_summary_wraps_below_its_values(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Where a line of the summary is too long, its rest is below its value, and no word is broken."""
    cli.write("jobs.jsonl", generate("fox"))
    with terminal(cli, 40, "batch", "run", "jobs.jsonl", "out", "--max-cost-usd", "0.01") as (_, screen):
        screen.read_all()

    at = screen.lines.index("  stopped   budget of 0.01 USD reached:")

    assert {" " * 12} == {line[:12] for line in screen.lines[at + 1 : at + 4]}


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ("batch", "run", "--help"),
            ["│ --retry-        Send ambiguous jobs  │", "│   ambiguous     once more. They may  │"],
        ),
        (("--help",), ["│ generate-      Draw images on a      │", "│   transparent  transparent           │"]),
        (("batch", "plan", "jobs.jsonl"), ["  line 1: num_images must be from 1 to", "    8, not 99"]),
        (
            ("generate", "a fox", "--num-images", "99", "--aspect-ratio", "16x9", "--resolution", "1x1"),
            ["  num_images: must be from 1 to 8, not", "    99"],
        ),
        (
            ("generate", "a fox in deep snow, at dawn", "--dry-run"),
            ["  prompt          a fox in deep snow, at", " " * 18 + "dawn"],
        ),
    ],
    ids=lambda value: value[-1],
)
def test_a_narrow_terminal_breaks_no_word(cli: CommandLine, arguments: tuple[str, ...], lines: list[str]):
    """Names break after hyphens, and the rest of a line is indented."""
    cli.write("jobs.jsonl", generate("fox", num_images=99))
    with terminal(cli, 40, *arguments) as (_, screen):
        screen.read_all()

    at = screen.lines.index(lines[0])

    assert lines == screen.lines[at : at + 2]


def test_a_pipe_gets_plain_lines(cli: CommandLine):
    """Without a terminal there is a line for each job, and no control character."""
    cli.write("jobs.jsonl", generate("fox", prompt="a fox " * 60))

    completed = cli("batch", "run", "jobs.jsonl", "out")

    assert "\x1b" not in completed.out
    assert ("a fox " * 60).strip() in completed.out
