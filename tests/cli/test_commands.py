"""Commands of single operations, and tools."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import CommandLine, Invoke

from ideogram_async import Generate, v2
from ideogram_async._namespaces_v2 import V2
from ideogram_async._operations import operations_of
from ideogram_async._rows.fields import image_operations
from ideogram_async.cli.catalog import commands, first_commands, second_commands
from ideogram_async.cli.exit_codes import Exit, worst
from ideogram_async.sandbox import Fault, Sandbox


def test_every_operation_is_a_command(invoke: Invoke):
    """Help lists all operations of the client."""
    groups = ("", "datasets", "models", "v2", "account")
    pages = {group: invoke(*group.split(), "--help").out for group in groups}

    assert 23 == len(first_commands())
    assert {*operations_of(V2).values(), v2.Custom, v2.GetAccountUsage} == {each.request for each in second_commands()}
    assert [] == [command.name for command in commands() if f" {command.name} " not in pages[command.group]]


def test_a_jobs_file_names_operations_as_commands():
    """The operations of a jobs file are the commands that make images, under the same names."""
    named = {command.full_name: command.request for command in commands() if command.endpoint.makes_images}

    assert named == image_operations()
    assert 32 == len(named)


def test_options_come_from_the_request_class(invoke: Invoke):
    """Names, types and help come from the request class; its positional arguments are positional here."""
    page = invoke("generate", "--help").out

    assert [] == [n for n in inspect.signature(Generate).parameters if f"--{n.replace('_', '-')[:20]}" not in page]
    assert "PROMPT --prompt" in page
    assert "--num-images INT" in page
    assert "--output -o PATH" in page
    assert "Width by height in pixels" in page


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (("generate", "a", "fox"), "Unexpected arguments: 'fox'. Put quotes around a text with spaces."),
        (("generate", "a fox", "--n", "2"), "Unknown option: --n. Did you mean --num-images?"),
        (("generate", "a fox", "--size=1024x1024"), "Did you mean --resolution or --aspect-ratio?"),
        (("generate", "a fox", "--aspect", "1x1"), "Did you mean --aspect-ratio?"),
        (("wait",), "GENERATION-ID is missing."),
        (("account", "usage"), "START is missing."),
        (("account", "usage", "--start"), "--start requires an argument."),
        (("account", "usage", "today"), "START must be a time such as 2026-01-31"),
        (("ledger", "forget", "calls.sqlite3"), "--before is missing."),
        (("run", "jobs.csv", "out"), 'Unknown command "run". Did you mean "batch run"?'),
    ],
)
def test_a_usage_error_names_what_was_meant(invoke: Invoke, arguments: tuple[str, ...], advice: str):
    """The names of other programs are known here as they are in Python."""
    assert advice in invoke(*arguments).err


@pytest.mark.parametrize("arguments", [("genrate",), ("generate",), ("generate", "x", "--seed", "y"), ("batch", "rum")])
def test_usage_errors(invoke: Invoke, arguments: tuple[str, ...]):
    """Invalid arguments exit with 2 and a sentence that names `--help`."""
    completed = invoke(*arguments)

    assert (2, "") == (completed.code, completed.out)
    assert completed.err.startswith("✗ ")
    assert "--help" in completed.err


def test_images_are_stored_in_the_folder(cli: CommandLine, ideogram_sandbox: Sandbox):
    """`generate` accepts values in any case, stores the images, and prints their paths."""
    completed = cli("generate", "a fox", "--num-images", "2", "--rendering-speed", "turbo", "-o", "foxes")
    stored = sorted(path.name for path in (cli.folder / "foxes").iterdir())

    assert (0, "") == (completed.code, completed.err)
    assert 2 == len(stored)
    assert all(f"foxes/{name}" in completed.out for name in stored)
    assert "2 images for 0.06 USD" in completed.out
    assert 2 == ideogram_sandbox.ledger.billed_images


def test_an_answer_as_json(cli: CommandLine):
    """With `--json` the answer is one object, with the paths of the images."""
    completed = cli("generate", "a fox", "--seed", "7", "-o", "foxes", "--json")
    [answer] = completed.events

    assert 7 == answer["data"][0]["seed"]
    assert Path(answer["paths"][0]).name in {path.name for path in (cli.folder / "foxes").iterdir()}


def test_files_and_text(cli: CommandLine):
    """An image can be described, and uploaded to a dataset."""
    cli("generate", "a fox", "-o", "foxes")
    image = next((cli.folder / "foxes").iterdir())
    described, created = cli("describe", image), cli("datasets", "create", "foxes", "--json")
    # An id may begin with a hyphen, like an option.
    uploaded = cli("datasets", "upload-assets", "--", created.events[0]["dataset_id"], image)

    assert (0, 0, 0) == (described.code, created.code, uploaded.code)
    assert "descriptions:" in described.out
    assert image.name in uploaded.out


@pytest.mark.parametrize(
    ("fault", "code", "message"),
    [
        (Fault.status(400, '{"error": "no"}'), 1, "Nothing was billed."),
        (Fault.close_after_body, 3, "It may have been billed."),
        (Fault.garbage_json, 1, "It was billed."),
    ],
)
def test_errors_state_whether_it_was_billed(
    cli: CommandLine, ideogram_sandbox: Sandbox, fault: Fault, code: int, message: str
):
    """An error states what happened, whether it was billed, and what to do; there is no traceback."""
    ideogram_sandbox.fail("generate", fault=fault)

    completed = cli("generate", "a fox")

    assert (code, "") == (completed.code, completed.out)
    assert message in completed.err
    assert "Traceback" not in completed.err


def test_a_withheld_image(cli: CommandLine, ideogram_sandbox: Sandbox):
    """A withheld image was billed, and the command exits with 1."""
    ideogram_sandbox.fail("generate", fault=Fault.unsafe(1))

    completed = cli("generate", "a fox")

    assert 1 == completed.code
    assert "withheld as unsafe, but billed" in completed.out


def test_invalid_fields_are_all_listed(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Every broken rule is listed, nothing is sent, and the exit code is 2."""
    completed = cli("generate", " ", "--num-images", "9", "--rendering-speed", "SLOW")

    assert 2 == completed.code
    assert all(f"  {field}: " in completed.err for field in ("prompt", "num_images", "rendering_speed"))
    assert "for a newer value, pass unchecked:SLOW\n" in completed.err
    assert [] == ideogram_sandbox.requests


