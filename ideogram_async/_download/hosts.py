"""Links to images: which are followed, how they are shown, and how a file is named after one."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from pathlib import PurePosixPath

from attrs import field, frozen
from yarl import URL

from ideogram_async.errors import HostRefusedError

# The part of IPv6 that is routed at all; the rest is local, reserved or a wrapper.
_GLOBAL_UNICAST = IPv6Network("2000::/3")

_DOCUMENTATION = IPv6Network("3fff::/20")

_NAT64 = IPv6Network("64:ff9b::/96")

# Special ranges that `ipaddress` of Python 3.11 takes for public: IETF protocol assignments and the 6to4 relay.
_SPECIAL_V4 = (b"\xc0\x00\x00", b"\xc0\x58\x63")


def is_public(text: str) -> bool:
    """Tell whether an address is one of the open internet.

    An IPv4 address inside an IPv6 one (mapped, NAT64) counts as itself, for a gateway unwraps it.
    """
    address = _read(text)
    if isinstance(address, IPv4Address):
        return _is_public_v4(address)

    # 6to4 wraps an IPv4 address too, but nobody relays it any more (RFC 7526).
    if address is None or address.is_private or address in _DOCUMENTATION or address.sixtofour is not None:
        return False

    if address in _NAT64:
        return _is_public_v4(IPv4Address(address.packed[-4:]))

    return address in _GLOBAL_UNICAST


def is_loopback(text: str) -> bool:
    """Tell whether an address is this machine's own loopback."""
    address = _read(text)
    return address is not None and address.is_loopback


def is_loopback_name(host: str) -> bool:
    """Tell whether a host name is reserved for this machine (RFC 6761)."""
    return host == "localhost" or host.endswith(".localhost")


def _read(text: str) -> IPv4Address | IPv6Address | None:
    if "%" in text:
        # A zone names an interface of this machine; no public address has one.
        return None

    try:
        address = ip_address(text)
    except ValueError:
        return None

    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _is_public_v4(address: IPv4Address) -> bool:
    if address.is_multicast or address.packed[:3] in _SPECIAL_V4:
        return False

    return address.is_global


# Letters, digits, inner hyphens and underscores. The last label of a public name never begins with a digit; where it
# does, the system may read the whole as a number: 2130706433, 0x7f.1 and 0177.0.0.1 all lead to 127.0.0.1.
_NAME = re.compile(r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")

_SAFE_STEM = re.compile(r"(?!\.)[A-Za-z0-9._-]{1,120}")

_EXTENSIONS = frozenset({".png", ".jpg", ".jpeg", ".webp"})

_LONGEST_SHOWN = 300


def _names(allowed: Iterable[str] | None) -> tuple[str, ...] | None:
    return None if allowed is None else tuple(_ascii_name(name) for name in allowed)


@frozen
class Hosts:
    """Where images may be fetched from.

    Whatever is allowed, a link has to be https on port 443, without a user name, and lead to a public address.
    """

    allowed: tuple[str, ...] | None = field(default=None, converter=_names)
    """Host names; each includes its subdomains. `None` is any host."""
    loopback: bool = False
    """Whether this machine's own servers may be asked too, by http and on any port: for a sandbox."""

    def check(self, url: str) -> URL:
        """Return the link as it is to be fetched, byte for byte where it is ASCII: its signature covers the bytes.

        A host name is only read here; the address behind it is checked when it is looked up.

        Raises:
            HostRefusedError: If the link leads where this client does not go. Nothing was connected.
        """
        fault = self._fault(url)
        if fault is not None:
            raise HostRefusedError(f"refused to follow a link, {fault}: {scrub(url)}", url=scrub(url))

        return _parse(url)

    def _fault(self, url: str) -> str | None:
        """Say what is wrong with a link, in words."""
        if not url.isprintable() or " " in url:
            return "it holds characters that no link has"

        try:
            parsed = _parse(url)
            scheme, port, host = parsed.scheme, parsed.port, (parsed.raw_host or "").lower()
        except ValueError:
            return "it cannot be read"

        if "@" in parsed.raw_authority:
            return "it names a user"

        if self.loopback and scheme in ("http", "https") and (is_loopback(host) or is_loopback_name(host)):
            return None

        if (scheme, port) != ("https", 443):
            return "it is not https on port 443"

        return self._fault_of_host(host)

    def _fault_of_host(self, host: str) -> str | None:
        if is_loopback_name(host) or not (is_public(host) or _NAME.fullmatch(host)):
            return "its host is no public name or address"

        if self.allowed is not None and not any(host == name or host.endswith(f".{name}") for name in self.allowed):
            return "its host is not allowed"

        return None


def scrub(url: str) -> str:
    """Cut what opens a link, its query, and make it fit to be shown in a message."""
    bare = re.sub(r"//[^/]*@", "//", _without_query(url))
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in bare)[:_LONGEST_SHOWN]


def link_id(url: str) -> str:
    """Name a file after a link, without an extension: the last part of its path, or a hash of it where that is unsafe.

    The name has only letters, digits, `.`, `_` and `-`, no leading dot, and at most 120 bytes.
    """
    path = _without_query(url)
    last = PurePosixPath(path.rpartition("/")[2])
    stem = last.stem if last.suffix.lower() in _EXTENSIONS else last.name
    if _SAFE_STEM.fullmatch(stem):
        return stem

    return hashlib.sha256(path.encode(errors="replace")).hexdigest()[:32]


def is_expired(url: str) -> bool:
    """Return whether the time in a link's `exp` has passed. Only a hint: clocks differ."""
    match = re.search(r"[?&]exp=(\d{1,15})(?:[&#]|\Z)", url)
    return match is not None and float(match[1]) < time.time()


def _without_query(url: str) -> str:
    return re.split(r"[?#]", url, maxsplit=1)[0]


def _parse(url: str) -> URL:
    return URL(url, encoded=url.isascii())


def _ascii_name(name: str) -> str:
    host = (URL.build(scheme="https", host=name).raw_host or "").lower()
    if not (_NAME.fullmatch(host) or is_public(host) or is_loopback(host)):
        # It would match nothing, and so refuse every image that was paid for.
        raise ValueError(f"image_hosts: {name!r} is no host name; each includes its subdomains by itself")

    return host
