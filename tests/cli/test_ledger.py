"""Commands on a ledger: what is in doubt is listed with its price and the way on, and nothing else is changed."""

from __future__ import annotations

import asyncio
import json
import shlex
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.commands import CommandLine, Invoke
from support.ledgers import OWNER, AnyLedger, Store, claim_of, outcome_of
from support.postgres import PostgresServer
from support.terminal import terminal

from ideogram_async.cli.ledger.location import Location
from ideogram_async.ledger import CallState, Entry, Outcome, SqliteLedger, Verdict

NAME = "calls.sqlite3"
LINK = "https://ideogram.ai/api/images/found.png"
BODY = {"data": [{"url": "https://ideogram.ai/a.png", "prompt": "a fox"}]}
FUTURE = "2999-01-01"
LONG_AGO = "2020-01-01"


async def fill(ledger: AnyLedger) -> None:
    """Record calls in each state that a command treats in its own way: three of them are undecided."""
    async with ledger:
        await ledger.beat(OWNER)
        for key in ("order-1/hero", "order-2/hero"):
            answer = Outcome(verdict=Verdict.ANSWERED, token=key, status=200, raw=json.dumps(BODY).encode())
            await ledger.claim(claim_of(key, key))
            await ledger.settle(key, 1, answer)

        for key in ("order-3/hero", "order-4/hero", "order-5/hero"):
            await ledger.claim(claim_of(key, key))
            await ledger.settle(key, 1, outcome_of(key, Verdict.UNKNOWN, "the connection was reset"))

        await ledger.resolve("order-5/hero", "lost")
        await ledger.claim(claim_of("order-6/hero", "x", usd=None))


