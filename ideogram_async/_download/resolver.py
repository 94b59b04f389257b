"""DNS resolver that returns public addresses only.

The check runs inside the connector, so the address that was checked is the address that is connected to: a name server
that changes its answer gains nothing.
"""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from ideogram_async._download.hosts import is_loopback, is_loopback_name, is_public
from ideogram_async.errors import HostRefusedError


class PublicResolver(AbstractResolver):
    """Resolves names as the system does, and drops every address that is not public.

    Build it inside the event loop that uses it.

    Args:
        loopback: Whether `localhost` and its subdomains may lead to this machine.
        exempt: Hosts that may have any address, such as the proxy that the user chose.
        inner: Looks the names up.
    """

    def __init__(
        self, *, loopback: bool, exempt: frozenset[str] = frozenset(), inner: AbstractResolver | None = None
    ) -> None:
        self._loopback = loopback
        self._exempt = frozenset(host.lower() for host in exempt)
        self._inner = inner or ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the public addresses of a host.

        Raises:
            HostRefusedError: If it has none.
            OSError: If the lookup fails.
        """
        found = await self._inner.resolve(host, port, family)
        public = [result for result in found if self._may_connect(host.lower(), result["host"])]
        if not public:
            raise HostRefusedError(f"refused to connect to {host}: it has no public address")

        return public

    async def close(self) -> None:
        """Close the resolver that looks the names up."""
        await self._inner.close()

    def _may_connect(self, host: str, address: str) -> bool:
        if host in self._exempt:
            return True

        if self._loopback and is_loopback_name(host):
            return is_loopback(address)

        return is_public(address)
