"""Checks of `doctor`, against hosts and folders with faults."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.clients import CANARY
from support.commands import Invoke
from support.rawserver import RawServer, answer, raw_response, whole

from ideogram_async.cli.doctor import Check, check_clock, check_disk, check_host, check_proxy, find_proxy
from ideogram_async.cli.settings import Settings


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nDate: soon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
        b"",
    ],
    ids=["no date", "no such date", "half a head", "nothing"],
)
async def test_a_host_without_a_date_is_reachable(monkeypatch: pytest.MonkeyPatch, reply: bytes):
    """A host that answers without a usable date passes, and the clock stays unchecked."""
    async with RawServer((whole, answer(reply))) as server:
        monkeypatch.setenv("IDEOGRAM_BASE_URL", server.url)
        check, host_time = await check_host(None)

    assert check.is_ok
    assert host_time is None
    assert check_clock(None).is_ok is None


async def test_an_unreachable_host(monkeypatch: pytest.MonkeyPatch):
    """A host that refuses connections fails the check."""
    monkeypatch.setenv("IDEOGRAM_BASE_URL", "http://127.0.0.1:1")
    check, _ = await check_host(None)

    assert Check("host", False, "127.0.0.1:1 cannot be reached: Connection refused") == check


@pytest.mark.parametrize(
    ("reply", "reason"), [(raw_response(407), "the proxy answered 407"), (b"", "Server disconnected")]
)
async def test_a_proxy_that_fails(monkeypatch: pytest.MonkeyPatch, reply: bytes, reason: str):
    """The host is checked through the proxy, whose password is not shown."""
    monkeypatch.setenv("IDEOGRAM_BASE_URL", "https://api.ideogram.test")
    async with RawServer((whole, answer(reply))) as server:
        shown = server.url.replace("http://", "http://***@")
        check, _ = await check_host(server.url.replace("http://", "http://me:secret@"))

    assert "CONNECT api.ideogram.test:443 HTTP/1.1" == server.requests[0].line
    assert "api-key" not in server.requests[0].headers
    assert check.message.startswith(f"api.ideogram.test:443 cannot be reached through the proxy {shown}: {reason}")
    assert "secret" not in check.message


async def test_a_proxy_that_is_not_there(monkeypatch: pytest.MonkeyPatch):
    """The error names the proxy, not the host."""
    monkeypatch.setenv("IDEOGRAM_BASE_URL", "https://api.ideogram.test")
    check, _ = await check_host("http://me:secret@127.0.0.1:1")

    assert check.message.endswith("the proxy http://***@127.0.0.1:1: the proxy cannot be reached: Connection refused")


def test_settings_are_listed_with_their_sources(invoke: Invoke, monkeypatch: pytest.MonkeyPatch):
    """Each setting has the value that applies, and the option, the variable or the default that it comes from."""
    for name, value in {"TIMEOUT": "60", "RETRIES": "1", "QUIET": "1", "MAX_IN_FLIGHT": "", "API_KEY": CANARY}.items():
        monkeypatch.setenv(f"IDEOGRAM_{name}", value)

    completed = invoke("doctor", "--retries", "2", "--json")
    rows = [tuple(row.values()) for row in completed.events[0]["settings"]]

    assert [
        ("base-url", "http://127.0.0.1:9", "IDEOGRAM_BASE_URL"),
        ("max-in-flight", 10, "default"),
        ("timeout", 60, "IDEOGRAM_TIMEOUT"),
        ("retries", 2, "--retries"),
        ("verbose", False, "default"),
        ("quiet", True, "IDEOGRAM_QUIET"),
        ("proxy", "none", "this machine is reached directly"),
    ] == rows
    assert CANARY not in completed.out


@pytest.mark.parametrize(
    ("proxy", "env", "message"),
    [
        (None, "http://me:pw@a:1", "http://***@a:1, from HTTPS_PROXY"),
        ("http://b:2", "a:1", "http://b:2, from --proxy"),
        ("none", "a:1", "none; --proxy"),
        (None, "", "none"),
        (None, "socks5://a:1", "Invalid value for HTTPS_PROXY: 'socks5://a:1' is not the URL of an HTTP proxy"),
    ],
)
def test_the_proxy_is_reported(monkeypatch: pytest.MonkeyPatch, proxy: str | None, env: str, message: str):
    """With its source, and without user and password; a faulty variable fails the check."""
    for name in ("NO_PROXY", "no_proxy", "https_proxy", "IDEOGRAM_BASE_URL", "IDEOGRAM_PROXY"):
        monkeypatch.delenv(name, raising=False)

    monkeypatch.setenv("HTTPS_PROXY", env)
    check = check_proxy(*find_proxy(Settings(proxy=proxy)))

    assert check.message.startswith(message)
    assert ("Invalid" not in message) is check.is_ok


def test_a_key_that_cannot_be_sent(invoke: Invoke, monkeypatch: pytest.MonkeyPatch):
    """A key with other characters than a header allows is not shown."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", "klé")
    out = invoke("doctor").out
    err = invoke("generate", "a fox").err

    assert "Invalid environment variable: IDEOGRAM_API_KEY contains characters that are not allowed" in err
    assert "key     IDEOGRAM_API_KEY: the API key contains characters that are not allowed in an HTTP header\n" in out
    assert "klé" not in out + err


@pytest.mark.parametrize(("seconds", "ok"), [(0, True), (100_000, False), (-100_000, False)])
def test_the_clock_is_compared(seconds: int, ok: bool):
    """A clock that differs by hours fails the check, since links expire by the host's clock."""
    assert ok is check_clock(datetime.now(UTC) + timedelta(seconds=seconds)).is_ok


def test_a_folder_that_does_not_exist_yet_passes(tmp_path: Path):
    """The first existing parent is probed, and nothing is left in it."""
    assert check_disk(tmp_path / "out" / "foxes").is_ok
    assert [] == list(tmp_path.iterdir())


def test_a_folder_without_hard_links_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A folder in which files cannot be published without a race fails the check."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)

    assert check_disk(tmp_path).is_ok is False
