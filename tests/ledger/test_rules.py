"""The state machine of charged calls, against a model that knows every attempt."""

from __future__ import annotations

import random

import pytest
from attrs import define, field

from ideogram_async._ledger.entries import Resolution
from ideogram_async._ledger.rules import CallState, Standing, Verdict, after
from ideogram_async._ledger.transitions import RESOLVABLE, STATES


@define
class Model:
    """What is known of each attempt of one call, regardless of its record."""

    standing: Standing | None = None
    verdicts: dict[int, Verdict | None] = field(factory=dict)
    """By token; `None` if nothing is known of the attempt yet."""
    numbers: dict[int, int] = field(factory=dict)
    last: int = -1

    def begin(self) -> None:
        """Send the call if the record permits it."""
        if self.standing is not None and self.standing.state is not CallState.PENDING:
            return

        self.last = len(self.numbers)
        self.standing = Standing(CallState.SENDING, 1) if self.standing is None else self.standing.begin()
        self.numbers[self.last] = self.standing.attempt
        self.verdicts[self.last] = None

    def settle(self, token: int, verdict: Verdict) -> None:
        """End an attempt, perhaps long after its owner was presumed dead, or a second time."""
        self.verdicts[token] = verdict
        if self.standing is not None:
            before, self.standing = self.standing, self.standing.settle(verdict, is_last=token == self.last)
            if self.standing not in (None, before):
                self.last = -1 if verdict is Verdict.NOT_BILLED else token

    def decide(self, how: Resolution) -> None:
        """Decide about the last attempt."""
        if self.standing is not None and self.standing.state in RESOLVABLE[how]:
            self.standing = self.standing.decide(STATES[how])

    def unbilled(self) -> int:
        """Count the attempts that may have been billed."""
        return sum(verdict is not Verdict.NOT_BILLED for verdict in self.verdicts.values())


@pytest.mark.parametrize("seed", range(300))
def test_money_that_may_be_spent_stays_booked(seed: int):
    """In any order of events, no attempt that may have been billed is without a booking."""
    rng, model = random.Random(seed), Model()
    for _ in range(40):
        running = [token for token, verdict in model.verdicts.items() if verdict in (None, Verdict.ACCEPTED)]
        match rng.choice(["begin", "settle", "settle", "again", "decide"]):
            case "begin":
                model.begin()
            case "settle" if running:
                model.settle(rng.choice(running), rng.choice(list(Verdict)))
            case "again" if settled := [token for token, verdict in model.verdicts.items() if verdict]:
                token = rng.choice(settled)
                model.settle(token, model.verdicts[token] or Verdict.UNKNOWN)
            case "decide":
                model.decide(rng.choice(["lost", "retry"]))

        booked = 0 if model.standing is None else model.standing.booked

        assert booked >= model.unbilled()


def test_a_refusal_frees_a_call_unless_an_earlier_attempt_is_in_doubt():
    """Certain knowledge about one attempt says nothing about another."""
    assert (None, CallState.AMBIGUOUS) == (
        after(Verdict.NOT_BILLED, in_doubt=False),
        after(Verdict.NOT_BILLED, in_doubt=True),
    )


TRANSITIONS = {
    CallState.SENDING: (CallState.ACCEPTED, CallState.ANSWERED, CallState.AMBIGUOUS, None),
    # Only the service ends it: a wait that was given up leaves nothing in doubt.
    CallState.ACCEPTED: (CallState.ACCEPTED, CallState.ANSWERED, CallState.ACCEPTED, None),
    CallState.ANSWERED: (CallState.ANSWERED,) * 4,
    # An owner that was presumed dead resumes.
    CallState.AMBIGUOUS: (CallState.ACCEPTED, CallState.ANSWERED, CallState.AMBIGUOUS, CallState.AMBIGUOUS),
    CallState.LOST: (CallState.ACCEPTED, CallState.ANSWERED, CallState.LOST, CallState.LOST),
    CallState.PENDING: (CallState.ACCEPTED, CallState.ANSWERED, CallState.PENDING, CallState.PENDING),
}
"""The state after an acceptance, an answer, an unknown outcome and a refusal of the last attempt."""


@pytest.mark.parametrize("state", CallState)
def test_what_becomes_of_the_last_attempt(state: CallState):
    """Each verdict leads to one state, and the price is booked unless the attempt was refused in time."""
    before = Standing(state, 1, doubts=int(state is CallState.PENDING))
    verdicts = (Verdict.ACCEPTED, Verdict.ANSWERED, Verdict.UNKNOWN, Verdict.NOT_BILLED)
    standings = [before.settle(verdict, is_last=True) for verdict in verdicts]

    assert TRANSITIONS[state] == tuple(after and after.state for after in standings)
    assert all(1 == after.booked for after in standings if after)


@pytest.mark.parametrize("verdict", [Verdict.ACCEPTED, Verdict.ANSWERED])
def test_a_late_answer_beside_another_attempt(verdict: Verdict):
    """It is not that of the call, which stays as it is."""
    sending = Standing(CallState.SENDING, 1).decide(CallState.PENDING).begin()

    assert Standing(CallState.SENDING, 2, doubts=1) == sending.settle(verdict, is_last=False)


def test_an_accepted_attempt_that_fails_leaves_an_earlier_doubt():
    """Its own price is returned, and that of the earlier one stays booked."""
    accepted = Standing(CallState.SENDING, 2, doubts=1).settle(Verdict.ACCEPTED, is_last=True)

    assert Standing(CallState.ACCEPTED, 2, doubts=1) == accepted
    assert Standing(CallState.AMBIGUOUS, 2) == accepted.settle(Verdict.NOT_BILLED, is_last=True)


def test_settling_twice_is_harmless():
    """The connection to a database may end after a commit and before its confirmation."""
    for verdict in Verdict:
        once = Standing(CallState.SENDING, 2, doubts=1).settle(verdict, is_last=True)

        assert once == (once and once.settle(verdict, is_last=True))
