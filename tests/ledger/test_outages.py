"""Postgres fails while calls are paid: nothing is paid twice, and no answer is lost."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from support.cuttingproxy import CuttingProxy, Moment
from support.ledgers import Store
from support.postgres import PostgresServer, new_schema

from ideogram_async import Generate, Ideogram, LedgerError, v2
from ideogram_async.ledger import CallState, PostgresLedger
from ideogram_async.sandbox import Sandbox

FOX = Generate("a red fox")


async def test_a_restart_amid_calls(sandbox: Sandbox, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch):
    """Ten calls are answered while the server is down, and ten more wait for their slots: all get their answers."""
    monkeypatch.setattr("ideogram_async._ledger.postgres.CONNECT_SECONDS", 1)
    ledger = PostgresLedger(postgres.dsn, schema=new_schema())
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=ledger) as client:
        sandbox.hold()
        calls = [asyncio.create_task(client.once(f"{number}", FOX)) for number in range(20)]
        await sandbox.wait_for_requests(10)
        await asyncio.to_thread(postgres.stop)
        sandbox.release()
        await sandbox.wait_idle()
        with pytest.raises(LedgerError, match="is unavailable") as caught:
            await ledger.get("0")

        await asyncio.to_thread(postgres.start)
        answers = await asyncio.gather(*calls)
        totals = await ledger.totals()

    assert caught.value.retryable
    assert (20, 20, 20) == (len(set(answers)), len(sandbox.ledger.entries), totals.calls[CallState.ANSWERED])


@pytest.mark.parametrize("purchase", [FOX, v2.Generate46("a red fox")], ids=["v1", "v2"])
@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_connection_that_ends_at_a_commit(
    sandbox: Sandbox, postgres: PostgresServer, moment: Moment, purchase: Any
):
    """Whichever commit of a call it is, and whether it was done or not, the call is paid once and answered."""
    number, commits = 0, 1
    while number < commits:
        sandbox.reset()
        store = Store(postgres.dsn, new_schema())
        async with CuttingProxy(postgres.port, number, moment) as proxy:
            ledger = PostgresLedger(postgres.dsn.replace(str(postgres.port), str(proxy.port)), schema=store.schema)
            async with Ideogram("sandbox", base_url=sandbox.url, ledger=ledger) as client:
                answer = None
                # The first connection, whose error is that of a wrong address, is not retried.
                with suppress(LedgerError):
                    answer = await client.once("fox", purchase)

                again = await client.once("fox", purchase)

            commits = proxy.commits

        async with store() as ledger:
            entry, totals = await ledger.get("fox"), await ledger.totals()

        assert (1, 1) == (len(sandbox.ledger.entries), sum(each.method == "POST" for each in sandbox.requests))
        assert (answer or again) == again
        assert (answer is None) == (number == 0)
        assert entry is not None
        assert (CallState.ANSWERED, entry.usd) == (entry.state, totals.spent_usd)
        number += 1

    assert commits > 4
