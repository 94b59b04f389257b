"""State machine of a charged call, which every record of calls follows."""

from __future__ import annotations

from enum import StrEnum

from attrs import frozen


class CallState(StrEnum):
    """The state of a call."""

    PENDING = "pending"
    """It may be sent: an earlier attempt is in doubt, and the caller has decided to send again."""
    SENDING = "sending"
    """An attempt is on record, and its outcome is not."""
    ACCEPTED = "accepted"
    """The service has accepted the call and has not answered yet. Nothing is in doubt: any process can ask for it."""
    ANSWERED = "answered"
    """The answer is on record."""
    AMBIGUOUS = "ambiguous"
    """An attempt was sent, and its outcome is unknown. It may have been billed."""
    LOST = "lost"
    """The caller has given up an attempt whose outcome is unknown, or a generation that does not end."""


class Verdict(StrEnum):
    """Certainty about the billing of an attempt."""

    ACCEPTED = "accepted"
    """The service has accepted it, and will answer later."""
    ANSWERED = "answered"
    """A success with content of the service: it was billed."""
    UNKNOWN = "unknown"
    """It may have been billed."""
    NOT_BILLED = "not billed"
    """It was refused, or nothing was sent."""


OPEN = (CallState.SENDING, CallState.ACCEPTED)
"""States whose last attempt may still be answered."""
UNDECIDED = (CallState.SENDING, CallState.AMBIGUOUS)
"""States of calls in doubt, those in flight only if their owner is silent."""


def after(verdict: Verdict, *, in_doubt: bool) -> CallState | None:
    """Return the state of a call after an attempt; `None` if the call is free, as if it had never been sent.

    Args:
        verdict: What is known of the attempt.
        in_doubt: Whether an earlier attempt is in doubt. It outweighs a later refusal.
    """
    match verdict:
        case Verdict.ACCEPTED:
            return CallState.ACCEPTED
        case Verdict.ANSWERED:
            return CallState.ANSWERED
        case Verdict.UNKNOWN:
            return CallState.AMBIGUOUS
        case Verdict.NOT_BILLED:
            return CallState.AMBIGUOUS if in_doubt else None


@frozen
class Standing:
    """The state of a call in a record, with its attempts.

    The price is booked for the last attempt, unless the call is pending, and for each earlier one that is in doubt.
    """

    state: CallState
    attempt: int
    """The number of the last attempt, from 1."""
    doubts: int = 0
    """Earlier attempts that are in doubt."""

    @property
    def booked(self) -> int:
        """Return the number of attempts whose price is booked."""
        return self.doubts + (self.state is not CallState.PENDING)

    def begin(self) -> Standing:
        """Return the standing once another attempt of a pending call is on record."""
        return Standing(CallState.SENDING, self.attempt + 1, self.doubts)

    def decide(self, state: CallState) -> Standing:
        """Return the standing after a decision about the last attempt: `LOST`, `ANSWERED` or `PENDING`."""
        return Standing(state, self.attempt, self.doubts + (state is CallState.PENDING))

    def settle(self, verdict: Verdict, *, is_last: bool) -> Standing | None:
        """Return the standing once an attempt was accepted or has ended; `None` if the call is free.

        An attempt may end long after its owner was presumed dead. Then an answer ends the doubt, as does the acceptance
        of the last attempt, and any other outcome changes nothing. Settling an attempt twice is harmless.

        Args:
            verdict: What is known of the attempt.
            is_last: Whether it is the last attempt of the call.
        """
        if is_last and self.state is CallState.ACCEPTED and verdict is Verdict.UNKNOWN:
            # Whatever became of the wait, the generation can be asked for again.
            return self

        if is_last and self.state in OPEN:
            state = after(verdict, in_doubt=self.doubts > 0)
            # After a refusal, the call's state is that of an earlier attempt in doubt.
            doubts = self.doubts - (verdict is Verdict.NOT_BILLED)
            return None if state is None else Standing(state, self.attempt, doubts)

        ends_doubt = verdict is Verdict.ANSWERED or (verdict is Verdict.ACCEPTED and is_last)
        if ends_doubt and self.accepts_late_answer:
            return Standing(CallState(verdict), self.attempt, self.doubts - (self.state is CallState.PENDING))

        return self

    @property
    def accepts_late_answer(self) -> bool:
        """Return whether the answer of an attempt that was in doubt, or given up, becomes that of the call."""
        return self.state in (CallState.PENDING, CallState.AMBIGUOUS, CallState.LOST)
