"""Which addresses a link may lead to: public ones, and this machine where that was allowed."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

__all__ = ["is_loopback", "is_loopback_name", "is_public"]

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
