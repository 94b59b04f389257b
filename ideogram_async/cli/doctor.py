"""A look around before money is spent: key, host, clock, disk. Buys nothing, and sends no key."""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

from attrs import frozen
from rich.text import Text

from ideogram_async._client import SERVICE
from ideogram_async.cli.console import Exit, console, safe, say_json
from ideogram_async.cli.options import Json

PATIENCE = 10.0

"""Seconds that the host may take."""

MOST_APART = 120.0

"""Seconds that the clocks may differ: links live by the host's."""

LEAST_FREE = 2**30

EXTRAS = {"PIL": "Pillow (sandbox, gallery)", "jinja2": "jinja2 (gallery)"}


@frozen
class Finding:
    """One thing that was looked at."""

    name: str
    is_well: bool | None
    """`None` where it could not be told, or matters little."""
    told: str


def look_at_key() -> Finding:
    """See whether there is a key; it is not shown, nor sent."""
    key = os.environ.get("IDEOGRAM_API_KEY", "").strip()
    return Finding("key", bool(key), "IDEOGRAM_API_KEY is set" if key else "IDEOGRAM_API_KEY is not set")


async def visit() -> tuple[Finding, datetime | None]:
    """Knock at the host: connect, agree on TLS, and ask for its time with a `HEAD` that carries no key."""
    url = os.environ.get("IDEOGRAM_BASE_URL") or SERVICE
    try:
        parts = urlsplit(url)
        is_tls, host = parts.scheme == "https", parts.hostname or ""
        port = parts.port or (443 if is_tls else 80)
    except ValueError as error:
        return Finding("host", False, f"IDEOGRAM_BASE_URL makes no sense: {error}"), None

    began = time.monotonic()
    try:
        async with asyncio.timeout(PATIENCE):
            moment = await _knock(host, port, is_tls=is_tls)
    except TimeoutError:
        return Finding("host", False, f"{host}:{port} does not answer within {PATIENCE:.0f} s{_proxied()}"), None
    except (OSError, ssl.SSLError) as error:
        return Finding("host", False, f"{host}:{port} cannot be reached: {error.strerror or error}{_proxied()}"), None

    how = "TCP and TLS" if is_tls else "TCP, no TLS"
    return Finding("host", True, f"{host}:{port} answers ({how}, {1000 * (time.monotonic() - began):.0f} ms)"), moment


def look_at_clock(host_time: datetime | None) -> Finding:
    """Compare our clock with the host's."""
    if host_time is None:
        return Finding("clock", None, "cannot be compared: the host told no time")

    apart = abs((datetime.now(UTC) - host_time).total_seconds())
    words = "agrees with the host's" if apart <= MOST_APART else f"is {apart:,.0f} s off the host's; links live by that"
    return Finding("clock", apart <= MOST_APART, words)


def look_at_disk(folder: Path) -> Finding:
    """See whether the folder, or the one it will be made in, can be written and has room."""
    at = folder.absolute()
    while not at.exists():
        at = at.parent

    try:
        with TemporaryDirectory(dir=at, prefix=".ideogram-probe-") as probe:
            first = Path(probe, "first")
            first.write_bytes(b"can be written")
            Path(probe, "second").hardlink_to(first)
    except OSError as error:
        return Finding("disk", False, f"{at} cannot be written as it should be: {error.strerror}")

    free = shutil.disk_usage(at).free
    words = f"{at} can be written, {free / 2**30:,.1f} GiB are free"
    return Finding("disk", True if free >= LEAST_FREE else None, words)


def look_at_extras() -> Finding:
    """See what of the extras is installed."""
    missing = [words for name, words in EXTRAS.items() if find_spec(name) is None]
    return Finding("extras", None if missing else True, f"missing: {', '.join(missing)}" if missing else "all there")


async def _knock(host: str, port: int, *, is_tls: bool) -> datetime | None:
    reader, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context() if is_tls else None)
    try:
        writer.write(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        async for line in reader:
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "date":
                moment = parsedate_to_datetime(value.strip())
                return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

            if not line.strip():
                break
    except (OSError, ValueError):
        # It was reached; that it tells no time is no reason to complain.
        return None
    finally:
        writer.close()

    return None


def _proxied() -> str:
    names = [name for name in ("HTTPS_PROXY", "https_proxy") if os.environ.get(name)]
    return f"; {names[0]} is set, and was not used" if names else ""


SIGNS = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "yellow")}


def doctor(
    folder: Path = Path(),
    *,
    json: Json = False,
) -> int:
    """Look whether all is well: key, host, clock, disk. Buys nothing, and shows no key.

    Args:
        folder: Where images are to go.
    """
    findings = list(_look_around(folder))
    is_well = all(finding.is_well is not False for finding in findings)
    code = Exit.OK if is_well else Exit.FAILED
    if json:
        say_json({"event": "Doctor", "findings": findings, "exit": code})
        return code

    for finding in findings:
        sign, colour = SIGNS[finding.is_well]
        told = Text.assemble((f"{sign} ", colour), (f"{finding.name:<8}", "bold"), safe(finding.told))
        console().print(told)

    return code


def _look_around(folder: Path) -> Iterator[Finding]:
    yield look_at_key()
    visited, host_time = asyncio.run(visit())
    yield visited
    yield look_at_clock(host_time)
    yield look_at_disk(folder)
    yield look_at_extras()
