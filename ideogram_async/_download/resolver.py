"""DNS resolver that returns only public addresses.

It runs inside the connector, so the checked address is the one connected to. A name server that changes its answer
(DNS rebinding) gains nothing.
"""

from __future__ import annotations

import socket

from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver

from ideogram_async._download.hosts import is_loopback, is_loopback_name, is_public
from ideogram_async.errors import HostRefusedError


class PublicResolver(AbstractResolver):
    """A resolver that filters the system's answers. Create it inside the event loop that uses it.

    Args:
        loopback: Whether `localhost` and its subdomains may resolve to this machine.
        exempt: Hosts that may have any address, such as the user's proxy.
        inner: The resolver whose answers are filtered.
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
        results = await self._inner.resolve(host, port, family)
        public = [result for result in results if self._may_connect(host.lower(), result["host"])]
        if not public:
            raise HostRefusedError(f"refused to connect to {host}: it has no public address")

        return public

    async def close(self) -> None:
        await self._inner.close()

    def _may_connect(self, host: str, address: str) -> bool:
        if host in self._exempt:
            return True

        if self._loopback and is_loopback_name(host):
            return is_loopback(address)

        return is_public(address)
