"""Refusals: final, free of charge, sent once, and no redirect is followed."""

from __future__ import annotations

import pytest
from support.clients import CANARY, Events, connected
from support.rawserver import OK, RawServer, answer, raw_response, refused, status, whole

from ideogram_async import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    Billed,
    IdeogramError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    SafetyError,
)
from ideogram_async.events import Failed

KINDS: dict[int, type[IdeogramError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: PaymentRequiredError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: APIStatusError,
    408: APIStatusError,
    409: APIStatusError,
    413: APIStatusError,
    415: APIStatusError,
    422: SafetyError,
    425: APIStatusError,
    451: APIStatusError,
}


@pytest.mark.parametrize(("code", "kind"), KINDS.items())
async def test_refusal(code: int, kind: type[IdeogramError]) -> None:
    """Each refusal raises its own error, is not billed and not retried."""
    async with RawServer(refused(code, retry_after="0"), OK) as server:
        events = Events()
        async with connected(server.url, on_event=events) as client:
            with pytest.raises(kind) as caught:
                await client.generate("a fox")

        assert (kind, Billed.NO, False) == (type(caught.value), caught.value.billed, caught.value.retryable)
        assert [Billed.NO] == [event.billed for event in events.of(Failed)]
        assert (1, 1) == (server.posts, server.connections)


async def test_truncated_refusal() -> None:
    """The status is enough to know that nothing ran."""
    async with RawServer((whole, answer(raw_response(400, b"{", {"Content-Length": "10"}))), OK) as server:
        async with connected(server.url) as client:
            with pytest.raises(BadRequestError) as caught:
                await client.generate("a fox")

        assert (Billed.NO, 1) == (caught.value.billed, server.connections)


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirect(code: int) -> None:
    """A redirect of the API is never followed, so neither key nor prompt reaches another host."""
    async with RawServer(OK) as elsewhere:
        away = status(code, b"", {"Location": f"{elsewhere.url}/v1/ideogram-v3/generate"})
        async with RawServer(away, OK) as server, connected(server.url) as client:
            with pytest.raises(APIStatusError) as caught:
                await client.generate("a fox")

        assert (code, Billed.NO, False) == (caught.value.status, caught.value.billed, caught.value.retryable)
        assert 0 == elsewhere.connections


async def test_redirect_of_a_free_call() -> None:
    """A redirect of a GET is not followed either."""
    async with RawServer(OK) as elsewhere, RawServer(status(302, b"", {"Location": elsewhere.url})) as server:
        async with connected(server.url) as client:
            with pytest.raises(APIStatusError):
                await client.models.list()

        assert (1, 0) == (server.connections, elsewhere.connections)
        assert CANARY == server.requests[0].headers["api-key"]


async def test_no_key() -> None:
    """Without a key nothing is sent, and the error names the setting."""
    async with RawServer(OK) as server:
        async with connected(server.url, api_key="") as client:
            with pytest.raises(AuthenticationError, match="IDEOGRAM_API_KEY") as caught:
                await client.generate("a fox")

        assert (Billed.NO, 401, 0) == (caught.value.billed, caught.value.status, server.connections)


async def test_early_hints() -> None:
    """An informational response before the final one is ignored."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
    async with RawServer((whole, answer(hints), *OK[1:])) as server:
        async with connected(server.url) as client:
            images = await client.generate("a fox")

        assert (1, 1, 200) == (len(images.data), server.posts, images.meta.status)
