"""`batch run`: what ends up where, and every exit code."""

from __future__ import annotations

import asyncio
import signal
import subprocess

import pytest
from commands import CommandLine, generate

from ideogram_async.sandbox import Fault, Sandbox


def names(cli: CommandLine) -> list[str]:
    return sorted(path.name for path in (cli.folder / "out").glob("*.png"))


def test_everything_is_done(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A file of jobs, one of them chained, ends with images, a report and 0; the same again sends nothing."""
    fox, large = generate("fox"), {"operation": "upscale", "id": "large", "image": {"job": "fox"}}
    cli.write("jobs.jsonl", fox, "", large)

    first = cli("batch", "run", "jobs.jsonl", "out")
    again = cli("batch", "run", "jobs.jsonl", "out")

    assert (0, "") == (first.code, first.err)
    assert (0, "") == (again.code, again.err)
    assert ["fox-0.png", "large-0.png"] == names(cli)
    assert 2 == len(ideogram_sandbox.ledger.entries)
    assert "2, all done" in first.out
    assert "0.12 USD" in first.out


def test_a_table_does_the_same(cli: CommandLine, ideogram_sandbox: Sandbox):
    """CSV has the fields as columns, `job:` for earlier images, and `;` in lists."""
    header = "operation,id,prompt,num_images,color_palette,image"
    cli.write("jobs.csv", header, "generate,fox,a fox,2,#112233;#ff0000:0.5,", "upscale,large,,,,job:fox#1")

    ended = cli("batch", "run", "jobs.csv", "out", "--sidecars")

    assert (0, "") == (ended.code, ended.err)
    assert ["fox-0.png", "fox-1.png", "large-0.png"] == names(cli)
    assert (cli.folder / "out" / "fox-0.png.json").exists()


def test_machines_get_json(cli: CommandLine):
    """With `--json` every line is JSON: events, results, and the report at the end."""
    cli.write("jobs.jsonl", generate("fox"))

    ended = cli("batch", "run", "jobs.jsonl", "out", "--json")
    result = next(event for event in ended.events if event["event"] == "JobResult")

    assert (0, "") == (ended.code, ended.err)
    assert {"JobStarted", "Sending", "Answered", "Downloaded", "JobFinished"} <= {e["event"] for e in ended.events}
    assert ("fox", "generate", "done", "0.06") == tuple(
        result[name] for name in ("id", "operation", "state", "cost_usd")
    )
    assert ("Report", 1, 0) == tuple(ended.events[-1][name] for name in ("event", "images_stored", "exit"))


def test_standard_input_is_read_as_it_comes(cli: CommandLine, ideogram_sandbox: Sandbox):
    """With `-` the first job is sent while the input is still open."""
    with cli.start("batch", "run", "-", "out", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write('{"operation": "generate", "id": "fox", "prompt": "a fox"}\n')
        process.stdin.flush()
        asyncio.run(asyncio.wait_for(ideogram_sandbox.arrived(1), 20))
        _, err = process.communicate(timeout=20)

    assert (0, "") == (process.returncode, err)
    assert ["fox-0.png"] == names(cli)


def test_standard_input_that_breaks(cli: CommandLine):
    """A fault in the middle of the input names its line, and exits with 2."""
    ended = cli("batch", "run", "-", "out", stdin='{"operation": "generate", "prompt": "a fox"}\n{"operation"\n')

    assert 2 == ended.code
    assert "line 2     is no JSON" in ended.err


def test_the_sandbox_needs_no_key(cli: CommandLine):
    """`--sandbox` runs without a key, and ends with a page of all images."""
    cli.write("jobs.jsonl", generate("fox"))
    env = {name: value for name, value in cli.env.items() if not name.startswith("IDEOGRAM")}

    ended = CommandLine(cli.folder, env)("batch", "run", "jobs.jsonl", "out", "--sandbox")

    assert (0, "") == (ended.code, ended.err)
    assert str(cli.folder / "out" / "gallery.html") in ended.out


@pytest.mark.parametrize(
    "fault", [Fault.status(422, '{"error": "unsafe"}'), Fault.unsafe(1)], ids=["refused", "withheld"]
)
def test_1_some_failed(cli: CommandLine, ideogram_sandbox: Sandbox, fault: Fault):
    """A job that is refused, and an image that is withheld, exit with 1, and are told with what they cost."""
    cli.write("jobs.jsonl", generate("fox"), generate("owl"))
    ideogram_sandbox.fail("generate", fault=fault)

    ended = cli("batch", "run", "jobs.jsonl", "out")

    assert (1, "") == (ended.code, ended.err)
    assert "Nothing was paid" in ended.out or "withheld" in ended.out


def test_3_something_is_in_doubt(cli: CommandLine, ideogram_sandbox: Sandbox, say):
    """A job that may have run exits with 3, and the way to decide it is shown; decided, it exits with 1."""
    cli.write("jobs.jsonl", generate("fox"))
    ideogram_sandbox.fail("generate", fault=Fault.close_after_body)

    ended = cli("batch", "run", "jobs.jsonl", "out")
    status = say("batch", "status", "out")
    decided = say("batch", "resolve", "out", "fox", "lost")

    assert (3, 3, 0) == (ended.code, status.code, decided.code)
    assert "ideogram-async batch resolve out fox" in ended.out
    assert "0.06 USD in doubt" in status.out
    assert 1 == say("batch", "status", "out").code


def test_4_the_cap_is_reached(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A batch that stops at its cap exits with 4, and says why."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(3)))

    ended = cli("batch", "run", "jobs.jsonl", "out", "--max-cost-usd", "0.12")

    assert 4 == ended.code
    assert "cap" in ended.out
    assert 2 == len(ideogram_sandbox.ledger.entries)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_4_the_first_interrupt_lets_things_finish(cli: CommandLine, ideogram_sandbox: Sandbox, number: int):
    """After one Ctrl-C nothing more is sent, what was on its way is stored, and the exit code is 4."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(30)))
    ideogram_sandbox.hold()

    with cli.start("batch", "run", "jobs.jsonl", "out") as process:
        assert process.stderr is not None
        asyncio.run(asyncio.wait_for(ideogram_sandbox.arrived(10), 20))
        process.send_signal(number)
        told = process.stderr.readline()
        ideogram_sandbox.release()
        out, _ = process.communicate(timeout=20)

    assert told.startswith("Stopping")
    assert 4 == process.returncode
    assert 10 == len(ideogram_sandbox.requests) == len(names(cli))
    assert "interrupted" in out


def test_130_the_second_interrupt_gives_up(cli: CommandLine, ideogram_sandbox: Sandbox):
    """After two Ctrl-C what was on its way is in doubt, nothing half stands in the folder, and the exit code is 130."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(12)))
    ideogram_sandbox.hold()

    with cli.start("batch", "run", "jobs.jsonl", "out") as process:
        assert process.stderr is not None
        asyncio.run(asyncio.wait_for(ideogram_sandbox.arrived(10), 20))
        process.send_signal(signal.SIGINT)
        process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    ideogram_sandbox.release()

    assert (130, "") == (process.returncode, err)
    assert "10 ambiguous" in out
    assert [".ideogram"] == [path.name for path in (cli.folder / "out").iterdir()]


def test_2_the_folder_is_in_use(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A second command on the same folder is refused with 2, and sends nothing."""
    cli.write("jobs.jsonl", generate("fox"))
    ideogram_sandbox.hold()

    with cli.start("batch", "run", "jobs.jsonl", "out") as process:
        asyncio.run(asyncio.wait_for(ideogram_sandbox.arrived(1), 20))
        second = cli("batch", "run", "jobs.jsonl", "out")
        ideogram_sandbox.release()
        process.communicate(timeout=20)

    assert (2, 0) == (second.code, process.returncode)
    assert "is in use by process" in second.err
    assert 1 == len(ideogram_sandbox.requests)


def test_2_an_id_stands_for_another_request(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A changed request under a known id is refused with 2, before money is spent on it."""
    cli.write("jobs.jsonl", generate("fox"))
    cli("batch", "run", "jobs.jsonl", "out")
    cli.write("jobs.jsonl", generate("fox", seed=3))

    ended = cli("batch", "run", "jobs.jsonl", "out")

    assert 2 == ended.code
    assert "stands for another request" in ended.err
    assert 1 == len(ideogram_sandbox.requests)


def test_what_was_made_can_be_taken_away(cli: CommandLine, say):
    """The folder's content goes into a table, into JSON lines, and onto a page."""
    cli.write("jobs.jsonl", generate("fox"))
    cli("batch", "run", "jobs.jsonl", "out")

    for target in ("jobs.csv", "all.jsonl"):
        ended = say("batch", "export", "out", target)

        assert f"{cli.folder / target}\n" == ended.out
        assert "fox" in (cli.folder / target).read_text()

    assert 2 == say("batch", "export", "out", "jobs.xlsx").code
    assert f"{cli.folder / 'out' / 'gallery.html'}\n" == say("batch", "gallery", "out").out
