"""Links to images: which are followed, how they are shown, and how a file is named after one."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import PurePosixPath

from attrs import field, frozen
from yarl import URL

from ideogram_async.download.addresses import is_loopback, is_loopback_name, is_public
from ideogram_async.errors import HostRefusedError

__all__ = ["Hosts", "expiry", "link_id", "scrub"]

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


def expiry(url: str) -> float | None:
    """Read when a link expires, in Unix seconds, from its `exp`. It only informs: clocks differ."""
    found = re.search(r"[?&]exp=(\d{1,15})(?:[&#]|\Z)", url)
    return float(found[1]) if found else None


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
