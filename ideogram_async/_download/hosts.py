"""Links to images: allowed hosts, public addresses, redaction, expiry and file names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import PurePosixPath

from attrs import field, frozen
from yarl import URL

from ideogram_async._formats import SUFFIXES
from ideogram_async.errors import HostRefusedError

# The routed part of IPv6; the rest is local, reserved or a wrapper.
GLOBAL_UNICAST = IPv6Network("2000::/3")
DOCUMENTATION = IPv6Network("3fff::/20")
NAT64 = IPv6Network("64:ff9b::/96")

# Special ranges that `ipaddress` of Python 3.11 treats as public: IETF protocol assignments and the 6to4 relay.
SPECIAL_V4 = (b"\xc0\x00\x00", b"\xc0\x58\x63")

# Letters, digits, inner hyphens and underscores. The last label of a public name never begins with a digit; where it
# does, the system may read the whole as a number: 2130706433, 0x7f.1 and 0177.0.0.1 all lead to 127.0.0.1.
HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)

SAFE_STEM = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,120}")
MAX_SHOWN = 300
"""Characters of a link in a message."""


def _ascii_names(allowed: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if allowed is None else tuple(_ascii_name(name) for name in allowed)


@frozen
class Hosts:
    """The hosts that images may be downloaded from.

    Every link has to be https on port 443, without a user name, and lead to a public address.
    """

    allowed: tuple[str, ...] | None = field(default=None, converter=_ascii_names)
    """Host names; each includes its subdomains. `None` allows all."""
    loopback: bool = False
    """Whether servers on this machine are allowed as well, over http and on any port: for a sandbox."""

    def check(self, url: str) -> URL:
        """Return the parsed link. An ASCII link stays unchanged byte for byte, because its signature covers the bytes.

        Only the host name is checked here; `PublicResolver` checks its addresses.

        Raises:
            HostRefusedError: If the link leads to a host that is not allowed.
        """
        reason = self._refusal(url)
        if reason is not None:
            raise HostRefusedError(f"the link is not allowed, {reason}: {scrub(url)}", url=scrub(url))

        return _parse(url)

    def allows(self, url: str) -> bool:
        """Return whether `check` accepts a link."""
        return self._refusal(url) is None

    def _refusal(self, url: str) -> str | None:
        if not url.isprintable() or " " in url:
            return "it contains invalid characters"

        try:
            parsed = _parse(url)
            scheme, port, host = parsed.scheme, parsed.port, (parsed.raw_host or "").lower()
        except ValueError:
            return "it is not a valid URL"

        if "@" in parsed.raw_authority:
            return "it contains a user name"

        if self.loopback and scheme in ("http", "https") and (is_loopback(host) or is_loopback_name(host)):
            return None

        if (scheme, port) != ("https", 443):
            return "it is not https on port 443"

        if is_loopback_name(host) or not (is_public(host) or HOST_NAME.fullmatch(host)):
            return "its host is not a public name or address"

        if self.allowed is not None and not any(host == name or host.endswith(f".{name}") for name in self.allowed):
            return "its host is not in image_hosts"

        return None


def is_public(text: str) -> bool:
    """Return whether a text is a public IP address.

    An IPv4 address inside an IPv6 one (mapped, NAT64) counts as itself, because a gateway unwraps it.
    """
    address = _parse_address(text)
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)

    # 6to4 wraps an IPv4 address too, but is no longer relayed (RFC 7526).
    if address is None or address.is_private or address in DOCUMENTATION or address.sixtofour is not None:
        return False

    if address in NAT64:
        return _is_public_v4(IPv4Address(address.packed[-4:]))

    return address in GLOBAL_UNICAST


def is_loopback(text: str) -> bool:
    """Return whether a text is a loopback IP address."""
    address = _parse_address(text)
    return address is not None and address.is_loopback


def is_loopback_name(host: str) -> bool:
    """Return whether a host name is reserved for this machine (RFC 6761)."""
    return host == "localhost" or host.endswith(".localhost")


def scrub(url: str) -> str:
    """Return a link for messages: without its signature and user, printable and shortened."""
    bare = re.sub(r"//[^/]*@", "//", _without_query(url))
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in bare)[:MAX_SHOWN]


def link_id(url: str) -> str:
    """Return a file name without extension for a link: the last part of its path, or a hash if that is unsafe.

    The name contains only letters, digits, `.`, `_` and `-`, no leading dot, and at most 120 bytes.
    """
    path = _without_query(url)
    last = PurePosixPath(path.rpartition("/")[2])
    stem = last.stem if last.suffix.lower() in SUFFIXES else last.name
    if SAFE_STEM.fullmatch(stem):
        return stem

    return hashlib.sha256(path.encode(errors="replace")).hexdigest()[:32]


def expiry_of(url: str) -> float | None:
    """Return the time in a link's `exp`, in seconds since the epoch; `None` without one. Only a hint: clocks differ."""
    match = re.search(r"[?&]exp=([0-9]{1,15})(?:[&#]|\Z)", url)
    return None if match is None else float(match[1])


def _parse(url: str) -> URL:
    return URL(url, encoded=url.isascii())


def _without_query(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0]


def _ascii_name(name: str) -> str:
    host = (URL.build(scheme="https", host=name).raw_host or "").lower()
    if not (HOST_NAME.fullmatch(host) or is_public(host) or is_loopback(host)):
        # It would match no host, so that every billed image would be refused.
        raise ValueError(f"image_hosts: {name!r} is not a host name; subdomains are included, so no wildcard is needed")

    return host


def _parse_address(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:
        # A zone refers to an interface of this machine; no public address has one.
        return None

    try:
        address = ip_address(text)
    except ValueError:
        return None

    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_public_v4(address: IPv4Address) -> bool:
    if address.is_multicast or address.packed[:3] in SPECIAL_V4:
        return False

    return address.is_global
