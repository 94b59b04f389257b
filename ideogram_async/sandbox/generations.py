"""Accepted calls: they run after their acknowledgement, and polls ask for them."""

from __future__ import annotations

from attrs import evolve, frozen

from ideogram_async.sandbox.contract import Fields
from ideogram_async.sandbox.deliveries import deliver
from ideogram_async.sandbox.faults import Fault
from ideogram_async.sandbox.ledger import Entry
from ideogram_async.sandbox.records import JsonObject, RecordedGeneration, Reply
from ideogram_async.sandbox.state import State
from ideogram_async.sandbox.work import Work


@frozen
class AcceptedCall:
    """A call that runs after its acknowledgement, with its slots and its price reserved."""

    work: Work
    entry: Entry
    """What is billed when it is completed."""
    weight: int
    webhook_url: str | None
    fault: Fault | None
    has_cost: bool
    """Whether polls state the cost, as they do for operations that are billed by size."""

    def start(self, state: State) -> None:
        """Run the call in the background."""
        generation_id = str(self.work.facts["generation_id"])
        generation = RecordedGeneration(self.entry.operation, generation_id, self.entry.images, state.created)
        state.generations[generation_id] = generation
        state.background.start(self._run(state, generation))

    async def _run(self, state: State, generation: RecordedGeneration) -> None:
        released = state.next_release()
        with state.processing():
            await state.latency_passed()

        if self.fault is not None and self.fault.kind == "pending":
            polls = self.fault.count
            await (state.condition.wait_for(lambda: generation.polls >= polls) if polls else released())

        with state.processing():
            self._finish(state, generation)
            if self.webhook_url is not None and generation.status == "completed":
                await deliver(state, generation, self.webhook_url, self.fault)

    def _finish(self, state: State, generation: RecordedGeneration) -> None:
        """Complete the call and bill it, or let it fail unbilled; either way its slots are free again."""
        state.slots.release(self.weight)
        state.ledger.release(self.entry.usd)
        if self.fault is not None and self.fault.kind == "failed":
            generation.status, generation.failure_reason = "failed", self.fault.reason
            return

        generation.status, generation.data = "completed", self.work.polled_items(state)
        if self.has_cost:
            generation.usage_cost_usd_micros = int((self.entry.usd or 0) * 10**6)

        state.ledger.bill(evolve(self.entry, billed_at=state.now))


def answer_poll(state: State, fields: Fields) -> JsonObject:
    """Return the reply to a poll, and count it."""
    generation = state.generations[fields["generation_id"]]
    reply = generation.to_json()
    generation.polls += 1
    state.condition.notify()
    return reply


def ask_soon(reply: Reply) -> Reply:
    """Return a reply that lets clients ask at once for a generation: nothing takes long here."""
    return evolve(reply, headers={**reply.headers, "Retry-After": "0"})
