"""Checks of `doctor`, against hosts and folders with faults."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.rawserver import RawServer, answer, whole

from ideogram_async.cli.doctor import check_clock, check_disk, check_host


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
        check, host_time = await check_host()

    assert check.is_ok
    assert host_time is None
    assert check_clock(None).is_ok is None


async def test_an_unreachable_host_names_the_proxy(monkeypatch: pytest.MonkeyPatch):
    """A host that refuses connections fails the check, which mentions a proxy that is set."""
    monkeypatch.setenv("IDEOGRAM_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:2")
    check, _ = await check_host()

    assert check.is_ok is False
    assert "127.0.0.1:1" in check.message
    assert "HTTPS_PROXY" in check.message


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
