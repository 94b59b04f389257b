"""Ledgers of every kind, for tests and for the programs that they start."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, TypeAlias

from ideogram_async._accepted import Accepted
from ideogram_async.ledger import Claim, Outcome, Owner, PostgresLedger, SqliteLedger, Verdict

__all__ = ["OWNER", "AnyLedger", "Store", "claim_of", "outcome_of"]

AnyLedger: TypeAlias = SqliteLedger | PostgresLedger


class Store:
    """A place for one ledger, which any number of clients and processes open.

    Args:
        location: A file, or a connection string.
        schema: The schema in Postgres.
    """

    def __init__(self, location: str, schema: str = "") -> None:
        self.location = location
        self.schema = schema

    @property
    def arguments(self) -> list[str]:
        """Return what a program is started with to open it."""
        return [self.location, self.schema]

    def __call__(self, **settings: Any) -> AnyLedger:
        """Return a ledger of its own."""
        if self.schema:
            return PostgresLedger(self.location, schema=self.schema, **settings)

        return SqliteLedger(self.location, **settings)


OWNER = Owner(id="owner", host="host", pid=1, origin="sandbox")


def claim_of(key: str, token: str, usd: Decimal | None = Decimal("0.06")) -> Claim:
    """Return a claim of an attempt."""
    fingerprint, operation = "f" * 64, "POST /v1/ideogram-v3/generate"
    return Claim(key=key, operation=operation, fingerprint=fingerprint, weight=1, usd=usd, token=token, owner=OWNER.id)


def outcome_of(token: str, verdict: Verdict = Verdict.ANSWERED, error: str | None = None) -> Outcome:
    """Return the outcome of an attempt, with a body of its own."""
    if verdict is Verdict.ACCEPTED:
        return Outcome.of_acceptance(Accepted(f"generation of {token}"), token)

    is_answer = verdict is Verdict.ANSWERED
    raw, headers = (token.encode(), "{}") if is_answer else (None, None)
    return Outcome(
        verdict=verdict, token=token, status=200 if is_answer else None, raw=raw, headers=headers, error=error
    )