def test_a_newer_value_is_sent_unchanged(cli: CommandLine, ideogram_sandbox: Sandbox):
    """`unchecked:` passes a value that this library does not know; the service checks it."""
    completed = cli("generate", "a fox", "--rendering-speed", "unchecked:BALANCED")
    [arrival] = ideogram_sandbox.requests

    assert 1 == completed.code
    assert "400 rendering_speed: 'BALANCED' is not one of the allowed values" in completed.err
    assert "Nothing was billed. Correct the request." in completed.err
    assert "generate" == arrival.operation.rpartition("/")[2]


def test_the_folder_is_created_before_money_is_spent(cli: CommandLine, ideogram_sandbox: Sandbox):
    """If the folder for images cannot be created, nothing is sent."""
    cli.write("file")

    completed = cli("generate", "a fox", "-o", "file")

    assert 2 == completed.code
    assert "file is a file; images need a folder\n  Nothing was billed. Name another folder." in completed.err
    assert [] == ideogram_sandbox.requests


@pytest.mark.parametrize("as_json", [False, True])
def test_images_of_a_malformed_response_are_stored(cli: CommandLine, ideogram_sandbox: Sandbox, as_json: bool):
    """With `-o` the links in a malformed response are downloaded, since they were billed, and the error is printed."""
    link = cli("generate", "a fox", "--json").events[0]["data"][0]["url"]
    ideogram_sandbox.fail("generate", fault=Fault.status(200, f'{{"data": [{{"url": "{link}"}}]}}'))

    completed = cli("generate", "a fox", "-o", "foxes", *(["--json"] * as_json))
    [stored] = (cli.folder / "foxes").iterdir()

    assert 1 == completed.code
    assert f"foxes/{stored.name}" in completed.out
    assert link in completed.out + completed.err
    assert as_json or "It was billed. Do not send it again; its images are at these links." in completed.err


