"""The command and the pytest fixtures."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import urllib.request

import pytest

from ideogram_async.sandbox.command import main

START = "from ideogram_async.sandbox.command import main; raise SystemExit(main())"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_serves_until_a_signal(number):
    """The command prints its address, serves, and at the end prints what was billed."""
    arguments = ["--latency", "0-0.001", "--balance-usd", "1.50", "--image-format", "webp", "--seed", "4", "--control"]
    process = subprocess.Popen([sys.executable, "-c", START, *arguments], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        url = lines[1].strip().partition("=")[2]
        body = b'{"image_request": {"prompt": "a fox", "num_images": 2}}'
        headers = {"Api-Key": "sandbox", "Content-Type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{url}/generate", body, headers)) as answer:
            status = answer.status
        with urllib.request.urlopen(f"{url}/sandbox/ledger") as answer:
            ledger = json.load(answer)
        process.send_signal(number)
        rest = process.stdout.read()

    assert f"export IDEOGRAM_BASE_URL={url}\n" == lines[1]
    assert "export IDEOGRAM_API_KEY=sandbox\n" == lines[2]
    assert 200 == status
    assert (2, "0.16") == (ledger["billed_images"], ledger["billed_usd"])
    assert "Billed 1 call, 2 images, 0.16 USD.\n" == rest
    assert 0 == process.returncode


def test_port_in_use(capsys, ideogram_sandbox):
    """A port in use is reported in one line, with the option that helps."""
    port = ideogram_sandbox.url.rpartition(":")[2]
    code = main(["--port", port])

    assert 1 == code
    assert f"port {port}: Address already in use; choose another with --port\n" == capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--balance-usd", "much"], ["--latency", "soon"], ["--image-format", "gif"]])
def test_invalid_arguments(capsys, arguments):
    """Invalid arguments exit with 2 and name the option."""
    with pytest.raises(SystemExit) as exited:
        main(arguments)

    assert 2 == exited.value.code
    assert arguments[0] in capsys.readouterr().err


def test_sandbox_fixture(ideogram_sandbox):
    """The fixture returns a running sandbox without requests."""
    assert ideogram_sandbox.url.startswith("http://127.0.0.1:")
    assert [] == ideogram_sandbox.requests


def test_client_fixture(monkeypatch, request):
    """The client of the fixture uses the test's sandbox."""
    import ideogram_async

    monkeypatch.setattr(ideogram_async, "Ideogram", lambda key, *, base_url: (key, base_url), raising=False)

    sandbox = request.getfixturevalue("ideogram_sandbox")

    assert ("sandbox", sandbox.url) == request.getfixturevalue("ideogram_client")


def test_plugin_is_light():
    """Loading the plugin loads neither the server nor Pillow."""
    heavy = "{'aiohttp', 'PIL', 'attrs', 'ideogram_async.sandbox.sandbox'}"
    code = f"import sys, ideogram_async.sandbox.pytest_plugin; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "set()\n" == run.stdout
