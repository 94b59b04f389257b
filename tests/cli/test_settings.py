"""Settings of the commands that send: options, variables and proxies."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Mapping
from pathlib import Path

import pytest
from attrs import evolve
from support.clients import CANARY
from support.commands import CommandLine, Completed, Invoke, generate
from support.paths import DATA
from support.rawserver import Connection, RawServer, answer, raw_response, whole

from ideogram_async._redaction import mask_user
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.settings import Settings, parse_proxy
from ideogram_async.sandbox import Fault, Sandbox

PEM = DATA / "service.pem"
SERVICE = "https://api.ideogram.test"
"""A service that only a proxy can reach; its certificate is in `PEM`."""

PASSWORD = "hunter2-of-the-proxy"
MODELS = raw_response(200, json.dumps({"models": []}).encode())


def with_env(cli: CommandLine, **env: str) -> CommandLine:
    kept = {name: value for name, value in cli.env.items() if not name.lower().endswith("_proxy")}
    return evolve(cli, env=kept | env)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the proxies of the machine that runs the tests."""
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


BAD = {
    ("--max-in-flight", "0"): "'0' is not a whole number of at least 1",
    ("--max-in-flight", "ten"): "'ten' is not a whole number of at least 1",
    ("--max-in-flight", "9" * 5000): f"'{'9' * 59}…' is not a whole number of at least 1",
    ("--retries", "-1"): "'-1' is not a whole number of at least 0",
    ("--retries", "1.5"): "'1.5' is not a whole number of at least 0",
    ("--timeout", "nan"): "'nan' is not a number of seconds above 0, such as 300",
    ("--timeout", "1e999"): "'1e999' is not a number of seconds above 0, such as 300",
    ("--timeout", "5m"): "'5m' is not a number of seconds above 0, such as 300",
    ("--timeout", ""): "'' is not a number of seconds above 0, such as 300",
    ("--proxy", "socks5://proxy:1080"): "'socks5://proxy:1080' is not the URL of an HTTP proxy",
    ("--proxy", "http://proxy:99999"): "'http://proxy:99999' is not the URL of an HTTP proxy",
    ("--proxy", "a b"): "'a b' is not the URL of an HTTP proxy, such as 'http://proxy.example:3128'",
    ("--proxy", "proxy:3128"): "'proxy:3128' is not the URL of an HTTP proxy, such as 'http://proxy:3128'",
}


@pytest.mark.parametrize(("option", "value"), BAD, ids=lambda text: text[:12])
def test_an_invalid_option(invoke: Invoke, monkeypatch: pytest.MonkeyPatch, option: str, value: str) -> None:
    """An option and its variable are refused with their name, the value and what is expected."""
    variable = f"IDEOGRAM_{option[2:].replace('-', '_').upper()}"
    by_option = invoke("generate", "a fox", f"{option}={value}")
    monkeypatch.setenv(variable, value)
    by_variable = invoke("generate", "a fox")

    assert (2, "") == (by_option.code, by_option.out)
    assert f"✗ Invalid value for {option}: {BAD[option, value]}" in by_option.err
    assert value == "" or f"✗ Invalid value for {variable}: {BAD[option, value]}" in by_variable.err


