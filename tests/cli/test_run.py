"""Command `batch run`: its files, its output and every exit code."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
from pathlib import Path

import pytest
from support.commands import CommandLine, Invoke, generate
from support.disks import fill

from ideogram_async.sandbox import Fault, Sandbox


def names(cli: CommandLine) -> list[str]:
    return sorted(path.name for path in (cli.folder / "out").glob("*.png"))


def test_everything_is_done(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A jobs file, with a chained job, ends with images, a report and 0; the same command again sends nothing."""
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

    completed = cli("batch", "run", "jobs.csv", "out", "--sidecars")

    assert (0, "") == (completed.code, completed.err)
    assert ["fox-0.png", "fox-1.png", "large-0.png"] == names(cli)
    assert (cli.folder / "out" / "fox-0.png.json").exists()


def test_output_as_json(cli: CommandLine):
    """With `--json` every line is JSON: events, results, and the report at the end."""
    cli.write("jobs.jsonl", generate("fox"))

    completed = cli("batch", "run", "jobs.jsonl", "out", "--json")
    result = next(event for event in completed.events if event["event"] == "JobResult")

    assert (0, "") == (completed.code, completed.err)
    assert {"JobStarted", "Sending", "Answered", "Downloaded", "JobFinished"} <= {e["event"] for e in completed.events}
    assert ("fox", "generate", "done", "0.06") == tuple(
        result[name] for name in ("id", "operation", "state", "cost_usd")
    )
    assert ("Report", 1, 0) == tuple(completed.events[-1][name] for name in ("event", "images_stored", "exit"))


def test_standard_input_is_read_as_it_arrives(cli: CommandLine, ideogram_sandbox: Sandbox):
    """With `-` the first job is sent while the input is still open."""
    with cli.start("batch", "run", "-", "out", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write('{"operation": "generate", "id": "fox", "prompt": "a fox"}\n')
        process.stdin.flush()
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(1), 20))
        _, err = process.communicate(timeout=20)

    assert (0, "") == (process.returncode, err)
    assert ["fox-0.png"] == names(cli)


def test_a_fault_in_standard_input(cli: CommandLine):
    """A fault in the middle of the input names its line, and exits with 2."""
    completed = cli("batch", "run", "-", "out", stdin='{"operation": "generate", "prompt": "a fox"}\n{"operation"\n')

    assert 2 == completed.code
    assert "line 2: invalid JSON" in completed.err
    assert "standard input has 1 fault; earlier jobs are kept" in completed.err


