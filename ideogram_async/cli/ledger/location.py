"""Location of a ledger: a file or a database, which no command creates."""

from __future__ import annotations

import re
import shlex
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from attrs import frozen
from cyclopts import Parameter

from ideogram_async._redaction import MASK, mask_user
from ideogram_async.cli.console import escape
from ideogram_async.cli.errors import UsageError
from ideogram_async.ledger import SqliteLedger

if TYPE_CHECKING:
    from ideogram_async.ledger import PostgresLedger

    AnyLedger: TypeAlias = SqliteLedger | PostgresLedger

Url = Annotated[str, Parameter(help="The file of the ledger, or the connection string of its database.")]
Schema = Annotated[str, Parameter(help="The schema of the ledger in Postgres.")]
Lease = Annotated[float, Parameter(help="The lease of the clients of this ledger, in seconds.")]
SCHEMA = "ideogram"
LEASE = 30.0
FORMS = "Pass a file, sqlite:///calls.sqlite3 or postgresql://user@host/database."
POSTGRES = ("postgresql", "postgres")
USER_ONLY = re.compile(r"\w+://[^:/?#@]+@[^@]*")
PASSWORD = re.compile(r"(?<=[?&])((?:ssl)?password=)[^&]*", re.IGNORECASE)


@frozen
class Location:
    """The location of a ledger."""

    url: str
    schema: str = SCHEMA

    @property
    def name(self) -> str:
        """Return the location without a password."""
        if "://" not in self.url:
            return self.url

        # A user without a password stays, so that commands that are printed can be copied.
        url = self.url if USER_ONLY.fullmatch(self.url) else mask_user(self.url)
        return PASSWORD.sub(rf"\1{MASK}", url)

    @property
    def arguments(self) -> str:
        """Return the location as arguments in a shell."""
        schema = "" if self.schema == SCHEMA else f" --schema {shlex.quote(escape(self.schema))}"
        dashes = "-- " if self.url.startswith("-") else ""
        return f"{schema.lstrip()} {dashes}{shlex.quote(escape(self.name))}".lstrip()

    @asynccontextmanager
    async def open(self, lease: float = LEASE) -> AsyncGenerator[AnyLedger]:
        """Open the ledger for the block.

        Args:
            lease: Seconds of silence after which the owner of a call is presumed dead.

        Raises:
            UsageError: If there is none.
            LedgerError: If it cannot be used.
        """
        try:
            ledger = self._make(lease)
        except (ImportError, ValueError) as error:
            raise UsageError(str(error), "") from None

        async with ledger:
            yield ledger

    def _make(self, lease: float) -> AnyLedger:
        scheme, separator, rest = self.url.partition("://")
        if separator and scheme in POSTGRES:
            from ideogram_async._ledger.postgres import ExistingPostgresLedger

            return ExistingPostgresLedger(self.url, schema=self.schema, lease=lease)

        if separator and not (scheme == "sqlite" and rest.startswith("/")):
            raise UsageError(f"{self.name} is not the URL of a ledger.", FORMS)

        path = Path(rest[1:] if separator else self.url)
        if path.is_dir():
            raise UsageError(f"{path} is a folder.", f"{FORMS} For the folder of a batch: ideogram-async batch status")

        if not path.exists():
            raise UsageError(f"{path} does not exist.", f"The first call that is bought by a key creates it. {FORMS}")

        if not path.stat().st_size:
            raise UsageError(
                f"{path} is empty, so it is not a ledger.", "If it was one, restore it: its calls are lost."
            )

        if self.schema != SCHEMA:
            raise UsageError("--schema is for Postgres.", "Omit it for a file.")

        return SqliteLedger(path, lease=lease)