@pytest.mark.parametrize("command", [("generate", "x"), ("batch", "run", "j", "out"), ("batch", "collect", "out")])
def test_invalid_variables_of_a_batch(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    """Every command that sends refuses an invalid variable, unless its option is given."""
    monkeypatch.setenv("IDEOGRAM_RETRIES", "many")
    refused, overridden = invoke(*command), invoke(*command, "--retries", "0")

    assert "Invalid value for IDEOGRAM_RETRIES: 'many'" in refused.err
    assert "IDEOGRAM_RETRIES" not in overridden.err


@pytest.mark.parametrize("value", ["", "   "])
def test_empty_variables_are_not_set(cli: CommandLine, value: str) -> None:
    """A variable that is empty or blank has no effect."""
    names = ("MAX_IN_FLIGHT", "TIMEOUT", "RETRIES", "PROXY", "MAX_UNCOLLECTED", "VERBOSE", "QUIET")
    env = {f"IDEOGRAM_{name}": value for name in names}

    completed = with_env(cli, **env, HTTP_PROXY=value, NO_PROXY=value)("models", "list", "--json")

    assert (0, "") == (completed.code, completed.err)


def test_max_uncollected_has_a_variable(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options of a batch that are settings have variables, too."""
    monkeypatch.setenv("IDEOGRAM_MAX_UNCOLLECTED", "none")

    assert (
        "IDEOGRAM_MAX_UNCOLLECTED: 'none' is not a whole number of at least 1" in invoke("batch", "run", "j", "o").err
    )


@pytest.mark.parametrize(("options", "sent"), [((), 1), (("--max-in-flight", "3"), 3)])
def test_a_limit_of_one(cli: CommandLine, ideogram_sandbox: Sandbox, options: tuple[str, ...], sent: int) -> None:
    """`IDEOGRAM_MAX_IN_FLIGHT` limits a batch, and the option takes precedence over it."""
    cli.write("jobs.jsonl", *[generate(f"fox{number}") for number in range(3)])
    ideogram_sandbox.hold()
    with with_env(cli, IDEOGRAM_MAX_IN_FLIGHT="1").start("batch", "run", "jobs.jsonl", "out", *options) as process:
        asyncio.run(asyncio.wait_for(ideogram_sandbox.wait_for_requests(sent), 20))
        ideogram_sandbox.release()
        process.communicate(timeout=20)

    assert (0, sent) == (process.returncode, ideogram_sandbox.peak_in_flight)


def test_without_retries(cli: CommandLine, ideogram_sandbox: Sandbox) -> None:
    """`--retries 0` sends a call once, and `--retries 1` twice."""
    counts = []
    for retries in (0, 1):
        ideogram_sandbox.reset()
        ideogram_sandbox.fail(times=9, fault=Fault.status(503))
        cli("models", "list", "--retries", retries)
        counts.append(len(ideogram_sandbox.requests))

    assert [1, 2] == counts


def test_a_timeout(cli: CommandLine, ideogram_sandbox: Sandbox) -> None:
    """`--timeout` ends an attempt; the outcome of a call that costs money is then unknown."""
    ideogram_sandbox.fail(fault=Fault.hang)

    completed = cli("generate", "a fox", "--timeout", "0.3")

    assert 3 == completed.code
    assert "the timeout" in completed.err


def test_verbose(cli: CommandLine, ideogram_sandbox: Sandbox) -> None:
    """`-v` logs attempts, statuses and retries to the error stream, without the key."""
    ideogram_sandbox.fail(fault=Fault.status(503))

    completed = cli("models", "list", "-v", "--json")
    lines = with_env(cli, IDEOGRAM_VERBOSE="1", IDEOGRAM_API_KEY=CANARY)("models", "list").err.splitlines()

    assert 0 == completed.code
    assert 1 == len(completed.events)
    logged = [json.loads(line)["event"] for line in completed.err.splitlines()]
    assert ["Sending", "Answered", "Retrying", "Sending", "Answered"] == [name for name in logged if name != "Waiting"]
    assert "GET /models: attempt 1" in lines[0]
    assert "GET /models: status 200 after" in lines[1]
    assert CANARY not in "".join(lines)


def test_verbose_batches(cli: CommandLine) -> None:
    """`batch run -v` logs the attempts of its calls, next to its own lines."""
    cli.write("jobs.jsonl", generate("fox"))
    completed = cli("batch", "run", "jobs.jsonl", "out", "-v")

    assert 0 == completed.code
    assert "POST /v1/ideogram-v3/generate: attempt 1" in completed.err
    assert "fox" in completed.out


@pytest.mark.parametrize(
    ("options", "env", "expected"),
    [
        ({}, {}, (False, False)),
        ({"verbose": True}, {"IDEOGRAM_QUIET": "1"}, (True, False)),
        ({"quiet": True}, {"IDEOGRAM_VERBOSE": "yes"}, (False, True)),
        ({}, {"IDEOGRAM_QUIET": "on"}, (False, True)),
        ({}, {"IDEOGRAM_QUIET": "0"}, (False, False)),
    ],
)
def test_an_option_takes_precedence(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, bool], env: dict[str, str], expected: tuple[bool, bool]
) -> None:
    """`-v` and `-q` take precedence over the variables."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    settings = Settings(**options)  # type: ignore[arg-type]

    assert expected == (settings.is_verbose, settings.is_quiet)


def test_verbose_and_quiet(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`-v` and `-q` cannot be combined, and a variable must be 1 or 0."""
    both = invoke("generate", "x", "-v", "-q")
    monkeypatch.setenv("IDEOGRAM_API_KEY", "k")
    monkeypatch.setenv("IDEOGRAM_VERBOSE", "loud")
    invalid = invoke("models", "list")

    assert (2, "✗ --verbose and --quiet cannot be combined.\n") == (both.code, both.err.splitlines(keepends=True)[0])
    assert (2, True) == (invalid.code, "Invalid value for IDEOGRAM_VERBOSE: 'loud' is not 1 or 0." in invalid.err)


def test_the_wait_has_its_own_timeout(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """`models wait --timeout` does not replace `IDEOGRAM_TIMEOUT`, the timeout of an attempt."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", "k")
    monkeypatch.setenv("IDEOGRAM_TIMEOUT", "many")
    completed = invoke("models", "wait", "m", "--timeout", "1")

    assert 2 == completed.code
    assert "IDEOGRAM_TIMEOUT must be a number of seconds, not 'many'" in completed.err


@pytest.mark.parametrize(
    ("env", "base_url", "expected"),
    [
        ({"HTTPS_PROXY": "http://a:1"}, SERVICE, ("http://a:1", "HTTPS_PROXY")),
        ({"https_proxy": "a:1"}, SERVICE, ("http://a:1", "https_proxy")),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, SERVICE, ("http://low:1", "https_proxy")),
        ({"Https_Proxy": "http://a:1"}, SERVICE, ("http://a:1", "Https_Proxy")),
        ({"HTTP_PROXY": "http://a:1"}, SERVICE, (None, "default")),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "*"}, SERVICE, (None, "")),
        ({"HTTPS_PROXY": "http://a:1", "no_proxy": "x, .ideogram.test"}, SERVICE, (None, "")),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "ideogram.test"}, SERVICE, (None, "")),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "api.ideogram.test:443"}, f"{SERVICE}:443", (None, "")),
        ({"HTTPS_PROXY": "http://a:1", "NO_PROXY": "ram.test"}, SERVICE, ("http://a:1", "HTTPS_PROXY")),
        ({"HTTPS_PROXY": "http://a:1", "HTTP_PROXY": "http://b:1"}, "http://127.0.0.1:9", (None, "")),
        ({"HTTP_PROXY": "http://b:1"}, "http://localhost:9", (None, "")),
        ({"HTTP_PROXY": "http://b:1"}, "http://[::1]:9", (None, "")),
    ],
)
def test_the_proxy_of_the_environment(
    monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str], base_url: str, expected: tuple[str | None, str]
) -> None:
    """The proxy is that of the scheme of the service, unless `NO_PROXY` lists its host or it is on this machine."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)

    proxy, source = Settings().find_proxy(base_url)

    assert expected[0] == proxy
    assert source == expected[1] or expected[1] == ""


def test_an_option_replaces_the_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--proxy` takes precedence, `--proxy none` means no proxy, and this machine is reached without one."""
    monkeypatch.setenv("HTTPS_PROXY", "http://a:1")
    monkeypatch.setenv("NO_PROXY", "*")
    proxies = [Settings(proxy=parse_proxy(text)).find_proxy(SERVICE)[0] for text in ("http://b:1", "NONE")]

    assert ["http://b:1", None] == proxies
    assert (None, "this machine is reached directly") == Settings(proxy="http://b:1").find_proxy("http://127.0.0.1:9")


