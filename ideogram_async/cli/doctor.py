"""Command `doctor`: health check of key, host, clock and disk. Costs nothing, and sends no key."""

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
from ideogram_async.cli.console import Exit, console, escape, print_json, run_async
from ideogram_async.cli.options import Json

HOST_TIMEOUT = 10.0
"""Seconds for the host to answer."""

MAX_CLOCK_SKEW = 120.0
"""Seconds between our clock and the host's, which decides when links expire."""

MIN_FREE_BYTES = 2**30
EXTRAS = {"PIL": "Pillow (sandbox, gallery)", "jinja2": "jinja2 (gallery)"}
SIGNS: dict[bool | None, tuple[str, str]] = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "yellow")}


@frozen
class Check:
    """Result of a check."""

    name: str
    is_ok: bool | None
    """`None` if it is unknown, or not important."""
    message: str


def doctor(folder: Path = Path(), *, json: Json = False) -> int:
    """Run `doctor`.

    Args:
        folder: The folder for images.
    """
    checks = list(_run_checks(folder))
    code = Exit.FAILED if any(check.is_ok is False for check in checks) else Exit.OK
    if json:
        print_json({"event": "Doctor", "checks": checks, "exit": code})
        return code

    for check in checks:
        sign, color = SIGNS[check.is_ok]
        console().print(Text.assemble((f"{sign} ", color), (f"{check.name:<8}", "bold"), escape(check.message)))

    return code


def _run_checks(folder: Path) -> Iterator[Check]:
    yield check_key()
    host, host_time = run_async(check_host())
    yield host
    yield check_clock(host_time)
    yield check_disk(folder)
    yield check_extras()


def check_key() -> Check:
    """Check that there is a key, without showing or sending it."""
    key = os.environ.get("IDEOGRAM_API_KEY", "").strip()
    return Check("key", bool(key), "IDEOGRAM_API_KEY is set" if key else "IDEOGRAM_API_KEY is not set")


async def check_host() -> tuple[Check, datetime | None]:
    """Connect to the host, and return its time too, from a `HEAD` request without a key."""
    url = os.environ.get("IDEOGRAM_BASE_URL") or SERVICE
    try:
        parts = urlsplit(url)
        is_tls, host = parts.scheme == "https", parts.hostname or ""
        port = parts.port or (443 if is_tls else 80)
    except ValueError as error:
        return Check("host", False, f"IDEOGRAM_BASE_URL is invalid: {error}"), None

    began = time.monotonic()
    try:
        async with asyncio.timeout(HOST_TIMEOUT):
            host_time = await _connect(host, port, is_tls=is_tls)
    except TimeoutError:
        message = f"{host}:{port} does not answer within {HOST_TIMEOUT:.0f} s{_proxy_note()}"
        return Check("host", False, message), None
    except OSError as error:
        message = f"{host}:{port} cannot be reached: {error.strerror or error}{_proxy_note()}"
        return Check("host", False, message), None

    protocol = "TCP and TLS" if is_tls else "TCP, no TLS"
    milliseconds = 1000 * (time.monotonic() - began)
    return Check("host", True, f"{host}:{port} answers ({protocol}, {milliseconds:.0f} ms)"), host_time


async def _connect(host: str, port: int, *, is_tls: bool) -> datetime | None:
    reader, writer = await asyncio.open_connection(host, port, ssl=ssl.create_default_context() if is_tls else None)
    try:
        writer.write(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        async for line in reader:
            name, _, value = line.decode("latin-1").partition(":")
            if name.lower() == "date":
                host_time = parsedate_to_datetime(value.strip())
                return host_time if host_time.tzinfo else host_time.replace(tzinfo=UTC)

            if not line.strip():
                break
    except (OSError, ValueError):
        # The host was reached; a missing or malformed date is not a fault.
        return None
    finally:
        writer.close()

    return None


def _proxy_note() -> str:
    names = [name for name in ("HTTPS_PROXY", "https_proxy") if os.environ.get(name)]
    return f"; {names[0]} is set, and was not used" if names else ""


def check_clock(host_time: datetime | None) -> Check:
    """Compare our clock with the host's."""
    if host_time is None:
        return Check("clock", None, "cannot be compared: the host sent no date")

    skew = abs((datetime.now(UTC) - host_time).total_seconds())
    if skew <= MAX_CLOCK_SKEW:
        return Check("clock", True, "agrees with the host's")

    return Check("clock", False, f"differs from the host's by {skew:,.0f} s; links expire by the host's clock")


def check_disk(folder: Path) -> Check:
    """Check that the folder, or its first existing parent, is writable and has space."""
    existing = folder.absolute()
    while not existing.exists():
        existing = existing.parent

    try:
        with TemporaryDirectory(dir=existing, prefix=".ideogram-probe-") as probe:
            first = Path(probe, "first")
            first.write_bytes(b"writable")
            Path(probe, "second").hardlink_to(first)
    except OSError as error:
        return Check("disk", False, f"{existing} is not writable, or has no hard links: {error.strerror}")

    free = shutil.disk_usage(existing).free
    message = f"{existing} is writable, {free / 2**30:,.1f} GiB free"
    return Check("disk", True if free >= MIN_FREE_BYTES else None, message)


def check_extras() -> Check:
    """Check which optional packages are installed."""
    missing = [package for name, package in EXTRAS.items() if find_spec(name) is None]
    return Check("extras", None if missing else True, f"missing: {', '.join(missing)}" if missing else "all installed")
