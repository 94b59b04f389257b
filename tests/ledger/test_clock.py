"""Wall clocks that are wrong: nothing is judged by them."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta, tzinfo
from itertools import cycle

import pytest

from ideogram_async import Generate, Ideogram, InProgressError
from ideogram_async._ledger import stored, transactions
from ideogram_async.sandbox import Sandbox

FOX = Generate("a red fox")
HOURS = cycle([1, -1])


class JumpingClock(datetime):
    """A clock that is an hour fast, then an hour slow."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
        return datetime.now(tz) + timedelta(hours=next(HOURS))


async def test_a_wall_clock_that_jumps(
    buyer: Ideogram, other: Ideogram, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    """A call that seems to have begun an hour ago, or in an hour, is still in progress."""
    seconds = time.time
    monkeypatch.setattr(time, "time", lambda: seconds() + 3600 * next(HOURS))
    for module in (stored, transactions):
        monkeypatch.setattr(module, "datetime", JumpingClock)

    sandbox.hold()
    calls = [asyncio.create_task(client.once(f"{number}", FOX)) for number in range(4) for client in (buyer, other)]
    await sandbox.wait_for_requests(4)
    for number in range(4):
        for client in (buyer, other):
            with pytest.raises(InProgressError):
                await client.once(f"{number}", FOX, wait=0.01)

    sandbox.release()
    answers = await asyncio.gather(*calls)

    assert (4, 4) == (len(set(answers)), len(sandbox.ledger.entries))