@pytest.mark.parametrize(
    ("script", "name"),
    [('"$@" < <(cat jobs.jsonl)', "/dev/stdin"), ('mkfifo fifo; cat jobs.jsonl > fifo & "$@"', "fifo")],
    ids=["standard-input", "fifo"],
)
def test_a_pipe_is_read_once(cli: CommandLine, ideogram_sandbox: Sandbox, script: str, name: str):
    """Jobs that can be read only once are all run, without a check before."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(3)))

    completed = cli.shell(script, "batch", "run", name, "out")

    assert (0, "") == (completed.code, completed.err)
    assert 3 == len(ideogram_sandbox.requests) == len(names(cli))


def test_the_sandbox_needs_no_key(cli: CommandLine):
    """`--sandbox` runs without a key, and ends with a page of all images."""
    cli.write("jobs.jsonl", generate("fox"))
    env = {name: value for name, value in cli.env.items() if not name.startswith("IDEOGRAM")}

    completed = CommandLine(cli.folder, env)("batch", "run", "jobs.jsonl", "out", "--sandbox")

    assert (0, "") == (completed.code, completed.err)
    assert str(cli.folder / "out" / "gallery.html") in completed.out
    again = CommandLine(cli.folder, env)("batch", "run", "jobs.jsonl", "out", "--sandbox", "--json")

    assert str(cli.folder / "out" / "gallery.html") == again.events[-1]["gallery"]


@pytest.mark.parametrize(
    "fault", [Fault.status(422, '{"error": "unsafe"}'), Fault.unsafe(1)], ids=["refused", "withheld"]
)
def test_exit_1_some_jobs_failed(cli: CommandLine, ideogram_sandbox: Sandbox, fault: Fault):
    """A rejected job and a withheld image exit with 1, and are printed with their cost."""
    cli.write("jobs.jsonl", generate("fox"), generate("owl"))
    ideogram_sandbox.fail("generate", fault=fault)

    completed = cli("batch", "run", "jobs.jsonl", "out")

    assert (1, "") == (completed.code, completed.err)
    assert "Nothing was billed" in completed.out or "withheld" in completed.out


def test_exit_3_an_ambiguous_job(cli: CommandLine, ideogram_sandbox: Sandbox, invoke: Invoke):
    """An ambiguous job exits with 3, and the command to resolve it is shown; once resolved as lost, it exits with 1."""
    cli.write("jobs.jsonl", generate("fox"))
    ideogram_sandbox.fail("generate", fault=Fault.close_after_body)

    completed = cli("batch", "run", "jobs.jsonl", "out")
    status = invoke("batch", "status", "out")
    decided = invoke("batch", "resolve", "out", "fox", "lost")

    assert (3, 3, 0) == (completed.code, status.code, decided.code)
    assert "ideogram-async batch resolve out fox" in completed.out
    assert "0.06 USD in doubt" in status.out
    assert "fox: given up; 0.06 USD counted as spent\n" == decided.out
    after = invoke("batch", "status", "out")
    assert 1 == after.code
    assert "0.06 USD may have been billed, and counts as spent." in after.out


def test_a_resent_job_is_no_longer_ambiguous(cli: CommandLine, ideogram_sandbox: Sandbox):
    """`--retry-ambiguous` ends with 0; the possible cost of the first attempt stays in the report, with its cause."""
    cli.write("jobs.jsonl", generate("fox"))
    ideogram_sandbox.fail("generate", fault=Fault.close_after_body)

    first = cli("batch", "run", "jobs.jsonl", "out")
    again = cli("batch", "run", "jobs.jsonl", "out", "--retry-ambiguous")

    assert (3, 0) == (first.code, again.code)
    assert "run again with --retry-ambiguous" in first.out
    assert "0.06 USD · 0.06 USD in doubt, by earlier attempts of jobs that were sent again" in again.out


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("missing", "lost"), "out has no job 'missing'\n  Nothing was billed. Ambiguous jobs: 'fox'."),
        (("owl", "lost"), "job 'owl' is done; lost needs an ambiguous, accepted or answered job"),
        (("fox", "adopt"), "adopt needs the image's link\n  Nothing was billed. Pass it as --url."),
        (("fox", "lost", "--url", "https://ideogram.ai/x.png"), "lost takes no link"),
        (("fox", "adopt", "--url", "ftp://ideogram.ai/x.png"), "The job is unchanged."),
        (("fox", "forget"), 'Choose from: "lost", "retry", "adopt".'),
    ],
)
def test_exit_2_an_invalid_resolution(
    cli: CommandLine, ideogram_sandbox: Sandbox, invoke: Invoke, arguments: tuple[str, ...], error: str
):
    """Unknown jobs, finished ones and unsuitable links are refused, and change nothing."""
    cli.write("jobs.jsonl", generate("fox", seed=1), generate("owl", seed=2))
    ideogram_sandbox.fail("generate", fault=Fault.close_after_body)
    cli("batch", "run", "jobs.jsonl", "out", "--ordered")
    ambiguous = next(event["id"] for event in cli("batch", "status", "out", "--json").events[0]["ambiguous"])
    swapped = {"fox": ambiguous, "owl": "owl" if ambiguous == "fox" else "fox"}

    completed = invoke("batch", "resolve", "out", *(swapped.get(argument, argument) for argument in arguments))

    assert 2 == completed.code
    assert error.replace("'fox'", f"'{ambiguous}'").replace("'owl'", f"'{swapped['owl']}'") in completed.err
    assert 3 == invoke("batch", "status", "out").code


def test_a_resolution_is_final(cli: CommandLine, ideogram_sandbox: Sandbox, invoke: Invoke):
    """A resolved job is no longer ambiguous: a second resolution is refused."""
    cli.write("jobs.jsonl", generate("fox", num_images=3))
    ideogram_sandbox.fail("generate", fault=Fault.close_after_body)
    cli("batch", "run", "jobs.jsonl", "out")

    first = invoke("batch", "resolve", "out", "fox", "adopt", "--url", "https://ideogram.ai/x.png")
    second = invoke("batch", "resolve", "out", "fox", "retry")
    third = invoke("batch", "resolve", "out", "owl", "adopt", "--url", "https://ideogram.ai/x.png")

    assert "fox: the next run downloads that image; 2 other images counted as lost\n" == first.out
    assert (2, 2) == (second.code, third.code)
    assert "job 'fox' is answered" in second.err
    assert "The folder has no ambiguous jobs." in second.err
    assert "The folder has no ambiguous or accepted jobs." in third.err


def test_jobs_in_flight_of_a_dead_process_are_ambiguous(cli: CommandLine, ideogram_sandbox: Sandbox, invoke: Invoke):
    """While a batch runs, `status` shows the jobs in flight; after it was killed, they are ambiguous."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(12)))
    ideogram_sandbox.hold()

    with cli.start("batch", "run", "jobs.jsonl", "out") as process:
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(10), 20))
        during = invoke("batch", "status", "out")
        process.kill()
        process.communicate(timeout=20)

    after = invoke("batch", "status", "out")
    ideogram_sandbox.release()

    assert (4, 4) == (during.code, after.code)
    assert "12: 10 sending, 2 pending" in during.out
    assert "next      a batch is running in the folder" in during.out
    assert "0.60 USD in doubt, by calls in flight" in during.out
    assert "10 ambiguous" in after.out
    assert "is running" not in after.out
    assert "Resolve each with: ideogram-async batch resolve out n" in after.out


