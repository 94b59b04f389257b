"""Ledger in Postgres: what it shares with other programs, and what it says when it cannot be used."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator

import psycopg
import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from support.ledgers import Store, claim_of, outcome_of
from support.postgres import PostgresServer, new_schema

from ideogram_async import Generate, Ideogram, LedgerError
from ideogram_async._ledger.transactions import Transaction
from ideogram_async.ledger import CallState, PostgresLedger, Verdict
from ideogram_async.sandbox import Sandbox

FOX = Generate("a red fox")


@pytest.fixture
def store(postgres: PostgresServer) -> Store:
    return Store(postgres.dsn, new_schema())


@pytest.fixture
async def pool(postgres: PostgresServer) -> AsyncGenerator[AsyncConnectionPool]:
    """A pool of an application that configures its connections in its own way."""
    settings = {"row_factory": dict_row, "cursor_factory": psycopg.AsyncRawCursor, "prepare_threshold": 0}
    options = "-c default_transaction_isolation=serializable -c synchronous_commit=off"
    async with AsyncConnectionPool(postgres.dsn, kwargs={**settings, "options": options}, min_size=1) as pool:
        yield pool


async def test_a_pool_can_be_shared(pool: AsyncConnectionPool, store: Store, sandbox: Sandbox):
    """A passed pool stays open, and its settings change neither the ledger nor its other users."""
    for _ in range(2):
        ledger = PostgresLedger(pool, schema=store.schema)
        async with Ideogram("sandbox", base_url=sandbox.url, ledger=ledger) as client:
            answers = await asyncio.gather(*(client.once(f"fox-{number}", FOX) for number in range(20)))

    async with pool.connection() as connection:
        rows = [
            await (await connection.execute(query)).fetchall()
            for query in ("SHOW search_path", "SHOW synchronous_commit", "SELECT * FROM pg_prepared_statements")
        ]

    assert (20, True) == (len(sandbox.ledger.entries), answers[0].meta.replayed)
    assert ["off", '"$user", public'] == [rows[1][0]["synchronous_commit"], rows[0][0]["search_path"]]
    assert [] == [row for row in rows[2] if "call" in row["statement"]]


async def test_a_closed_ledger_opens_again(store: Store):
    """Closing ends its connections, and a later use opens others."""
    ledger = store()
    for _ in range(2):
        assert await ledger.get("fox") is None
        await ledger.aclose()


async def test_ten_processes_create_the_tables(store: Store):
    """Clients that start together neither fail nor overwrite the tables of each other."""
    ledgers = [store() for _ in range(10)]

    assert [None] * 10 == await asyncio.gather(*(ledger.get("fox") for ledger in ledgers))
    for ledger in ledgers:
        await ledger.aclose()


@pytest.mark.parametrize(
    ("statements", "problem"),
    [
        (["CREATE TABLE {}.orders ()"], "the schema is of another program"),
        (["CREATE TABLE {}.meta (id integer)"], "the schema is of another program"),
        (["CREATE TABLE {}.meta (name text, value text)"], "the schema is of another program"),
        (
            [
                "CREATE TABLE {}.meta (name text, value text)",
                "INSERT INTO {}.meta VALUES ('ideogram_async', '99')",
            ],
            r"was written by a newer version of ideogram_async \(99 > 1\)",
        ),
    ],
)
async def test_a_foreign_schema_is_left_alone(store: Store, statements: list[str], problem: str):
    """Nothing is created next to the tables of another program, or changed in those of a newer version."""
    async with await psycopg.AsyncConnection.connect(store.location) as connection:
        await connection.execute(f"CREATE SCHEMA {store.schema}")
        for statement in statements:
            await connection.execute(statement.format(store.schema))

    async with store() as ledger:
        with pytest.raises(LedgerError, match=problem) as caught:
            await ledger.get("fox")

    assert not caught.value.retryable


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
async def test_the_encoding_of_a_connection(store: Store, encoding: str):
    """The default of a role does not keep a key or an outcome from the ledger."""
    dsn = f"{store.location}?options=-c%20client_encoding%3D{encoding}"
    async with PostgresLedger(dsn, schema=store.schema) as ledger:
        await ledger.claim(claim_of("\u4e00", "token"))
        await ledger.settle("\u4e00", 1, outcome_of("token", Verdict.UNKNOWN, "\u4e00"))
        entry = await ledger.get("\u4e00")

    assert entry is not None
    assert (CallState.AMBIGUOUS, "\u4e00") == (entry.state, entry.error)


async def test_a_transaction_that_the_server_ends(store: Store):
    """It took too long, because the event loop was blocked, and is run again."""
    dsn = f"{store.location}?options=-c%20idle_in_transaction_session_timeout%3D200"
    runs = []

    def slow_once() -> Transaction[None]:
        runs.append(1)
        yield "SELECT 1", ()
        if len(runs) == 1:
            threading.Event().wait(0.4)

        yield "SELECT 2", ()

    async with PostgresLedger(dsn, schema=store.schema) as ledger:
        await ledger._run(slow_once)

    assert 2 == len(runs)


async def test_an_empty_schema_is_used(store: Store):
    """An administrator may have created it."""
    async with await psycopg.AsyncConnection.connect(store.location) as connection:
        await connection.execute(f"CREATE SCHEMA {store.schema}")

    async with store() as ledger:
        assert await ledger.get("fox") is None


async def test_the_rights_of_a_user(store: Store):
    """Without them the error says which to grant. A user who may not create tables can use those of another one."""
    user, tables = f"user_{store.schema}", f"ON ALL TABLES IN SCHEMA {store.schema}"
    async with await psycopg.AsyncConnection.connect(store.location, autocommit=True) as connection:
        await connection.execute(f"CREATE ROLE {user} LOGIN")
        async with (
            store() as ledger,
            PostgresLedger(store.location.replace("tester", user), schema=store.schema) as own,
        ):
            with pytest.raises(
                LedgerError, match=r"permission denied for database .*; grant the user USAGE and CREATE on"
            ):
                await own.get("fox")

            await ledger.get("fox")
            await connection.execute(f"GRANT USAGE ON SCHEMA {store.schema} TO {user}")
            await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE {tables} TO {user}")
            await own.claim(claim_of("fox", "x"))

            assert (await ledger.totals()).in_flight_usd


async def test_a_server_that_is_away(sandbox: Sandbox):
    """Nothing is sent, and the error says that a repeat may help."""
    ledger = PostgresLedger("postgresql://127.0.0.1:9/images")
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=ledger) as client:
        with pytest.raises(
            LedgerError, match=r"PostgresLedger\(schema='ideogram'\) is unavailable: .*refused"
        ) as caught:
            await client.once("fox", FOX)

    assert (True, []) == (caught.value.retryable, sandbox.requests)


async def test_another_event_loop_is_refused(store: Store):
    """Connections belong to the loop that opened them."""
    async with store() as ledger:
        await ledger.get("fox")
        with pytest.raises(LedgerError, match="is open in another event loop"):
            await asyncio.to_thread(asyncio.run, ledger.get("fox"))


@pytest.mark.parametrize(
    ("dsn", "schema", "error", "problem"),
    [
        ("postgresql+psycopg://db/x?password=secret", "x", ValueError, "must be a connection string"),
        (7, "x", TypeError, r"must be a connection string or a psycopg_pool\.AsyncConnectionPool, not int"),
        ("dbname=x", "", ValueError, "schema must be a name of 1 to 63 bytes"),
        ("dbname=x", "x" * 64, ValueError, "schema must be a name of 1 to 63 bytes"),
        ("dbname=x", "pg_x", ValueError, "does not begin with pg_"),
    ],
)
def test_settings_are_checked(dsn, schema: str, error: type[Exception], problem: str):
    """An error names the rule, and never the password."""
    with pytest.raises(error, match=problem) as caught:
        PostgresLedger(dsn, schema=schema)

    assert "secret" not in str(caught.value)
