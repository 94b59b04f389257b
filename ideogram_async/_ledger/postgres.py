"""Ledger in a Postgres database, for processes on any number of hosts. Needs the extra `postgres`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, TypeAlias, TypeVar

from ideogram_async._ledger.stored import StoredLedger
from ideogram_async._ledger.transactions import Transaction
from ideogram_async._requirements import needs_extra
from ideogram_async.errors import LedgerError

with needs_extra("PostgresLedger", "postgres"):
    try:
        import psycopg
    except ModuleNotFoundError:
        raise
    except ImportError:
        raise ImportError("PostgresLedger needs the library libpq: pip install 'psycopg[binary]'") from None

    from psycopg import AsyncConnection, AsyncCursor
    from psycopg.conninfo import conninfo_to_dict, make_conninfo
    from psycopg.rows import TupleRow, tuple_row
    from psycopg.sql import SQL, Identifier
    from psycopg_pool import AsyncConnectionPool, PoolTimeout

T = TypeVar("T")
Connection: TypeAlias = AsyncConnection[Any]
Pool: TypeAlias = AsyncConnectionPool[Connection]
Cursor: TypeAlias = AsyncCursor[TupleRow]
CONNECT_SECONDS = 5
"""Seconds to wait for a connection, and for the server to confirm what it was sent."""
TRANSACTION_SECONDS = 30
"""Seconds to wait for a transaction, with those of other processes before it."""
RIGHTS = (
    "grant the user USAGE and CREATE on the schema, and SELECT, INSERT, UPDATE and DELETE on tables that another user"
    " has created there"
)
MAX_CONNECTIONS = 4
MAX_TRIES = 3
MAX_NAME_BYTES = 63
DEFAULTS: dict[str, str | int] = {
    "application_name": "ideogram_async",
    "connect_timeout": CONNECT_SECONDS,
    "tcp_user_timeout": 1000 * CONNECT_SECONDS,
}
TRANSIENT = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError)
"""Errors that may pass: a server that restarts, a standby that takes over, a full disk, a slow transaction."""
MIGRATION_LOCK = 0x1DE0_A51C

MIGRATIONS = (
    """
    CREATE TABLE meta (name text PRIMARY KEY, value text NOT NULL);
    CREATE TABLE owner (
        id text PRIMARY KEY,
        host text NOT NULL,
        pid integer NOT NULL,
        beat bigint NOT NULL DEFAULT 0
    );
    CREATE TABLE call (
        key text COLLATE "C" PRIMARY KEY,
        operation text NOT NULL,
        fingerprint text NOT NULL,
        weight integer NOT NULL,
        usd_micros bigint,
        state text NOT NULL
            CHECK (state IN ('pending', 'sending', 'accepted', 'answered', 'ambiguous', 'lost')),
        attempt integer NOT NULL,
        token text NOT NULL,
        owner text NOT NULL,
        doubts integer NOT NULL DEFAULT 0,
        generation_id text,
        status integer,
        raw bytea,
        headers text,
        error text,
        request text,
        started_at timestamptz NOT NULL,
        settled_at timestamptz
    );
    CREATE INDEX call_open ON call (state, started_at) WHERE state <> 'answered';
    CREATE TABLE stray (
        key text COLLATE "C",
        token text,
        attempt integer NOT NULL,
        status integer,
        raw bytea,
        headers text,
        PRIMARY KEY (key, token)
    );
    CREATE TABLE total (one boolean PRIMARY KEY DEFAULT true CHECK (one), booked_micros bigint NOT NULL);
    INSERT INTO total (booked_micros) VALUES (0);
    """,
)


class PostgresLedger(StoredLedger[Pool]):
    """A ledger in a Postgres database, for processes on any number of hosts. Needs the extra `postgres`.

        async with Ideogram(ledger=PostgresLedger("postgresql://db.example/images")) as client:
            answer = await client.once("order-4711/hero", Generate("a red fox"))

    It opens at its first use, in one event loop, and creates its tables; the client that was given it closes it. It
    keeps no state in a session, so the pools of PgBouncer work in every mode but `statement`.

    A standby must confirm each commit before it may take over (`synchronous_standby_names`): after the loss of a row
    its key is bought again.

    Args:
        dsn_or_pool: A connection string, or a `psycopg_pool.AsyncConnectionPool` of yours, which stays open.
        schema: The schema of its tables, which contains nothing else.
        max_cost_usd: The budget of all processes together, in USD. Calls whose outcome is unknown count.
        lease: Seconds of silence after which the owner of a call is presumed dead. Then the call is in doubt, and
            callers of its key get `InDoubtError`. It is never sent again by itself.
        keep_requests: Whether entries contain their requests. Without it, prompts are kept only as answers repeat them.

    Raises:
        ValueError: If a setting is invalid.
    """

    def __init__(
        self,
        dsn_or_pool: str | AsyncConnectionPool[Any],
        *,
        schema: str = "ideogram",
        max_cost_usd: Decimal | str | float | None = None,
        lease: float = 30.0,
        keep_requests: bool = False,
    ) -> None:
        super().__init__(max_cost_usd, lease, keep_requests=keep_requests)
        if not isinstance(dsn_or_pool, str | AsyncConnectionPool):
            kind = type(dsn_or_pool).__name__
            raise TypeError(
                f"dsn_or_pool must be a connection string or a psycopg_pool.AsyncConnectionPool, not {kind}"
            )

        if not 0 < len(schema.encode()) <= MAX_NAME_BYTES or "\0" in schema or schema.startswith("pg_"):
            raise ValueError(
                f"schema must be a name of 1 to {MAX_NAME_BYTES} bytes that does not begin with pg_, not {schema!r}"
            )

        self.schema: str = schema
        self._dsn = _with_defaults(dsn_or_pool) if isinstance(dsn_or_pool, str) else None
        self._pool = None if isinstance(dsn_or_pool, str) else dsn_or_pool
        # The connections of a passed pool may be configured in another way. Nothing outlasts the transaction.
        self._settings = SQL(
            "SET TRANSACTION ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on;"
            " SET LOCAL client_encoding TO 'UTF8'; SET LOCAL search_path TO {}, pg_temp"
        ).format(Identifier(schema))

    def __repr__(self) -> str:
        return f"PostgresLedger(schema={self.schema!r})"

    async def _run(self, transaction: Callable[[], Transaction[T]]) -> T:
        pool = await self._use()
        return await self._bounded(self._retry(pool, transaction))

    async def _retry(self, pool: Pool, transaction: Callable[[], Transaction[T]]) -> T:
        """Run a transaction, and again if the connection is lost. Repeating one that was committed changes nothing."""
        for _ in range(MAX_TRIES - 1):
            try:
                return await self._attempt(pool, transaction)
            except PoolTimeout:
                raise
            except TRANSIENT:
                # The other connections are probably lost, too.
                await pool.check()

        return await self._attempt(pool, transaction)

    async def _attempt(self, pool: Pool, transaction: Callable[[], Transaction[T]]) -> T:
        # The end of the block commits.
        async with pool.connection(CONNECT_SECONDS) as connection:
            cursor, statements = await self._begin(connection), transaction()
            try:
                query, values = next(statements)
                while True:
                    await cursor.execute(query.replace("?", "%s").encode(), values, prepare=False, binary=True)
                    rows = await cursor.fetchall() if cursor.description else []
                    query, values = statements.send(rows)
            except StopIteration as end:
                result: T = end.value
                return result

    async def _begin(self, connection: Connection) -> Cursor:
        cursor = AsyncCursor(connection, row_factory=tuple_row)
        # Without autocommit, psycopg begins the transaction itself.
        begin = SQL("BEGIN; ") if connection.autocommit else SQL("")
        await cursor.execute(begin + self._settings, prepare=False)
        return cursor

    async def _bounded(self, work: Awaitable[T]) -> T:
        """Wait for work for a bounded time. Its errors become `LedgerError`."""
        try:
            async with asyncio.timeout(TRANSACTION_SECONDS):
                return await work
        except TimeoutError:
            raise LedgerError(f"{self!r} does not answer within {TRANSACTION_SECONDS} s", retryable=True) from None
        except psycopg.Error as error:
            is_transient = isinstance(error, TRANSIENT)
            problem = "is unavailable" if is_transient else "cannot be used"
            rights = f"; {RIGHTS}" if isinstance(error, psycopg.errors.InsufficientPrivilege) else ""
            raise LedgerError(f"{self!r} {problem}: {str(error).strip()}{rights}", retryable=is_transient) from None

    async def _open(self) -> Pool:
        await self._bounded(self._prepare())
        return self._pool or await self._open_pool()

    @asynccontextmanager
    async def _first_connection(self) -> AsyncGenerator[Connection]:
        if self._pool is not None:
            async with self._pool.connection(CONNECT_SECONDS) as connection:
                yield connection
        else:
            # Unlike a pool's, its error states what is wrong.
            async with await AsyncConnection.connect(self._dsn or "") as connection:
                yield connection

    async def _open_pool(self) -> Pool:
        pool: Pool = AsyncConnectionPool(
            self._dsn or "",
            kwargs={"autocommit": True},
            name="ideogram_async",
            min_size=0,
            max_size=MAX_CONNECTIONS,
            reconnect_timeout=CONNECT_SECONDS,
            open=False,
        )
        await pool.open()
        return pool

    async def _close(self, database: Pool) -> None:
        if database is not self._pool:
            # In a task: if the event loop of its workers was closed, their cancellation ends the close.
            closing = asyncio.ensure_future(database.close())
            await asyncio.wait({closing})
            if not closing.cancelled():
                closing.exception()

    async def _prepare(self) -> None:
        async with self._first_connection() as connection:
            await self._migrate(await self._begin(connection))

    async def _migrate(self, cursor: Cursor) -> None:
        """Create or update the tables.

        Raises:
            LedgerError: If the schema is of another program, or of a newer version.
        """
        if await self._version(cursor) == len(MIGRATIONS):
            return

        await cursor.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,), prepare=False)
        version = await self._version(cursor)
        if not 0 <= version <= len(MIGRATIONS):
            raise LedgerError(
                f"{self!r} was written by a newer version of ideogram_async ({version} > {len(MIGRATIONS)})"
            )

        if not version:
            # Not `IF NOT EXISTS`, which needs the permission to create one even then.
            await cursor.execute("SELECT FROM pg_namespace WHERE nspname = %s", (self.schema,), prepare=False)
            if await cursor.fetchone() is None:
                await cursor.execute(SQL("CREATE SCHEMA {}").format(Identifier(self.schema)), prepare=False)

        for number in range(version, len(MIGRATIONS)):
            await cursor.execute(MIGRATIONS[number].encode(), prepare=False)
            await cursor.execute(
                "INSERT INTO meta VALUES ('ideogram_async', %s)"
                " ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (str(number + 1),),
                prepare=False,
            )

    async def _version(self, cursor: Cursor) -> int:
        """Return the number of migrations that were applied.

        Raises:
            LedgerError: If the schema is of another program.
        """
        query = "SELECT relname FROM pg_class JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = %s"
        await cursor.execute(query, (self.schema,), prepare=False)
        tables = {name for (name,) in await cursor.fetchall()}
        if not tables:
            return 0

        foreign = LedgerError(f"{self!r}: the schema is of another program: choose another name")
        if "meta" not in tables:
            raise foreign

        try:
            await cursor.execute("SELECT value FROM meta WHERE name = 'ideogram_async'", prepare=False)
        except psycopg.errors.UndefinedColumn:
            raise foreign from None

        row = await cursor.fetchone()
        if row is None:
            raise foreign

        return int(row[0])


class ExistingPostgresLedger(PostgresLedger):
    """A ledger whose tables exist already."""

    async def _migrate(self, cursor: Cursor) -> None:
        if not await self._version(cursor):
            raise LedgerError(f"{self!r}: there is no ledger in this schema of the database. Its first call creates it")

        await super()._migrate(cursor)


def _with_defaults(dsn: str) -> str:
    try:
        settings = conninfo_to_dict(dsn)
    except psycopg.ProgrammingError:
        # Its message may contain the password.
        rule = "must be a connection string such as postgresql://user@host/database, or key=value pairs"
        raise ValueError(f"dsn_or_pool {rule}") from None

    return make_conninfo(dsn, **{name: value for name, value in DEFAULTS.items() if name not in settings})