def test_exit_4_an_error_of_all_jobs_is_printed_once(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A rejected key stops the batch; its jobs are printed in one line, with advice."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(10)))
    ideogram_sandbox.fail("generate", times=10, fault=Fault.status(401, '{"error": "no such key"}'))

    completed = cli("batch", "run", "jobs.jsonl", "out")

    assert (4, "") == (completed.code, completed.err)
    assert 1 == completed.out.count("Nothing was billed. Set IDEOGRAM_API_KEY to a valid key.")
    assert "the API key is missing or not valid (401); run the same command to resume" in completed.out


def test_exit_4_the_budget_is_reached(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A batch that stops at its budget exits with 4, and prints how to resume."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(3)))

    completed = cli("batch", "run", "jobs.jsonl", "out", "--max-cost-usd", "0.12")

    assert 4 == completed.code
    assert "budget of 0.12 USD reached: 0.12 USD spent, 0.00 USD in doubt" in completed.out
    assert "raise max_cost_usd (--max-cost-usd) to resume" in " ".join(completed.out.split())
    assert 2 == len(ideogram_sandbox.ledger.entries)


def test_exit_4_an_answer_on_a_full_disk_is_printed_with_its_links(
    cli: CommandLine, ideogram_sandbox: Sandbox, small_disk: Path
):
    """The links are not in the folder, so nothing there can be collected, and the next run lists the job."""
    cli.write("jobs.jsonl", generate("fox"))
    ideogram_sandbox.hold()

    with cli.start("batch", "run", "jobs.jsonl", small_disk / "out") as process:
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(1), 20))
        ballast = fill(small_disk)
        ideogram_sandbox.release()
        out, _ = process.communicate(timeout=20)

    ballast.unlink()
    again = cli("batch", "run", "jobs.jsonl", small_disk / "out")

    assert (4, 3, 1) == (process.returncode, again.code, len(ideogram_sandbox.ledger.entries))
    assert "the reply could not be recorded: No space left on device" in out
    assert "/api/images/ephemeral/" in out
    assert "batch collect" not in out
    # Either write that meets the full disk first may give the reason of the stop.
    assert out.endswith("; free some space and run the same command to resume\n")


@pytest.mark.parametrize("arguments", [(), ("--ordered",)])
def test_every_finished_job_is_printed(cli: CommandLine, ideogram_sandbox: Sandbox, arguments: tuple[str, ...]):
    """Jobs that finish after a Ctrl-C, or that were queued, are printed like all others."""
    cli.write("jobs.jsonl", *(generate(f"n{n}") for n in range(30)))
    ideogram_sandbox.hold()

    with cli.start("batch", "run", "jobs.jsonl", "out", "--json", *arguments) as process:
        assert process.stdout is not None
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(10), 20))
        process.send_signal(signal.SIGINT)
        lines = iter(process.stdout.readline, "")
        before = next(line for line in lines if '"Draining"' in line)
        ideogram_sandbox.release()
        events = [json.loads(line) for line in lines]

    results = [event for event in events if event["event"] == "JobResult"]

    assert "Ctrl-C again" in before
    assert 4 == process.returncode == events[-1]["exit"]
    assert 10 == len({result["id"] for result in results}) == len(results)
    assert {("generate", "done", False)} == {
        (result["operation"], result["state"], result["from_journal"]) for result in results
    }


def test_a_gallery_that_cannot_be_written_changes_nothing(cli: CommandLine):
    """The images are stored and the report is printed, with the command to write the gallery later."""
    cli.write("jobs.jsonl", generate("fox"))
    (cli.folder / "out" / "gallery.html" / "something").mkdir(parents=True)

    completed = cli("batch", "run", "jobs.jsonl", "out", "--gallery")

    assert 0 == completed.code
    assert "1, all done" in completed.out
    assert "✗ The gallery was not written: Is a directory" in completed.err
    assert "  The images are stored. To retry: ideogram-async batch gallery out\n" in completed.err


