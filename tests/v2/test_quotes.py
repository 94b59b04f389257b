"""Quotes: the service states a price, and a budget reserves it."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.clients import connected
from support.contract_v2 import FORM, ROUTES
from support.ledgers import claim_of, outcome_of
from support.pictures import picture
from support.rawserver import RawServer, answer, raw_response, reset, status, whole

from ideogram_async import (
    AmbiguousError,
    BadRequestError,
    Billed,
    DecodeError,
    Generate,
    Ideogram,
    InDoubtError,
    InvalidRequestError,
    JobState,
    LedgerError,
    PaymentRequiredError,
    TransportError,
    WaitTimeout,
    v2,
)
from ideogram_async.batch import Folder
from ideogram_async.ledger import Entry, SqliteLedger, Verdict
from ideogram_async.sandbox import Fault, Sandbox

PNG = picture()
PATH = "/v2/image/precise-edit/ideogram-4-6"
REQUEST = v2.PreciseEdit46(PNG, "a hat")
QUOTE = (
    b'{"object":"price_quote","billing_identifier":"edit","quantity":2,"usd_micros":60000,"credit_millis":4500,'
    b'"qualifier":"estimate","upper_bound_usd_micros":440000}'
)
RAN = b'{"generation_id":"g1","data":[{"url":"https://ideogram.ai/x.png","is_image_safe":true}]}'
ONLY_LINK = ("https://ideogram.ai/x.png",)


def says(body: bytes) -> tuple[Any, ...]:
    return whole, answer(raw_response(200, body))


async def test_a_quote(client: Ideogram, sandbox: Sandbox) -> None:
    """A quote states the price that is then billed. It is neither run nor billed, and takes no slot."""
    request = v2.Generate45("a fox", num_images=3, quality="low")
    quote = await client.quote(request)
    before = (sandbox.ledger.entries, sandbox.peak_in_flight)
    await client.send(request)

    assert ((), 0) == before
    assert (Decimal("0.09"), Decimal("0.09"), 3, True) == (quote.usd, quote.worst_usd, quote.quantity, quote.exact)
    assert ("ideogram_4_5_generate", Decimal(9)) == (quote.billing_identifier, quote.credits)
    assert quote.usd == sandbox.ledger.billed_usd


@pytest.mark.parametrize("request_", [REQUEST, v2.Generate46("x")], ids=["form", "JSON"])
async def test_the_same_request(client: Ideogram, sandbox: Sandbox, request_: Any) -> None:
    """A quote is asked for with exactly the request that would be sent."""
    await client.quote(request_)
    await client.send(request_)
    asked, sent = (request for request in sandbox.requests if request.method == "POST")

    assert ([("dry_run", "true")], []) == (asked.query, sent.query)
    assert (sent.parts, sent.json, sent.operation) == (asked.parts, asked.json, asked.operation)


async def test_an_estimate() -> None:
    """The worst price of an estimate is its upper bound."""
    async with RawServer(says(QUOTE)) as server, connected(server.url) as client:
        quote = await client.quote(REQUEST)

    assert (Decimal("0.06"), Decimal("0.44"), Decimal("4.5"), False) == (
        quote.usd,
        quote.worst_usd,
        quote.credits,
        quote.exact,
    )
    assert (2, "edit", 200) == (quote.quantity, quote.billing_identifier, quote.meta.status)


@pytest.mark.parametrize(
    "request_",
    [
        Generate("x"),
        v2.Describe3(PNG),
        v2.Describe4(PNG),
        v2.MagicPrompt4("x"),
        v2.GetGeneration("g"),
        v2.Custom("image", "a", "b"),
    ],
    ids=lambda request: type(request).__name__,
)
async def test_no_quotes(client: Ideogram, sandbox: Sandbox, request_: Any) -> None:
    """An operation without quotes is refused before anything is sent: the call might run."""
    with pytest.raises(InvalidRequestError, match="has no quotes"):
        await client.quote(request_)

    assert [] == sandbox.requests


@pytest.mark.parametrize("value", ["a fox", v2.Generate46, None], ids=["text", "class", "None"])
async def test_other_values(client: Ideogram, value: Any) -> None:
    """Only a request has a price."""
    with pytest.raises(TypeError, match="takes a request such as Generate"):
        await client.quote(value)


def test_operations_with_quotes() -> None:
    """The contract decides which operations have quotes."""
    declared = {name for name, route in ROUTES.items() if route.has_quote}
    classes = [getattr(v2, name) for name in v2.__all__ if name != "Custom"]

    assert declared == {str(each.endpoint) for each in classes if hasattr(each, "endpoint") and each.endpoint.has_quote}
    assert all(FORM in ROUTES[name].bodies or "generate" in name for name in declared)


async def test_a_custom_request(client: Ideogram, sandbox: Sandbox) -> None:
    """A custom request is quoted if it states that its operation has quotes."""
    request = v2.Custom("image", "generate", "ideogram-4-5", {"prompt": "x", "quality": "low"}, quote=True)

    assert Decimal("0.03") == (await client.quote(request)).usd
    assert () == sandbox.ledger.entries


@pytest.mark.parametrize("first", [(whole, reset), status(503), (reset,)], ids=["cut", "503", "lost"])
async def test_a_quote_is_repeated(first: Any) -> None:
    """A quote without an answer is asked for again, like a GET."""
    async with RawServer(first, says(QUOTE)) as server, connected(server.url) as client:
        quote = await client.quote(REQUEST)

    assert Decimal("0.06") == quote.usd
    assert 2 == server.connections


async def test_a_quote_that_is_cut_is_repeated() -> None:
    """A truncated quote is asked for again."""
    cut = raw_response(200, QUOTE)[:-20]
    async with RawServer((whole, answer(cut)), says(QUOTE)) as server, connected(server.url) as client:
        await client.quote(REQUEST)

    assert 2 == server.posts


@pytest.mark.parametrize(
    ("response", "billed", "links"),
    [
        (raw_response(200, RAN), Billed.YES, ONLY_LINK),
        (raw_response(200, b'{"generation_id":"g1"}'), Billed.YES, ()),
        (raw_response(200, b"{}"), Billed.YES, ()),
        (raw_response(200, b""), Billed.UNKNOWN, ()),
        (raw_response(200, RAN)[:-5], Billed.YES, ONLY_LINK),
        (raw_response(200, RAN)[:-70], Billed.UNKNOWN, ()),
    ],
    ids=["images", "accepted", "object", "empty", "cut", "cut early"],
)
async def test_a_call_that_ran(response: bytes, billed: Billed, links: tuple[str, ...]) -> None:
    """What is not a quote has run: the error has its bytes, links and id, and the call is never repeated."""
    async with RawServer((whole, answer(response))) as server, connected(server.url) as client:
        with pytest.raises(DecodeError, match="the call ran") as caught:
            await client.quote(REQUEST)

    assert (billed, links, False) == (caught.value.billed, caught.value.links, caught.value.retryable)
    assert caught.value.raw == response.partition(b"\r\n\r\n")[2]
    assert ("g1" in str(caught.value)) == ((b"g1" in response and not links) or response.endswith(b"]}"))
    assert 1 == server.posts


@pytest.mark.parametrize(("code", "kind"), [(400, BadRequestError), (402, PaymentRequiredError)])
async def test_a_refusal(code: int, kind: type[Exception]) -> None:
    """A refused quote raises what the call would raise, and costs nothing."""
    async with RawServer(status(code)) as server, connected(server.url) as client:
        with pytest.raises(kind) as caught:
            await client.quote(REQUEST)

    assert Billed.NO is caught.value.billed  # type: ignore[attr-defined]


async def test_silence() -> None:
    """A quote that is never answered costs nothing, as far as a quote is what was asked for."""
    async with RawServer((whole, reset)) as server, connected(server.url) as client:
        with pytest.raises(TransportError) as caught:
            await client.quote(REQUEST)

    assert not isinstance(caught.value, AmbiguousError)
    assert (Billed.NO, 5) == (caught.value.billed, server.posts)


async def test_many_quotes(client: Ideogram, sandbox: Sandbox) -> None:
    """Any number of quotes bills nothing, and waits for no slot."""
    quotes = await asyncio.gather(*(client.quote(v2.Generate46("x", num_images=8)) for _ in range(50)))

    assert {Decimal("0.80")} == {quote.usd for quote in quotes}
    assert (0, 0) == (sandbox.ledger.billed_images, sandbox.peak_in_flight)


# ---- budgets


async def test_a_batch_asks_for_a_price(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """With a budget, a job of unknown price is quoted, and its worst price is reserved and recorded."""
    jobs = [v2.PreciseEdit46(PNG, f"hat {n}") for n in range(3)]
    worst = (await client.quote(jobs[0])).worst_usd
    async with client.batch(jobs, tmp_path / "out", max_cost_usd=worst * 2) as batch:
        results = [result async for result in batch]

    assert [JobState.DONE] * 2 == [result.state for result in results]
    assert [worst] * 2 == [result.cost_usd for result in results]
    assert "budget" in (batch.report().stopped or "")
    assert 2 == sandbox.ledger.billed_images


async def test_a_batch_without_quotes(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """With a budget, a job of unknown price without quotes is refused unpaid."""
    async with client.batch([v2.Custom("image", "a", "b")], tmp_path / "out", max_cost_usd=9) as batch:
        [result] = [result async for result in batch]

    assert "price: is not known" in str(result.error)
    assert [] == sandbox.requests


async def test_a_batch_whose_quote_ran(tmp_path: Path) -> None:
    """A quote that ran stops the batch, and its job may have been billed: no run sends it again."""
    async with RawServer(says(RAN)) as server, connected(server.url) as client:
        for _ in range(2):
            async with client.batch([REQUEST], tmp_path / "out", max_cost_usd=9) as batch:
                [result] = [result async for result in batch]

    assert JobState.AMBIGUOUS is result.state
    assert 1 == server.posts


async def test_a_batch_whose_quotes_fail(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """A quote that is refused for want of money stops the batch; the job is left for a later run."""
    sandbox.fail(PATH, fault=Fault.status(402))
    async with client.batch([REQUEST], tmp_path / "out", max_cost_usd=9) as batch:
        results = [result async for result in batch]

    assert [PaymentRequiredError] == [type(result.error) for result in results]
    assert "402" in (batch.report().stopped or "")
    assert 0 == sandbox.ledger.billed_images


@pytest.mark.parametrize(("times", "state", "attempts"), [(1, JobState.AMBIGUOUS, 1), (2, JobState.DONE, 2)])
async def test_an_attempt_in_doubt_is_priced_by_a_later_quote(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, times: int, state: JobState, attempts: int
) -> None:
    """A job that is in doubt at an unknown price counts against the budget of a later run that sends it again."""
    folder, worst = tmp_path / "out", (await client.quote(REQUEST)).worst_usd
    sandbox.fail(PATH, fault=Fault.reset_before_headers)
    await client.run_batch([REQUEST], folder)
    report = await client.run_batch([REQUEST], folder, retry_ambiguous=True, max_cost_usd=worst * times)
    recorded = Folder(folder).report()

    assert ({state: 1}, {state: 1}) == (report.by_state, recorded.by_state)
    assert worst == report.in_doubt_usd == recorded.in_doubt_usd
    assert attempts == len(sandbox.ledger.entries)


async def test_a_ledger_asks_for_a_price(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """A ledger with a budget books the worst price of a quote, once for each key."""
    async with SqliteLedger(tmp_path / "calls.sqlite3", max_cost_usd=1) as ledger:
        for _ in range(2):
            await client.once("hat", REQUEST, ledger=ledger)

        with pytest.raises(InvalidRequestError, match="price: is not known"):
            await client.once("other", v2.MagicPrompt4("x"), ledger=ledger)

        entry = await ledger.get("hat")

    quotes = [request for request in sandbox.requests if request.query]

    assert entry is not None
    assert (1, 1) == (len(quotes), sandbox.ledger.billed_images)
    assert sandbox.ledger.billed_usd == entry.usd


async def test_an_accepted_call_needs_no_price(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """A key of unknown price that was accepted without a budget is waited for with one, although it has no quote."""
    path, request = tmp_path / "calls.sqlite3", v2.Custom("image", "generate", "ideogram-4-5", {"prompt": "a fox"})
    sandbox.hold()
    async with SqliteLedger(path) as ledger, connected(sandbox.url, timeout=1) as hasty:
        with pytest.raises(WaitTimeout):
            await hasty.once("fox", request, ledger=ledger)

    sandbox.release()
    async with SqliteLedger(path, max_cost_usd=1) as ledger:
        answer = await client.once("fox", request, ledger=ledger)

    assert (1, True, 1) == (len(answer.images), answer.meta.replayed, len(sandbox.ledger.entries))


async def test_a_doubt_needs_no_price(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """A key in doubt is reported as such, and its price is asked for once it may be bought again."""
    path = tmp_path / "calls.sqlite3"
    sandbox.fail(PATH, fault=Fault.reset_before_headers)
    async with SqliteLedger(path) as ledger:
        with pytest.raises(InDoubtError):
            await client.once("hat", REQUEST, ledger=ledger)

    async with SqliteLedger(path, max_cost_usd=1) as ledger:
        with pytest.raises(InDoubtError):
            await client.once("hat", REQUEST, ledger=ledger)

        quotes = [request for request in sandbox.requests if request.query]
        await ledger.resolve("hat", "retry")
        await client.once("hat", REQUEST, ledger=ledger)
        totals = await ledger.totals()

    assert [] == quotes
    assert sandbox.ledger.billed_usd == totals.spent_usd + totals.in_doubt_usd


async def test_a_key_that_becomes_free_is_not_sent_without_its_price(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that was accepted when its price was not asked for, and has failed since, is priced by the next repeat."""
    async with SqliteLedger(tmp_path / "calls.sqlite3", max_cost_usd=1) as ledger:
        find, (accepted, failed) = ledger.get, (outcome_of("a", Verdict.ACCEPTED), outcome_of("a", Verdict.NOT_BILLED))
        await ledger.claim(claim_of("hat", "a", usd=None))
        await ledger.settle("hat", 1, accepted)

        async def find_until_it_fails(key: str) -> Entry | None:
            entry = await find(key)
            await ledger.settle(key, 1, failed)
            return entry

        monkeypatch.setattr(ledger, "get", find_until_it_fails)
        with pytest.raises(LedgerError, match="has just become free") as error:
            await client.once("hat", REQUEST, ledger=ledger)

        before = len(sandbox.requests)
        await client.once("hat", REQUEST, ledger=ledger)

    assert (True, 0, 1) == (error.value.retryable, before, sandbox.ledger.billed_images)


async def test_a_key_whose_quote_ran(tmp_path: Path) -> None:
    """It is in doubt, so that no repeat asks for its price, and runs it, again."""
    async with RawServer(says(RAN)) as server, connected(server.url) as client:
        async with SqliteLedger(tmp_path / "calls.sqlite3", max_cost_usd=9) as ledger:
            with pytest.raises(DecodeError) as error:
                await client.once("hat", REQUEST, ledger=ledger)

            with pytest.raises(InDoubtError, match="the call ran as generation g1"):
                await client.once("hat", REQUEST, ledger=ledger)

        assert (ONLY_LINK, 1) == (tuple(error.value.links), server.posts)