def test_an_invalid_proxy_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the variable, and neither the user nor the password."""
    monkeypatch.setenv("https_proxy", f"socks5://me:{PASSWORD}@proxy:1080")

    with pytest.raises(UsageError) as caught:
        Settings().find_proxy(SERVICE)

    assert str(caught.value).startswith("Invalid value for https_proxy: 'socks5://***@proxy:1080' is not the URL")


@pytest.mark.parametrize("url", ["http://me:pw@proxy:1", "me:pw@proxy:1", "http://me@proxy", "http://me:a/pw b@p"])
def test_users_are_masked(url: str) -> None:
    """The user and the password of a proxy are replaced."""
    assert "pw" not in mask_user(url)
    assert "me" not in mask_user(url)


async def test_a_call_through_a_proxy(cli: CommandLine) -> None:
    """The service is asked through the tunnel of the proxy of the environment, with the user of its URL."""
    async with tunnel() as proxy:
        url = proxy.url.replace("http://", f"http://me:{PASSWORD}@")
        completed = await run_behind(cli, "models", "list", "-v", HTTPS_PROXY=url)

    connect, request = proxy.requests
    assert (0, "CONNECT api.ideogram.test:443 HTTP/1.1") == (completed.code, connect.line)
    assert connect.headers["proxy-authorization"].startswith("Basic ")
    assert "api-key" not in connect.headers
    assert ("GET /models HTTP/1.1", "sandbox") == (request.line, request.headers["api-key"])
    assert PASSWORD not in completed.out + completed.err


@pytest.mark.parametrize("reply", [raw_response(407), raw_response(502), b"", b"nonsense\r\n\r\n"])
async def test_a_proxy_that_refuses(cli: CommandLine, reply: bytes) -> None:
    """A call that no tunnel carries was not sent, and nothing was billed."""
    async with RawServer((whole, answer(reply))) as proxy:
        url = proxy.url.replace("http://", f"http://me:{PASSWORD}@")
        completed = await run_behind(cli, "generate", "a fox", "--retries", "0", "--proxy", url)

    assert 1 == completed.code
    assert "Nothing was billed." in completed.err
    assert PASSWORD not in completed.out + completed.err


async def test_a_proxy_that_is_not_there(cli: CommandLine) -> None:
    """A call was not sent if its proxy cannot be reached, and the advice names `doctor`."""
    url = f"http://me:{PASSWORD}@127.0.0.1:1"
    completed = await run_behind(cli, "generate", "a fox", "--retries", "0", IDEOGRAM_PROXY=url)

    assert 1 == completed.code
    assert "Nothing was billed." in completed.err
    assert "ideogram-async doctor" in completed.err
    assert PASSWORD not in completed.out + completed.err


async def test_this_machine_is_reached_without_a_proxy(cli: CommandLine, ideogram_sandbox: Sandbox) -> None:
    """A service on this machine, and its images, are never reached through a proxy, whatever is set."""
    async with RawServer((whole, answer(raw_response(502)))) as proxy:
        proxied = with_env(cli, HTTP_PROXY=proxy.url, HTTPS_PROXY=proxy.url, IDEOGRAM_PROXY=proxy.url)
        completed = await asyncio.to_thread(proxied, "generate", "a fox", "-o", "foxes")

    assert (0, 0) == (completed.code, proxy.connections)
    assert 1 == len(list((cli.folder / "foxes").iterdir()))
    assert 1 == ideogram_sandbox.ledger.billed_images


async def run_behind(cli: CommandLine, *arguments: str, **env: str) -> Completed:
    """Run a command against the service that only a proxy can reach."""
    settings = {"IDEOGRAM_BASE_URL": SERVICE, "SSL_CERT_FILE": str(PEM)} | env
    return await asyncio.to_thread(with_env(cli, **settings), *arguments)


def tunnel() -> RawServer:
    """Return a proxy whose tunnel ends at a service with TLS, which has no models."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(Path(PEM))

    async def start_tls(connection: Connection) -> None:
        await connection.writer.start_tls(context)

    return RawServer(
        (whole, answer(raw_response(200, b"", {"Connection": "keep-alive"})), start_tls, whole, answer(MODELS))
    )
