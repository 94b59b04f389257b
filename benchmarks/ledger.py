"""Record of a keyed call: the claim before its first byte, and its outcome, in each ledger, with and without a budget.

300 calls, one after another, with an answer of 1 kB. Both databases wait for the disk at each commit. Postgres runs on
this machine, in a temporary folder.

    python benchmarks/ledger.py
"""

from __future__ import annotations

import asyncio
import sys
import time
from decimal import Decimal
from pathlib import Path
from statistics import median
from uuid import uuid4

from harness import disk_folder, write_results

from ideogram_async.ledger import Claim, Outcome, Owner, PostgresLedger, SqliteLedger, Verdict

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from support.postgres import PostgresServer  # in the folder added above

COUNT = 300
ROUNDS = 3
OWNER = Owner(id="owner", host="host", pid=1, origin="sandbox")
BODY = b"x" * 1000


async def record_calls(ledger: SqliteLedger | PostgresLedger) -> dict[str, float]:
    """Record calls, and return the median time and the mean CPU time of one, in milliseconds."""
    async with ledger:
        await ledger.beat(OWNER)
        await record_call(ledger)
        cpu, times = time.process_time(), [await record_call(ledger) for _ in range(COUNT)]
        return {"median": 1000 * median(times), "cpu": 1000 * (time.process_time() - cpu) / COUNT}


async def record_call(ledger: SqliteLedger | PostgresLedger) -> float:
    """Claim a key and record its answer. Return the seconds."""
    token = uuid4().hex
    claim = Claim(
        key=token,
        operation="POST /v1/ideogram-v3/generate",
        fingerprint="f" * 64,
        weight=1,
        usd=Decimal("0.06"),
        token=token,
        owner=OWNER.id,
    )
    started = time.perf_counter()
    entry = await ledger.claim(claim)
    outcome = Outcome(verdict=Verdict.ANSWERED, token=token, status=200, raw=BODY, headers="{}")
    await ledger.settle(token, entry.attempt, outcome)
    return time.perf_counter() - started


def main() -> None:
    """Measure all ledgers in turn."""
    server = PostgresServer(is_durable=True)
    server.start()
    runs: dict[str, list[dict[str, float]]] = {}
    try:
        with disk_folder() as folder:
            for number in range(ROUNDS):
                for budget in (None, 1000):
                    name, options = "budget" if budget else "no budget", {"max_cost_usd": budget}
                    sqlite = SqliteLedger(Path(folder) / f"{number}-{name}", **options)
                    postgres = PostgresLedger(server.dsn, schema=f"{number}-{name}", **options)
                    for kind, ledger in (("sqlite", sqlite), ("postgres", postgres)):
                        runs.setdefault(f"{kind}, {name}", []).append(asyncio.run(record_calls(ledger)))
    finally:
        server.remove()

    figures = {name: {key: median(run[key] for run in each) for key in each[0]} for name, each in runs.items()}
    for name, each in figures.items():
        print(f"{name:20} {each['median']:6.2f} ms, CPU {each['cpu']:.2f} ms")

    write_results("ledger", figures)


if __name__ == "__main__":
    main()