def test_an_interrupt_while_the_gallery_is_written(invoke: Invoke, monkeypatch: pytest.MonkeyPatch):
    """The report is printed, and the exit code is that of the batch, which is over."""

    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    Path("jobs.jsonl").write_text(json.dumps(generate("fox")))
    monkeypatch.setattr("ideogram_async.cli.batch.session.write_gallery", interrupted)

    completed = invoke("batch", "run", "jobs.jsonl", "out", "--sandbox")

    assert 0 == completed.code
    assert "The gallery was not written: interrupted" in completed.err
    assert "1, all done" in completed.out


def test_exit_130_an_interrupt_while_a_batch_is_closed(invoke: Invoke, monkeypatch: pytest.MonkeyPatch):
    """The output does not claim that nothing was billed."""

    async def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    Path("jobs.jsonl").write_text(json.dumps(generate("fox")))
    monkeypatch.setattr("ideogram_async.cli.batch.session.run_batch", interrupted)

    completed = invoke("batch", "run", "jobs.jsonl", "out", "--sandbox")

    assert 130 == completed.code
    assert "It may have been billed. To see the jobs: ideogram-async batch status out\n" in completed.err


def test_exit_2_the_folder_is_in_use(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A second command on the same folder is refused with 2 and sends nothing."""
    cli.write("jobs.jsonl", generate("fox"))
    ideogram_sandbox.hold()

    with cli.start("batch", "run", "jobs.jsonl", "out") as process:
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(1), 20))
        second = cli("batch", "run", "jobs.jsonl", "out")
        ideogram_sandbox.release()
        process.communicate(timeout=20)

    assert (2, 0) == (second.code, process.returncode)
    assert "is locked by process" in second.err
    assert 1 == len(ideogram_sandbox.requests)


def test_exit_2_an_id_of_another_request(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A changed request under a known id is refused with 2, before money is spent on it."""
    cli.write("jobs.jsonl", generate("fox"))
    cli("batch", "run", "jobs.jsonl", "out")
    cli.write("jobs.jsonl", generate("fox", seed=3))

    completed = cli("batch", "run", "jobs.jsonl", "out")

    assert 2 == completed.code
    assert "is already used by a different request" in completed.err
    assert "Nothing was billed" not in completed.err
    assert 1 == len(ideogram_sandbox.requests)


def test_a_folder_can_be_exported(cli: CommandLine, invoke: Invoke):
    """A folder is exported to a table, to JSON lines, and to a gallery."""
    cli.write("jobs.jsonl", generate("fox"))
    cli("batch", "run", "jobs.jsonl", "out")

    for target in ("jobs.csv", "all.jsonl"):
        completed = invoke("batch", "export", "out", target)

        assert f"{cli.folder / target}\n" == completed.out
        assert "fox" in (cli.folder / target).read_text()

    assert 2 == invoke("batch", "export", "out", "jobs.xlsx").code
    assert "none/jobs.csv cannot be written: No such file" in invoke("batch", "export", "out", "none/jobs.csv").err
    assert f"{cli.folder / 'out' / 'gallery.html'}\n" == invoke("batch", "gallery", "out").out


def test_rejected_jobs_are_sent_again_when_asked(cli: CommandLine, ideogram_sandbox: Sandbox):
    """The same command delivers the refusal from the journal; `--retry-rejected` sends that job alone."""
    cli.write("jobs.jsonl", generate("fox"), generate("owl"))
    ideogram_sandbox.fail(fault=Fault.status(422))

    refused, same = cli("batch", "run", "jobs.jsonl", "out"), cli("batch", "run", "jobs.jsonl", "out")
    sent = len(ideogram_sandbox.requests)
    retried = cli("batch", "run", "jobs.jsonl", "out", "--retry-rejected")

    assert (1, 1, 0) == (refused.code, same.code, retried.code)
    assert (2, 3) == (sent, len(ideogram_sandbox.requests))
    assert ["fox-0.png", "owl-0.png"] == names(cli)


def test_max_uncollected_bounds_what_is_billed(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A batch whose images cannot be downloaded stops after that many, and says why."""
    cli.write("jobs.jsonl", *(generate(f"n{n}", num_images=8) for n in range(6)))
    ideogram_sandbox.fail("images", times=999, fault=Fault.status(404))

    completed = cli("batch", "run", "jobs.jsonl", "out", "--max-uncollected", "8")

    assert 4 == completed.code
    assert 8 == ideogram_sandbox.ledger.billed_images
    assert "stopped" in completed.out
    assert "8 still to be downloaded" in completed.out
