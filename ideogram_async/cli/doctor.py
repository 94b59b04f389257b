"""Command `doctor`: health check of key, proxy, host, clock and disk. Costs nothing, and sends no key."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from attrs import frozen
from rich.text import Text
from yarl import URL

from ideogram_async._client import SERVICE
from ideogram_async._pipeline.settings import parse_base_url
from ideogram_async._redaction import Secret, mask_user
from ideogram_async.cli.console import console, escape, print_json, print_wrapped
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.exit_codes import Exit
from ideogram_async.cli.interrupts import run_async
from ideogram_async.cli.options import Json
from ideogram_async.cli.settings import DEFAULT_SETTINGS, GET_KEY, Settings, has_key

HOST_TIMEOUT = 10.0
"""Seconds for the host to answer."""

MAX_CLOCK_SKEW = 120.0
"""Seconds between our clock and the host's, which decides when links expire."""

MIN_FREE_BYTES = 2**30
MAX_VALUE_WIDTH = 30
"""Columns to which the value of a setting is padded."""
EXTRAS = {"PIL": "Pillow (sandbox, gallery)", "jinja2": "jinja2 (gallery)"}
SIGNS: dict[bool | None, tuple[str, str]] = {True: ("✓", "green"), False: ("✗", "bold red"), None: ("·", "yellow")}


@frozen
class Check:
    """Result of a check."""

    name: str
    is_ok: bool | None
    """`None` if it is unknown, or not important."""
    message: str


def doctor(folder: Path = Path(), *, settings: Settings = DEFAULT_SETTINGS, json: Json = False) -> int:
    """Run `doctor`.

    Args:
        folder: The folder for images.
    """
    values = list(settings.effective())
    proxy, source = find_proxy(settings)
    checks = list(_run_checks(folder, proxy, source))
    code = Exit.FAILED if any(check.is_ok is False for check in checks) else Exit.OK
    values.append(("proxy", mask_user(proxy) if proxy else "none", str(source).partition(":")[0]))
    if json:
        rows = [{"name": name, "value": value, "source": source} for name, value, source in values]
        print_json({"event": "Doctor", "checks": checks, "settings": rows, "exit": code})
        return code

    for check in checks:
        sign, color = SIGNS[check.is_ok]
        head = Text.assemble((f"{sign} ", color), (f"{check.name:<8}", "bold"))
        print_wrapped(console(), head, Text(escape(check.message)), indent=head.cell_len)

    console().print()
    texts = [escape(_for_people(value)) for _, value, _ in values]
    width = min(max(map(len, texts)), MAX_VALUE_WIDTH)
    for text, (name, _, source) in zip(texts, values, strict=True):
        line = Text.assemble(f"{text:<{width}}  ", (escape(source), "dim"))
        print_wrapped(console(), Text(f"  {name:<15}", "dim"), line, indent=17)

    return code


def _for_people(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"

    return f"{value:g}" if isinstance(value, float) else str(value)


def _run_checks(folder: Path, proxy: str | None, source: str | UsageError) -> Iterator[Check]:
    yield check_key()
    yield check_proxy(proxy, source)
    host, host_time = run_async(check_host(proxy))
    yield host
    yield check_clock(host_time)
    yield check_disk(folder)
    yield check_extras()


def check_key() -> Check:
    """Check that there is a key, without showing or sending it."""
    if not has_key():
        return Check("key", False, f"IDEOGRAM_API_KEY is not set; {GET_KEY}")

    try:
        Secret(os.environ["IDEOGRAM_API_KEY"])
    except ValueError as error:
        return Check("key", False, f"IDEOGRAM_API_KEY: {error}")

    return Check("key", True, "IDEOGRAM_API_KEY is set")


def find_proxy(settings: Settings) -> tuple[str | None, str | UsageError]:
    """Return the proxy, if any, and its source, or the fault of its variable."""
    try:
        return settings.find_proxy()
    except UsageError as error:
        return None, error


def check_proxy(proxy: str | None, source: str | UsageError) -> Check:
    """Report the proxy. `check_host` checks whether it works."""
    if isinstance(source, UsageError):
        return Check("proxy", False, f"{source} {source.advice}")

    without = "none" if source == "default" else f"none; {source}"
    return Check("proxy", True, f"{mask_user(proxy)}, from {source}" if proxy else without)


async def check_host(proxy: str | None) -> tuple[Check, datetime | None]:
    """Connect to the host, directly or through a proxy, and return its time. Sends a `HEAD` request without a key."""
    try:
        url = parse_base_url(os.environ.get("IDEOGRAM_BASE_URL") or SERVICE).origin()
    except ValueError as error:
        return Check("host", False, f"IDEOGRAM_BASE_URL is invalid: {error}"), None

    host, began = f"{url.host}:{url.port}", time.monotonic()
    way = f" through the proxy {mask_user(proxy)}" if proxy else ""
    try:
        host_time = await _request_date(url, proxy)
    except TimeoutError:
        return Check("host", False, f"{host} does not answer{way} within {HOST_TIMEOUT:.0f} s"), None
    except (aiohttp.ClientError, OSError) as error:
        return Check("host", False, f"{host} cannot be reached{way}: {_reason(error)}"), None

    protocol = "TCP and TLS" if url.scheme == "https" else "TCP, no TLS"
    milliseconds = 1000 * (time.monotonic() - began)
    return Check("host", True, f"{host} answers{way} ({protocol}, {milliseconds:.0f} ms)"), host_time


async def _request_date(url: URL, proxy: str | None) -> datetime | None:
    timeout = aiohttp.ClientTimeout(total=HOST_TIMEOUT)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.head(url, proxy=proxy, allow_redirects=False) as response,
        ):
            host_time = parsedate_to_datetime(response.headers.get("Date", ""))
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientResponseError):
        # The host was reached, but through a proxy it is not known which of the two failed.
        if proxy is not None:
            raise

        return None
    except ValueError:
        # A missing or malformed date is not a fault.
        return None

    return host_time if host_time.tzinfo else host_time.replace(tzinfo=UTC)


def _reason(error: Exception) -> str:
    """Return what failed, without the URL of a proxy, which may contain a password."""
    match error:
        case aiohttp.ClientHttpProxyError():
            return f"the proxy answered {error.status} {error.message}"
        case aiohttp.ClientConnectorCertificateError():
            return f"the certificate is invalid: {error.certificate_error}"
        case aiohttp.ClientProxyConnectionError():
            return f"the proxy cannot be reached: {_describe(error.os_error)}"
        case aiohttp.ClientConnectorError():
            return _describe(error.os_error)
        case _:
            return re.sub(r"//\S*@", "//***@", str(error)) or type(error).__name__


def _describe(error: OSError) -> str:
    # asyncio replaces the text of a refused connection; the errors of a DNS lookup have negative numbers.
    number = error.errno or 0
    return os.strerror(number) if number > 0 else str(error.strerror or error)


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
    message = f"missing: {', '.join(missing)}" if missing else f"installed: {', '.join(EXTRAS.values())}"
    return Check("extras", None if missing else True, message)