def test_an_image_that_cannot_be_stored_was_billed(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Its link is printed."""
    ideogram_sandbox.fail("image", times=9, fault=Fault.expired)

    completed = cli("generate", "a fox", "-o", "foxes")

    assert 1 == completed.code
    assert "✗ 1 http://" in completed.out
    assert "It was billed." in completed.err
    assert "Nothing was billed." not in completed.err


def test_an_interrupted_call_may_have_been_billed(cli: CommandLine, ideogram_sandbox: Sandbox):
    """Ctrl-C ends a single operation with 130, and the error states that it may have been billed."""
    ideogram_sandbox.hold()
    with cli.start("generate", "a fox") as process:
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(1), 20))
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)

    ideogram_sandbox.release()

    assert 130 == process.returncode
    assert err.startswith("✗ Interrupted.\n  It may have been billed.")
    assert "Traceback" not in err


def test_an_interrupted_call_that_was_not_sent(cli: CommandLine):
    """A call that still connects, here to a server without a TLS handshake, was certainly not billed."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"https://127.0.0.1:{server.getsockname()[1]}"
        with CommandLine(cli.folder, {**cli.env, "IDEOGRAM_BASE_URL": address}).start("generate", "a fox") as process:
            connection, _ = server.accept()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)

        connection.close()

    assert 130 == process.returncode
    assert "✗ Interrupted.\n  Nothing was billed. The call was not sent.\n" == err


def test_an_interrupted_check_sends_nothing(cli: CommandLine):
    """Ctrl-C before anything was sent ends with 130 and reports that, though a thread still waits for the file."""
    os.mkfifo(cli.folder / "jobs.jsonl")
    with cli.start("batch", "plan", "jobs.jsonl") as process:
        assert process.stderr is not None
        with (cli.folder / "jobs.jsonl").open("w"):
            # The command has opened the pipe, and waits for a line that is never written.
            process.send_signal(signal.SIGINT)
            err = process.stderr.read()

    assert 130 == process.returncode
    assert "✗ Interrupted.\n  Nothing was billed. Nothing was sent.\n" == err


@pytest.mark.parametrize(
    ("status", "arguments", "code", "text"),
    [
        ("COMPLETED", (), 0, "status: COMPLETED"),
        ("ERRORED", (), 1, "status: ERRORED"),
        ("TRAINING", ("--timeout", "0.01"), 1, "m was not trained within 0.01 s.\n  Nothing was billed. The training"),
    ],
)
def test_waiting_for_a_model(
    cli: CommandLine, ideogram_sandbox: Sandbox, status: str, arguments: tuple[str, ...], code: int, text: str
):
    """`models wait` ends when the training ends or after `--timeout`, and prints the status."""
    facts = {"name": "fox", "creation_time": "2026-01-01T00:00:00Z", "is_owned": True}
    model = {"model_id": "m", "status": status, "is_available_for_generation": True, **facts}
    ideogram_sandbox.fail(times=9, fault=Fault.status(200, json.dumps({"model": model})))

    completed = cli("models", "wait", "m", *arguments)

    assert code == completed.code
    assert text in completed.out + completed.err


def test_waiting_needs_positive_seconds(invoke: Invoke):
    """An interval of 0 seconds is a usage error."""
    assert 2 == invoke("models", "wait", "m", "--poll", "0").code


def test_help_names_commands_and_options(invoke: Invoke):
    """Help contains no Python names: fields are options, other operations are commands."""
    pages = [invoke(*command.group.split(), command.name, "--help").out for command in commands()]
    text = " ".join(" ".join(pages).split())

    assert "Cannot be combined with --aspect-ratio." in text
    assert "inpaint is its successor." in text
    assert [] == [name for name in ("client.", "ColorPaletteMember", "aspect_ratio", "Inpaint") if name in text]


@pytest.mark.parametrize("name", ["demo", "sandbox", "skill"])
def test_help_names_the_program_that_was_called(cli: CommandLine, name: str):
    """Both programs have these commands; the help of each shows its own name."""
    run = subprocess.run(
        [sys.executable, "-m", "ideogram_async", name, "--help"], capture_output=True, text=True, check=True
    )

    assert cli(name, "--help").out.startswith(f"usage: ideogram-async {name} [-h]")
    assert run.stdout.startswith(f"usage: python -m ideogram_async {name} [-h]")


def test_the_demo_needs_a_folder(cli: CommandLine):
    """A folder that is a file is refused before an image is generated."""
    cli.write("file")

    completed = cli("demo", "--folder", "file")

    assert (2, "") == (completed.code, completed.out)
    assert "cannot create the folder file" in completed.err


