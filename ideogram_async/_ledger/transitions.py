"""Changes of entries: by claims, outcomes and decisions."""

from __future__ import annotations

from datetime import datetime

from attrs import evolve

from ideogram_async._ledger.adoption import adopted_body
from ideogram_async._ledger.entries import Claim, Entry, Resolution, to_micros
from ideogram_async._ledger.outcome import Outcome
from ideogram_async._ledger.rules import UNDECIDED, CallState, Standing, Verdict

STATES: dict[Resolution, CallState] = {
    "lost": CallState.LOST,
    "retry": CallState.PENDING,
    "adopt": CallState.ANSWERED,
}
"""The state that each resolution leads to."""
RESOLVABLE: dict[Resolution, tuple[CallState, ...]] = {
    "lost": (*UNDECIDED, CallState.ACCEPTED),
    # Not of an accepted call, which may end any time: a list of calls in doubt may show one that is no longer.
    "retry": (*UNDECIDED, CallState.LOST),
    "adopt": (*UNDECIDED, CallState.ACCEPTED, CallState.LOST),
}
"""The states of the calls that each resolution accepts."""


def permits(entry: Entry, claim: Claim) -> bool:
    """Return whether the call of an entry may be sent again: a decision of the user, for the same request."""
    return entry.state is CallState.PENDING and entry.fingerprint == claim.fingerprint


def claimed(entry: Entry | None, claim: Claim, now: datetime) -> Entry:
    """Return the entry with the attempt of a claim, whose key is free or whose entry permits it."""
    standing = Standing(CallState.SENDING, attempt=1) if entry is None else entry.standing.begin()
    prices = [claim.usd] if entry is None else [claim.usd, entry.usd]
    return Entry(
        key=claim.key,
        operation=claim.operation,
        fingerprint=claim.fingerprint,
        weight=claim.weight,
        # What is booked is a multiple of it, so that a price that has changed is the higher one for each attempt.
        usd=max((usd for usd in prices if usd is not None), default=None),
        state=standing.state,
        attempt=standing.attempt,
        token=claim.token,
        owner=claim.owner,
        doubts=standing.doubts,
        request=claim.request,
        started_at=now,
    )


def settled(entry: Entry, outcome: Outcome, now: datetime) -> Entry | None:
    """Return the entry once an attempt was accepted or has ended; `None` if the key is free.

    It is the same entry if nothing changes.
    """
    standing = entry.standing.settle(outcome.verdict, is_last=outcome.token == entry.token)
    if standing is None:
        return None

    if standing == entry.standing:
        return entry

    is_refused = outcome.verdict is Verdict.NOT_BILLED
    generation_id = entry.generation_id if outcome.token == entry.token and not is_refused else None
    return evolve(
        entry,
        state=standing.state,
        doubts=standing.doubts,
        # After a refusal, the state is that of an earlier attempt, and nothing of the refused one may change it.
        token="" if is_refused else outcome.token,
        generation_id=outcome.generation_id or generation_id,
        status=outcome.status,
        raw=outcome.raw,
        headers=outcome.headers,
        error=outcome.error,
        settled_at=None if standing.state is CallState.ACCEPTED else now,
    )


def decided(entry: Entry, how: Resolution, url: str | None, now: datetime) -> Entry:
    """Return the entry after a decision of the user."""
    standing = entry.standing.decide(STATES[how])
    after = evolve(entry, state=standing.state, doubts=standing.doubts, settled_at=now)
    if url is None:
        return after

    # Without the id: an answer of the generation itself has another image, and is kept beside the adopted one.
    return evolve(after, status=200, raw=adopted_body(url), headers="{}", error=None, generation_id=None)


def is_stray(entry: Entry | None, outcome: Outcome) -> bool:
    """Return whether an answer is not that of the entry, as it is after the attempt has ended."""
    if outcome.verdict is not Verdict.ANSWERED:
        return False

    if entry is None or entry.state is not CallState.ANSWERED or entry.token != outcome.token:
        return True

    # The entry may have an image that was found and adopted. Of an accepted one, each answer has other links.
    return entry.generation_id is None and entry.raw != outcome.raw


def booked(entry: Entry | None) -> int:
    """Return the millionths of a USD that are booked for a call."""
    return 0 if entry is None else (to_micros(entry.usd) or 0) * entry.standing.booked
