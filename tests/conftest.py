"""Settings and guards that apply to every test."""

from __future__ import annotations

import ipaddress
import os
import sys
from typing import Any

from support.paths import TESTS

# Programs that the tests start import `support`, too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))


def allow_loopback_only(event: str, args: tuple[Any, ...]) -> None:
    """Raise when a test opens a connection to, or looks up, anything but this machine."""
    if event == "socket.getaddrinfo":
        host = args[0]
    elif event in {"socket.connect", "socket.sendto"} and isinstance(args[1], tuple):
        host = args[1][0]
    else:
        return

    if not is_loopback(host):
        raise RuntimeError(f"{event}: {host!r} is not on this machine; tests must not use the network")


def is_loopback(host: str | bytes | None) -> bool:
    """Return whether a host of an address is this machine, without a lookup."""
    name = host.decode() if isinstance(host, bytes) else host
    try:
        return name in {None, "", "localhost"} or ipaddress.ip_address(str(name)).is_loopback
    except ValueError:
        return False


sys.addaudithook(allow_loopback_only)
