"""Failures before the first byte: the call did not run, is retried, and costs nothing."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Any

import pytest
from aiohttp.abc import ResolveResult
from support.clients import AT_ONCE, Events, FailingResolver, HangingResolver, connected, session_factory_with
from support.paths import DATA
from support.rawserver import OK, RawServer, stall

from ideogram_async import Billed, NotSentError, Retry, Timeout
from ideogram_async.errors import Phase
from ideogram_async.events import Event, Failed, Retrying, Sending

PEM = DATA / "selfsigned.pem"
PATIENT = Retry(base=0.0, attempts=1_000_000, deadline=0.5)


def facts(error: NotSentError) -> tuple[Billed, bool, Phase]:
    return error.billed, error.retryable, error.phase


async def test_refused_twice() -> None:
    """After two refused connections the third attempt succeeds, and one call is billed."""
    async with RawServer(OK, is_listening=False) as server:
        events = Events()

        def on_event(event: Event) -> None:
            events(event)
            if len(events.of(Retrying)) == 2 and isinstance(event, Retrying):
                server.listen()

        async with connected(server.url, on_event=on_event) as client:
            answer = await client.generate("a fox")

        assert (1, 3) == (server.posts, answer.meta.attempts)
        assert [1, 2, 3] == [event.attempt for event in events.of(Sending)]
        assert not answer.meta.in_doubt


async def test_refused_always() -> None:
    """If all attempts are refused, the error says that nothing was sent."""
    async with RawServer(OK, is_listening=False) as server:
        events = Events()
        async with connected(server.url, on_event=events) as client:
            with pytest.raises(NotSentError) as caught:
                await client.generate("a fox")

        assert (Billed.NO, True, Phase.CONNECTING) == facts(caught.value)
        assert (5, 0) == (len(events.of(Sending)), server.connections)
        assert [(Billed.NO, "NotSentError")] == [(event.billed, event.error) for event in events.of(Failed)]


async def test_no_name_until_the_deadline() -> None:
    """While DNS fails, attempts continue until the deadline. Nothing was sent."""
    events = Events()
    factory = session_factory_with(FailingResolver)
    async with connected("https://api.test", session_factory=factory, retry=PATIENT, on_event=events) as client:
        with pytest.raises(NotSentError) as caught:
            await client.generate("a fox")

    assert (Billed.NO, True, Phase.CONNECTING) == facts(caught.value)
    assert len(events.of(Sending)) > 5
    assert "ClientConnectorDNSError" in events.of(Retrying)[0].reason


async def test_unknown_certificate() -> None:
    """An untrusted certificate ends the call at once, before a byte of HTTP."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(PEM)
    async with RawServer(OK, tls=tls) as server:
        events = Events()
        async with connected(server.url, on_event=events) as client:
            with pytest.raises(NotSentError, match="Certificate") as caught:
                await client.generate("a fox")

        assert (Billed.NO, False, Phase.CONNECTING) == facts(caught.value)
        assert (1, 0, []) == (len(events.of(Sending)), server.connections, server.requests)


@pytest.mark.parametrize("timeout", [Timeout(connect=0.05), Timeout(total=0.05, connect=None)])
async def test_slow_dns(timeout: Timeout) -> None:
    """A slow DNS lookup counts as not sent under both timeouts, and is retried."""
    events = Events()
    async with connected(
        "https://api.test", session_factory=session_factory_with(HangingResolver), timeout=timeout, on_event=events
    ) as client:
        with pytest.raises(NotSentError) as caught:
            await client.generate("a fox")

    assert (Billed.NO, True, Phase.CONNECTING) == facts(caught.value)
    assert 5 == len(events.of(Sending))


async def test_full_backlog() -> None:
    """A server that accepts no connection counts as not sent."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        queued = [socket.socket() for _ in range(4)]
        for each in queued:
            each.setblocking(False)
            each.connect_ex(full.getsockname())

        url = "http://{}:{}".format(*full.getsockname())
        events = Events()
        async with connected(url, timeout=Timeout(connect=0.05), on_event=events) as client:
            with pytest.raises(NotSentError) as caught:
                await client.generate("a fox")

        for each in queued:
            each.close()

    assert (Billed.NO, True, Phase.CONNECTING) == facts(caught.value)
    assert 5 == len(events.of(Sending))


@pytest.mark.parametrize("timeout", [Timeout(connect=0.05), Timeout(total=0.05, connect=None)])
async def test_tls_stalls(timeout: Timeout) -> None:
    """A TLS handshake that never ends counts as not sent under both timeouts."""
    async with RawServer((stall,)) as server:
        events = Events()
        url = server.url.replace("http:", "https:")
        async with connected(url, timeout=timeout, on_event=events) as client:
            with pytest.raises(NotSentError) as caught:
                await client.generate("a fox")

        assert (Billed.NO, True, Phase.CONNECTING) == facts(caught.value)
        assert (5, 5, []) == (server.connections, len(events.of(Sending)), server.requests)


async def test_slow_key() -> None:
    """A slow key callback counts against the attempt's timeout. Nothing was sent."""

    async def vault() -> str:
        await asyncio.Event().wait()
        return ""

    async with RawServer(OK) as server:
        async with connected(server.url, api_key=vault, timeout=0.05) as client:
            with pytest.raises(NotSentError, match="the api_key callback timed out") as caught:
                await client.generate("a fox")

        assert (Billed.NO, True, Phase.CONNECTING) == facts(caught.value)
        assert 0 == server.connections


async def test_proxy_refuses() -> None:
    """A proxy that refuses to connect has forwarded nothing, and its password stays hidden."""

    def refusing(code: int) -> tuple[Any, ...]:
        async def step(connection: Any) -> None:
            await connection.reader.readuntil(b"\r\n\r\n")
            connection.writer.write(f"HTTP/1.1 {code} No\r\nContent-Length: 0\r\n\r\n".encode())

        return (step,)

    async with RawServer(refusing(407)) as proxy:
        url = proxy.url.replace("//", "//user:pass%40w/ord@").replace("w/o", "w%2Fo")
        async with connected("https://api.test", proxy=url, retry=AT_ONCE) as client:
            with pytest.raises(NotSentError, match="407") as caught:
                await client.generate("a fox")

        assert (Billed.NO, True, Phase.CONNECTING) == facts(caught.value)
        assert "ord" not in str(caught.value)


async def test_unexpected_failure_before_the_first_byte() -> None:
    """An unexpected failure is not retried, but the error still says that nothing was sent."""

    class Broken(FailingResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
        ) -> list[ResolveResult]:
            raise KeyError(host)

    events = Events()
    async with connected("https://api.test", session_factory=session_factory_with(Broken), on_event=events) as client:
        with pytest.raises(NotSentError, match="KeyError") as caught:
            await client.generate("a fox")

    assert (Billed.NO, False, Phase.CONNECTING) == facts(caught.value)
    assert 1 == len(events.of(Sending))
