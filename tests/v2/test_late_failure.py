"""Failures that the service states in the body of a success."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.clients import connected
from support.pictures import picture
from support.rawserver import RawServer, answer, raw_response, whole

from ideogram_async import APIStatusError, Billed, DecodeError, InDoubtError, JobState, ServerError, v2
from ideogram_async.ledger import SqliteLedger

LATE = b'{"error":"no subject was found","status_code":500}'
REQUEST = v2.RemoveBackground(picture())


def server_of(body: bytes) -> RawServer:
    return RawServer((whole, answer(raw_response(200, body))))


@pytest.mark.parametrize(
    ("body", "status", "kind"),
    [
        (LATE, 500, ServerError),
        (b'{"error":"no subject was found"}', 200, APIStatusError),
        (b'{"generation_id":"g1","data":null,"error":"no subject was found","status_code":422}', 422, APIStatusError),
        (b'{"error":"no subject was found","status_code":429}', 429, APIStatusError),
    ],
)
async def test_a_late_failure(body: bytes, status: int, kind: type[APIStatusError]) -> None:
    """A 200 that contains an error fails with the status in it. It may have been billed, so it is never retried."""
    async with server_of(body) as server, connected(server.url) as client:
        with pytest.raises(kind, match="no subject was found") as caught:
            await client.send(REQUEST)

    assert (status, Billed.UNKNOWN, False) == (caught.value.status, caught.value.billed, caught.value.retryable)
    assert 1 == server.posts


@pytest.mark.parametrize(
    "body",
    [
        b'{"data":[{"is_image_safe":true,"url":"https://ideogram.ai/x.png"}],"error":"too late"}',
        b'{"data":[],"error":null}',
    ],
)
async def test_an_answer_with_data(body: bytes) -> None:
    """Data outweighs an error beside it: what was made was billed."""
    async with server_of(body) as server, connected(server.url) as client:
        answer = await client.v2.remove_background(picture())

    assert isinstance(answer, v2.Generation)


async def test_a_link_outweighs_the_error() -> None:
    """A body with an error and a link was billed, and keeps its link."""
    async with (
        server_of(b'{"error":"x","preview":"https://ideogram.ai/x.png"}') as server,
        connected(server.url) as client,
    ):
        with pytest.raises(DecodeError) as caught:
            await client.send(REQUEST)

    assert (Billed.YES, ["https://ideogram.ai/x.png"]) == (caught.value.billed, [*caught.value.links])


async def test_the_records_list_it(tmp_path: Path) -> None:
    """A journal and a ledger record it as an outcome that is unknown."""
    ledger = SqliteLedger(tmp_path / "calls.sqlite3")
    async with server_of(LATE) as server, connected(server.url, ledger=ledger) as client:
        with pytest.raises(InDoubtError, match="no subject"):
            await client.once("key", REQUEST)

        async with client.batch([REQUEST], tmp_path / "out") as batch:
            [result] = [result async for result in batch]

    assert JobState.AMBIGUOUS is result.state
    assert 2 == server.posts