def find(folder: Path, key: str) -> Entry | None:
    async def get() -> Entry | None:
        async with SqliteLedger(folder / NAME) as ledger:
            return await ledger.get(key)

    return asyncio.run(get())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a ledger."""
    asyncio.run(fill(SqliteLedger(tmp_path / NAME)))
    return tmp_path


@pytest.mark.parametrize("url", [NAME, f"sqlite:///{NAME}", "sqlite:///{folder}/" + NAME])
def test_status(folder: Path, invoke: Invoke, url: str) -> None:
    """It has the calls by state, their cost, those in doubt with their reason, and the next steps."""
    url = url.format(folder=folder)
    completed = invoke("ledger", "status", url)

    assert (3, "") == (completed.code, completed.err)
    for text in (
        "? order-3/hero\n  0.06 USD may have been billed since 2",
        "UTC: the connection was reset\n",
        f"ideogram-async ledger resolve {shlex.quote(url)} KEY lost|retry|adopt\n",
        "calls     6: 2 answered, 2 ambiguous, 1 lost, 1 sending\n",
        "spent     0.12 USD\n",
        "in doubt  0.18 USD\n",
        "in flight 0.00 USD\n",
        "next      1 call in flight; a call whose client was killed is in doubt after 38 s\n",
    ):
        assert text in completed.out


def test_status_for_machines(folder: Path, invoke: Invoke) -> None:
    """Prices are strings, and the exit code is that of the command."""
    [event] = invoke("ledger", "status", NAME, "--json").events

    assert ("Ledger", 3, "0.12", "0.18") == tuple(
        event[name] for name in ("event", "exit", "spent_usd", "in_doubt_usd")
    )
    assert {"answered": 2, "ambiguous": 2, "lost": 1, "sending": 1, "pending": 0, "accepted": 0} == event["calls"]


def test_status_of_a_silent_client(folder: Path, invoke: Invoke) -> None:
    """A call whose client was killed is in doubt, and keeps its state; a machine gets the same."""
    completed = invoke("ledger", "status", NAME, "--lease", "0.001")
    [event] = invoke("ledger", "status", NAME, "--lease", "0.001", "--json").events

    assert "? order-6/hero\n  unknown" in completed.out
    assert "its client is silent" in completed.out
    assert ("2 ambiguous, 1 lost, 1 sending" in completed.out, "in flight;" in completed.out) == (True, False)
    assert (3, 1, 1) == (event["exit"], event["silent"], event["calls"]["sending"])


async def test_status_of_a_client_that_is_alive(cli: CommandLine) -> None:
    """A call that takes long is in flight as long as the counter of its client rises."""
    async with SqliteLedger(cli.folder / NAME) as ledger:
        await ledger.claim(claim_of("order-1/hero", "x"))
        with closing(sqlite3.connect(cli.folder / NAME)) as database, database:
            database.execute("UPDATE call SET started_at = '2020-01-01T00:00:00+00:00'")

        command = asyncio.create_task(asyncio.to_thread(cli, "ledger", "status", NAME, "--lease", "0.4"))
        while not command.done():
            await ledger.beat(OWNER)

    completed = command.result()

    assert (0, True) == (completed.code, "in flight 0.06 USD" in completed.out)


def test_status_without_doubts(invoke: Invoke, tmp_path: Path) -> None:
    """A new ledger has nothing to decide."""
    asyncio.run(make_empty(tmp_path / NAME))
    completed = invoke("ledger", "status", NAME)

    assert (0, "  calls     none") == (completed.code, completed.out.splitlines()[0])


def test_an_accepted_call(tmp_path: Path, invoke: Invoke) -> None:
    """It is in flight, however long its client is silent, and can be given up, but not bought again."""

    async def accept() -> None:
        async with SqliteLedger(tmp_path / NAME) as ledger:
            await ledger.claim(claim_of("order-1/hero", "x"))
            await ledger.settle("order-1/hero", 1, outcome_of("x", Verdict.ACCEPTED))

    asyncio.run(accept())
    status = invoke("ledger", "status", NAME, "--lease", "0.001")
    [call] = invoke("ledger", "list", NAME, "accepted", "--json").events
    refusal = invoke("ledger", "resolve", NAME, "order-1/hero", "retry")
    given_up = invoke("ledger", "resolve", NAME, "order-1/hero", "lost")

    assert (0, "generation of x", 2) == (status.code, call["generation_id"], refusal.code)
    assert "in flight 0.06 USD\n  next      1 call accepted; the next use of its key waits for the answer" in status.out
    assert "'order-1/hero' is accepted: it may still be answered." in refusal.err
    assert (0, "order-1/hero: given up; 0.06 USD stays booked as in doubt\n") == (given_up.code, given_up.out)


def test_many_doubts_are_not_all_shown(tmp_path: Path, invoke: Invoke) -> None:
    """The status lists ten, and names the command that lists all."""

    async def doubt() -> None:
        async with SqliteLedger(tmp_path / NAME) as ledger:
            for number in range(12):
                await ledger.claim(claim_of(f"key-{number}", "x"))
                await ledger.settle(f"key-{number}", 1, outcome_of("x", Verdict.UNKNOWN))

    asyncio.run(doubt())
    out = invoke("ledger", "status", NAME).out

    assert 10 == out.count("may have been billed")
    assert f"and 2 more; to list them all: ideogram-async ledger list {NAME} ambiguous\n" in out


def test_list(folder: Path, invoke: Invoke) -> None:
    """A pipe gets a line for each call, with its whole key at the end."""
    lines = invoke("ledger", "list", NAME).out.splitlines()

    assert ["key", *(f"order-{number}/hero" for number in range(1, 7))] == [line.split()[-1] for line in lines]
    assert ["answered", "answered", "ambiguous", "ambiguous", "lost", "sending"] == [
        each.split()[1] for each in lines[1:]
    ]


def test_list_by_state(folder: Path, invoke: Invoke) -> None:
    """Only the calls in the given states are listed."""
    completed = invoke("ledger", "list", NAME, "lost", "sending", "--json")

    assert ["order-5/hero", "order-6/hero"] == [line["key"] for line in completed.events]
    assert "No calls.\n" == invoke("ledger", "list", NAME, "pending").out


def test_the_export(folder: Path, invoke: Invoke) -> None:
    """Each line has the answer with its links, and the answers of other attempts."""

    async def stray() -> None:
        async with SqliteLedger(folder / NAME) as ledger:
            other = outcome_of("other")
            await ledger.settle("order-1/hero", 1, other)

    asyncio.run(stray())
    first, *_, last = invoke("ledger", "list", NAME, "--json").events

    assert (BODY, ["https://ideogram.ai/a.png"], "0.06") == (first["answer"], first["links"], first["usd"])
    assert [{"status": 200, "answer": "other", "links": []}] == first["strays"]
    assert (None, [], None, []) == (last["answer"], last["links"], last["usd"], last["strays"])


@pytest.mark.parametrize(
    ("arguments", "state", "said"),
    [
        (["lost"], CallState.LOST, "given up; 0.06 USD stays booked"),
        (["retry"], CallState.PENDING, "the next use of the key buys it again; that may be billed twice"),
        (["adopt", "--url", LINK], CallState.ANSWERED, "the next use of the key returns that image"),
    ],
)
def test_resolve(folder: Path, invoke: Invoke, arguments: list[str], state: CallState, said: str) -> None:
    """The decision is recorded, and its consequence is printed."""
    completed = invoke("ledger", "resolve", NAME, "order-3/hero", *arguments)
    entry = find(folder, "order-3/hero")

    assert (0, "") == (completed.code, completed.err)
    assert f"order-3/hero: {said}" in completed.out
    assert entry is not None
    assert state is entry.state


def test_resolve_for_machines(folder: Path, invoke: Invoke) -> None:
    """One line has the new state."""
    completed = invoke("ledger", "resolve", NAME, "order-3/hero", "lost", "--json")

    assert [{"event": "Resolved", "key": "order-3/hero", "state": "lost"}] == completed.events


def test_a_silent_client(folder: Path, invoke: Invoke) -> None:
    """A call whose client was killed is watched for its lease, and then decided."""
    completed = invoke("ledger", "resolve", NAME, "order-6/hero", "lost", "--lease", "0.1")
    entry = find(folder, "order-6/hero")

    assert (0, "") == (completed.code, completed.err)
    assert entry is not None
    assert CallState.LOST is entry.state


@pytest.mark.parametrize(
    ("arguments", "message", "advice"),
    [
        (
            ["ordr-3/hero", "lost"],
            "calls.sqlite3 has no key 'ordr-3/hero'; did you mean 'order-3/hero'?",
            "To be decided:",
        ),
        (["ORDER-3/HERO", "lost"], "did you mean 'order-3/hero'?", "To be decided: 'order-3/hero', 'order-4/hero'"),
        (["order-1/hero", "retry"], "Key 'order-1/hero' is answered: there is nothing to decide.", "'order-6/hero'."),
        (["order-3\udc80", "lost"], r"has no key 'order-3\udc80'", "To be decided:"),
        (["order-3/hero", "adopt"], "adopt needs the link of the image.", "Pass it as --url."),
        (["order-3/hero", "lost", "--url", LINK], "lost takes no link.", "Omit --url."),
        (["order-3/hero", "adopt", "--url", "http://x/y"], "the link is not allowed", "The call is unchanged."),
        (["order-3/hero", "lose"], 'Invalid value "lose"', "--help"),
        (["order-3/hero", "lost", "--lease", "0"], "lease must be a number of seconds above 0, not 0", ""),
    ],
)
def test_refused_decisions(folder: Path, invoke: Invoke, arguments: list[str], message: str, advice: str) -> None:
    """The error says what to type instead, and nothing is changed."""
    before = find(folder, "order-3/hero")
    completed = invoke("ledger", "resolve", NAME, *arguments)

    assert 2 == completed.code
    assert message in completed.err
    assert advice in completed.err
    assert before == find(folder, "order-3/hero")


async def make_empty(path: Path) -> None:
    async with SqliteLedger(path) as ledger:
        await ledger.totals()


def test_a_refusal_without_doubts(invoke: Invoke, tmp_path: Path) -> None:
    """Nothing is suggested where nothing is to be decided."""
    asyncio.run(make_empty(tmp_path / NAME))

    assert (
        "has no key 'x'\n  Nothing was billed. No call is to be decided."
        in invoke("ledger", "resolve", NAME, "x", "lost").err
    )


def test_forget(folder: Path, invoke: Invoke) -> None:
    """What was answered or given up before is deleted, and what is in doubt stays."""
    none = invoke("ledger", "forget", NAME, "--before", LONG_AGO)
    # To the microsecond, and in the past by the time it is read.
    some = invoke("ledger", "forget", NAME, "--before", datetime.now(UTC).isoformat(), "--json")
    left = invoke("ledger", "list", NAME, "--json").events

    assert (0, "0 calls forgotten\n") == (none.code, none.out)
    assert [{"event": "Forgotten", "calls": 3}] == some.events
    assert ["order-3/hero", "order-4/hero", "order-6/hero"] == [line["key"] for line in left]


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("yesterday", "'yesterday' is not a date."),
        (FUTURE, f"{FUTURE} is in the future."),
        ("31.01.2026", "is not a"),
        ("0001-01-01T00:00+14:00", "is not a date"),
    ],
)
def test_dates_that_cannot_be_used(folder: Path, invoke: Invoke, before: str, message: str) -> None:
    """A mistake in the date forgets nothing."""
    completed = invoke("ledger", "forget", NAME, "--before", before)

    assert (2, 7) == (completed.code, len(invoke("ledger", "list", NAME).out.splitlines()))
    assert message in completed.err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("nothing.sqlite3", "nothing.sqlite3 does not exist."),
        (".", ". is a folder."),
        ("mysql://ann:secret@host/x", "mysql://***@host/x is not the URL of a ledger."),
        ("sqlite://x.sqlite3", "sqlite://x.sqlite3 is not the URL of a ledger."),
        ("foreign.sqlite3", "is damaged or of another program"),
        ("empty.sqlite3", "empty.sqlite3 is empty, so it is not a ledger."),
    ],
)
def test_locations_without_a_ledger(invoke: Invoke, tmp_path: Path, url: str, message: str) -> None:
    """They are refused, and no file is made or changed."""
    (tmp_path / "foreign.sqlite3").write_bytes(b"not a database" * 100)
    (tmp_path / "empty.sqlite3").touch()
    completed = invoke("ledger", "status", url)

    assert 2 == completed.code
    assert message in completed.err
    assert {"foreign.sqlite3": 1400, "empty.sqlite3": 0} == {
        path.name: path.stat().st_size for path in tmp_path.iterdir()
    }


def test_a_schema_of_a_file(folder: Path, invoke: Invoke) -> None:
    """The option is for Postgres."""
    completed = invoke("ledger", "status", NAME, "--schema", "mine")

    assert (2, True) == (completed.code, "--schema is for Postgres." in completed.err)


@pytest.mark.parametrize("width", [40, 80, 120])
def test_in_a_terminal(cli: CommandLine, width: int) -> None:
    """Lines fit, and each key is on one line, to be copied."""
    asyncio.run(fill(SqliteLedger(cli.folder / NAME)))
    for command in ("status", "list"):
        with terminal(cli, width, "ledger", command, NAME) as (_, screen):
            screen.read_all()

        keys = [line.split()[-1] for line in screen.lines if line.endswith("/hero")]

        assert [] == [line for line in screen.lines if len(line) > width and "ideogram-async" not in line]
        assert {"order-3/hero", "order-4/hero"} <= set(keys)


@pytest.mark.parametrize(("answer", "code", "left"), [("n", 2, 6), ("y", 0, 3)])
def test_forgetting_is_confirmed_in_a_terminal(cli: CommandLine, answer: str, code: int, left: int) -> None:
    """The question has the number of calls, and any answer but yes forgets nothing."""
    asyncio.run(fill(SqliteLedger(cli.folder / NAME)))
    before = datetime.now(UTC).isoformat()
    with terminal(cli, 80, "ledger", "forget", NAME, "--before", before) as (process, screen):
        screen.wait_for("Forget them? [y/N]")
        screen.type(f"{answer}\n")
        screen.read_all()
        exit_code = process.wait()

    assert any("3 calls before 2" in line for line in screen.lines)
    assert (code, left) == (exit_code, len(cli("ledger", "list", NAME, "--json").events))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql://ann@db.example/shop", "postgresql://ann@db.example/shop"),
        ("postgresql://ann:secret@db.example/shop", "postgresql://***@db.example/shop"),
        ("postgresql://ann@example.com:secret@db.example/shop", "postgresql://***@db.example/shop"),
        (
            "postgresql://ann@db.example/shop?password=secret&port=1",
            "postgresql://ann@db.example/shop?password=***&port=1",
        ),
        ("postgresql://db.example/shop?SSLpassword=secret", "postgresql://db.example/shop?SSLpassword=***"),
        ("orders@2026.sqlite3", "orders@2026.sqlite3"),
    ],
)
def test_a_location_is_printed_without_its_password(url: str, name: str) -> None:
    """A user is not a secret: commands that are printed can be copied."""
    assert name == Location(url).name


def test_postgres(invoke: Invoke) -> None:
    """The commands have the connection string of the server, never print its password, and create no tables."""
    server = PostgresServer()
    server.start()
    try:
        empty = invoke("ledger", "status", server.dsn)
        tables = invoke("ledger", "status", server.dsn)
        asyncio.run(fill(Store(server.dsn, "mine")()))
        status = invoke("ledger", "status", server.dsn, "--schema", "mine")
        resolved = invoke("ledger", "resolve", server.dsn, "order-3/hero", "lost", "--schema", "mine")
        left = invoke("ledger", "list", server.dsn, "ambiguous", "--schema", "mine", "--json")
    finally:
        server.remove()

    away = invoke("ledger", "status", "postgresql://ann:secret@127.0.0.1:1/x")

    assert [2, 2, 3, 0] == [each.code for each in (empty, tables, status, resolved)]
    assert "there is no ledger in this schema" in tables.err
    assert "--schema mine" in status.out
    assert ["order-4/hero"] == [line["key"] for line in left.events]
    assert (2, False) == (away.code, "secret" in away.err)
    assert "is unavailable" in away.err
