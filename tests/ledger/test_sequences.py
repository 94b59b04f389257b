"""Random sequences of attempts, outcomes, deaths and decisions: each store does what the rules say."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path

import pytest
from attrs import define, field
from support.ledgers import AnyLedger, Store, claim_of, outcome_of

from ideogram_async import Generate, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.rows import JobRow
from ideogram_async._batch.journal.writer import Journal
from ideogram_async._batch.record import JobRecord
from ideogram_async._batch.resolution import resolve
from ideogram_async._ledger.entries import Resolution
from ideogram_async._ledger.rules import CallState, Standing, Verdict
from ideogram_async._ledger.serialization import HashedFiles, serialize
from ideogram_async._ledger.transitions import RESOLVABLE
from ideogram_async.ledger import Outcome
from ideogram_async.models.base import Reply

STEPS = 60
JOBS = 10
SEEDS = range(8)
PRICE = Decimal("0.06")
ENDED = (Verdict.ANSWERED, Verdict.UNKNOWN, Verdict.NOT_BILLED)
STATES: dict[Resolution, CallState] = {"lost": CallState.LOST, "retry": CallState.PENDING, "adopt": CallState.ANSWERED}


@define
class Model:
    """The record of one call by the rules, and its attempts that may still end."""

    standing: Standing | None = None
    last: str = ""
    """The token of the last attempt."""
    numbers: dict[str, int] = field(factory=dict)
    """The number of each attempt that has not ended, by token."""
    answers: set[str] = field(factory=set)
    """Tokens of the attempts that were answered."""
    forgotten: int = 0
    """Attempts whose price stays booked, although the call is forgotten."""

    @property
    def permits(self) -> bool:
        return self.standing is None or self.standing.state is CallState.PENDING

    def begin(self, token: str) -> None:
        if self.permits:
            self.standing = Standing(CallState.SENDING, 1) if self.standing is None else self.standing.begin()
            self.last, self.numbers[token] = token, self.standing.attempt

    def settle(self, outcome: Outcome) -> None:
        if outcome.verdict is Verdict.ANSWERED:
            self.answers.add(outcome.token)

        if self.standing is not None:
            before, self.standing = (
                self.standing,
                self.standing.settle(outcome.verdict, is_last=outcome.token == self.last),
            )
            if self.standing is not None and self.standing != before:
                self.last = "" if outcome.verdict is Verdict.NOT_BILLED else outcome.token

    def decide(self, how: Resolution) -> None:
        assert self.standing is not None
        self.standing = self.standing.decide(STATES[how])

    def forget(self) -> None:
        standing = self.standing
        if standing and standing.state in (CallState.ANSWERED, CallState.LOST) and not standing.doubts:
            self.forgotten += standing.booked
            self.standing = None
            self.answers.clear()

    @property
    def booked(self) -> int:
        return self.forgotten + (self.standing.booked if self.standing else 0)

    @property
    def decisions(self) -> list[Resolution]:
        return [how for how, states in RESOLVABLE.items() if self.standing and self.standing.state in states]


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_ledger_follows_the_rules(store: Store, seed: int):
    """State, attempts and money are those of the rules after each step, and no answer is lost."""
    rng = random.Random(seed)
    # The owner of every attempt is silent: it has no counter.
    async with store(lease=0.001) as ledger:
        models = {key: Model() for key in ("a", "b", "c")}
        for step in range(STEPS):
            key = rng.choice(list(models))
            await make_step(ledger, key, models[key], rng, f"{step}")
            if rng.random() < 0.1:
                await ledger.forget(datetime.now(UTC) + timedelta(hours=1))
                for model in models.values():
                    model.forget()

            await compare(ledger, key, models[key])

        totals = await ledger.totals()
        booked = sum(model.booked for model in models.values())

        assert PRICE * booked == totals.spent_usd + totals.in_doubt_usd + totals.in_flight_usd
        for key, model in models.items():
            entry, strays = await ledger.get(key), await ledger.strays(key)
            kept = {reply.raw.decode() for reply in strays} | {(entry.raw or b"").decode() if entry else ""}

            assert model.answers <= kept


async def make_step(ledger: AnyLedger, key: str, model: Model, rng: random.Random, token: str) -> None:
    """Begin an attempt, end one that may have been presumed dead, lose one, or decide about the call."""
    match rng.choice(["begin", "begin", "settle", "settle", "settle twice", "kill", "decide"]):
        case "begin":
            entry = await ledger.claim(claim_of(key, token))

            assert model.permits == (entry.token == token)
            model.begin(token)
        case ("settle" | "settle twice") as action if model.numbers:
            attempt = rng.choice(list(model.numbers))
            outcome = outcome_of(attempt, rng.choice(list(Verdict)))
            number = model.numbers[attempt]
            if outcome.verdict is not Verdict.ACCEPTED:
                del model.numbers[attempt]

            for _ in range(1 + (action == "settle twice")):
                await ledger.settle(key, number, outcome)

            model.settle(outcome)
        case "kill" if model.numbers:
            del model.numbers[rng.choice(list(model.numbers))]
        case "decide" if model.decisions:
            how = rng.choice(model.decisions)
            await ledger.resolve(key, how, url="https://ideogram.ai/fox.png" if how == "adopt" else None)
            model.decide(how)


async def compare(ledger: AnyLedger, key: str, model: Model) -> None:
    entry = await ledger.get(key)

    assert model.standing == (entry and entry.standing)
    assert entry is None or (model.last, PRICE) == (entry.token, entry.usd)


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_folder_follows_the_rules(tmp_path: Path, seed: int):
    """State, attempts in doubt and money of a job are those of the rules, up to its last state.

    A process that dies has locked its folder, so the next one finds its attempts in doubt. A job that was refused stays
    in the list. If the user had it sent again, that decision stands.
    """
    rng = random.Random(seed)
    (tmp_path / ".ideogram").mkdir()
    path = tmp_path / ".ideogram" / "journal.sqlite3"
    journal = Journal(path, origin="sandbox").open()
    for number in range(JOBS):
        key, standing = f"{number}", Standing(CallState.PENDING, 0)
        row = await journal.run(partial(queries.append_job, row=new_job(key)))
        while standing.state in (CallState.PENDING, CallState.AMBIGUOUS):
            action = rng.choice(["send", "send", "kill", "decide"])
            if action == "send":
                standing = await send(journal, row, standing, rng.choice(ENDED))
            elif action == "kill":
                await JobRecord(journal, row).begin()
                journal.close()
                journal = Journal(path, origin="sandbox").open()
                await journal.run(queries.mark_sending_ambiguous)
                standing = again(standing).decide(CallState.AMBIGUOUS)
            elif standing.state is CallState.AMBIGUOUS:
                how = rng.choice(list(STATES))
                resolve(tmp_path, key, how, "https://ideogram.ai/fox.png" if how == "adopt" else None)
                standing = standing.decide(STATES[how])

            [row] = (await journal.run(partial(queries.find_jobs, keys=[key]))).values()
            state = JobState.PARTIAL if standing.state is CallState.LOST else JobState(standing.state)

            assert (state, standing.doubts) == (row.state, row.resends)

    journal.close()


async def send(journal: Journal, row: JobRow, standing: Standing, verdict: Verdict) -> Standing:
    """Send a job, end the attempt, and return the state that the journal must have."""
    record = JobRecord(journal, row)
    await record.begin()
    if verdict is Verdict.ANSWERED:
        await record.answer(Reply(status=200, headers={}, raw=b'{"data": []}'))
    else:
        await record.fail(OSError("cut"), may_have_run=verdict is Verdict.UNKNOWN)

    settled = again(standing).settle(verdict, is_last=True)
    if settled is None:
        return Standing(CallState.PENDING, standing.attempt)

    is_decided = standing.state is CallState.PENDING and verdict is Verdict.NOT_BILLED
    return settled.decide(CallState.PENDING) if is_decided else settled


def again(standing: Standing) -> Standing:
    """Return the standing once the next attempt is on record. A run may resend a job in doubt."""
    return (standing if standing.state is CallState.PENDING else standing.decide(CallState.PENDING)).begin()


def new_job(key: str) -> JobRow:
    return JobRow(
        key=key,
        number=0,
        id=key,
        operation="generate",
        request=serialize(Generate("a fox"), HashedFiles()),
        fingerprint="f",
        weight=1,
        usd=PRICE,
        state=JobState.PENDING,
    )