def test_a_price(invoke: Invoke):
    """`estimate` accepts the options of the operation, and sends nothing."""
    completed = invoke("estimate", "generate", "a fox", "--num-images", "4")

    assert (0, "") == (completed.code, completed.err)
    assert completed.out.startswith("0.24 USD\n")


def test_the_doctor_finds_no_fault(cli: CommandLine, ideogram_sandbox: Sandbox):
    """`doctor` checks key, host, clock and disk, shows no key, and sends no POST."""
    completed = cli("doctor", "--json")
    [event] = completed.events

    assert (0, "") == (completed.code, completed.err)
    assert ["key", "proxy", "host", "clock", "disk", "extras"] == [check["name"] for check in event["checks"]]
    assert ["HEAD"] == [arrival.method for arrival in ideogram_sandbox.requests]


def test_the_doctor_finds_faults(invoke: Invoke):
    """Without a key and without a server, `doctor` exits with 1."""
    completed = invoke("doctor")

    assert 1 == completed.code
    assert "IDEOGRAM_API_KEY is not set; get a key at https://ideogram.ai/manage-api\n" in completed.out
    assert "cannot be reached" in completed.out


def test_without_the_extra():
    """Without the extra, the command explains how to install it, and exits with 2."""
    script = "import sys; sys.modules['cyclopts'] = None; import ideogram_async.cli as cli; cli.run_process()"
    run = subprocess.run([sys.executable, "-c", script, "doctor"], capture_output=True, text=True, check=False)

    assert (2, "") == (run.returncode, run.stdout)
    assert run.stderr.startswith("ideogram-async needs the extra cli: pip install 'ideogram-async[cli]'\n")


def test_closed_output(cli: CommandLine):
    """Output whose reader has closed it ends the command without a traceback."""
    with cli.start("--help") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()

    assert "" == err


@pytest.mark.parametrize("command", ["demo", "sandbox"])
def test_without_pillow(tmp_path: Path, command: str):
    """Without the extra `sandbox`, its commands name it in one line."""
    script = "import sys; sys.modules['PIL'] = None; import ideogram_async.__main__ as m; sys.exit(m.main())"
    start = [sys.executable, "-c", script, command]
    run = subprocess.run(start, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert (1, "") == (run.returncode, run.stdout)
    assert "ideogram_async.sandbox needs the extra sandbox: pip install 'ideogram-async[sandbox]'\n" == run.stderr


def test_the_package_runs_as_the_command(invoke: Invoke):
    """`python -m ideogram_async` runs every command of `ideogram-async`."""
    command = invoke("estimate", "generate", "a fox")
    module = subprocess.run(
        [sys.executable, "-m", "ideogram_async", "estimate", "generate", "a fox"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, command.out, "") == (module.returncode, module.stdout, module.stderr)


@pytest.mark.parametrize(
    ("arguments", "code", "output"),
    [
        (["demo", "--help"], 0, "usage: python -m ideogram_async demo [-h]"),
        (["--help"], 0, "All other commands need the extra cli: pip install 'ideogram-async[cli]'"),
        ([], 2, "All other commands need the extra cli: pip install 'ideogram-async[cli]'"),
        (["doctor"], 2, "ideogram-async needs the extra cli: pip install 'ideogram-async[cli]'\n"),
    ],
)
def test_the_package_runs_without_the_extra(arguments: list[str], code: int, output: str):
    """Without the extra, `python -m ideogram_async` has its own commands, and names the extra for all others."""
    script = "import sys; sys.modules['cyclopts'] = None; import ideogram_async.__main__ as m; sys.exit(m.main())"
    run = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False)

    assert code == run.returncode
    assert output in (run.stderr if code else run.stdout)


@pytest.mark.parametrize(
    ("codes", "expected"),
    [((), 0), ((0, 1), 1), ((1, 3), 3), ((3, 4, 1), 4), ((4, 130), 130), ((130, 2, 4), 2)],
)
def test_the_most_severe_code_wins(codes: tuple[int, ...], expected: int):
    """Of several codes the order is 2, 130, 4, 3, 1."""
    assert expected == worst(Exit(code) for code in codes)
