"""The API origin: every request from its arrival to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from attrs import evolve

from ideogram_async.sandbox.answer import Answer, RefusalError, refusal
from ideogram_async.sandbox.contract import Problem, match
from ideogram_async.sandbox.delivery import deliver
from ideogram_async.sandbox.faults import Fault, instead
from ideogram_async.sandbox.form import fields_of, flattened, problems_of
from ideogram_async.sandbox.jobs import Job
from ideogram_async.sandbox.ledger import Entry, fingerprint
from ideogram_async.sandbox.links import new_id
from ideogram_async.sandbox.receiving import receive
from ideogram_async.sandbox.records import Arrival
from ideogram_async.sandbox.rules import is_unsafe, violations
from ideogram_async.sandbox.state import State
from ideogram_async.sandbox.watch import Watch

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

__all__ = ["Service"]


class Service:
    """Answers API requests.

    From the moment a request has arrived until its work begins to wait, nothing is awaited: whoever hears of the
    arrival finds the request judged, and billed if there was nothing to wait for.
    """

    def __init__(self, state: Callable[[], State], watch: Watch, on_taken: Callable[[], None]) -> None:
        self._state = state
        self._watch = watch
        self._on_taken = on_taken

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        """Answer one request."""
        from aiohttp.web import Response

        arrival = await receive(request)

        if arrival is None:
            return Response(status=400)

        state = self._state()
        number = state.record(arrival)
        releases = state.releases
        fault = state.schedule.take(arrival.operation)
        self._on_taken()
        answer = await self._answer(state, arrival, fault)
        state.conclude(number, answer.status)
        headers = {**answer.headers, "X-Request-Id": new_id()}
        return await deliver(request, evolve(answer, headers=headers), fault, self._released(state, releases))

    async def _answer(self, state: State, arrival: Arrival, fault: Fault | None) -> Answer:
        loop = asyncio.get_running_loop()
        state.busy += 1
        # Whoever waits is woken in a later turn of the loop, when this one has done what it can.
        loop.call_soon(self._watch.notify)

        try:
            if fault is not None and not fault.runs:
                return instead(fault, f"{state.image_url}/elsewhere")

            return await self._worked(state, arrival, fault)
        except RefusalError as refused:
            return refused.answer
        finally:
            state.busy -= 1
            loop.call_soon(self._watch.notify)

    async def _worked(self, state: State, arrival: Arrival, fault: Fault | None) -> Answer:
        job = judged(state, arrival)
        admit(state, job)

        try:
            await self._wait(state, job)
        finally:
            state.places.leave(job.weight)
            state.ledger.release(job.usd)

        if job.is_charged:
            state.ledger.bill(Entry(arrival.operation, fingerprint(arrival), job.images, job.usd, state.now))

        return Answer.of_json(job.result(state, fault.count if fault else 0))

    async def _wait(self, state: State, job: Job) -> None:
        """Let the work take its time, and longer while the box is held."""
        if not job.is_charged:
            return

        latency = state.new_latency()

        if latency > 0:
            await asyncio.sleep(latency)

        await self._watch.until(lambda: not state.is_held)

    def _released(self, state: State, releases: int) -> Callable[[], Awaitable[None]]:
        async def released() -> None:
            await self._watch.until(lambda: state.releases > releases)

        return released


def judged(state: State, arrival: Arrival) -> Job:
    """Judge a request as the service does, from the key to the safety of its prompt.

    Raises:
        RefusalError: If the request is not in order.
    """
    if not arrival.headers.get("Api-Key"):
        raise refusal(401, "The Api-Key header is missing or empty.")

    found = match(arrival.method, arrival.path)

    if found is None:
        raise refusal(404, f"There is no operation {arrival.method} {arrival.path}.")

    route, params = found
    fields = fields_of(arrival, route)
    _refuse_problems([*problems_of(arrival, route, fields)])
    flat = flattened(fields)
    _refuse_problems([*violations(route, flat)])
    job = Job(route, flat, params)
    job.look_up(state)

    if is_unsafe(flat):
        raise refusal(422, "The request failed the safety check.")

    return job


def _refuse_problems(problems: list[Problem]) -> None:
    if problems:
        raise refusal(400, "; ".join(map(str, problems)))


def admit(state: State, job: Job) -> None:
    """Set the price aside and take places for the work.

    Raises:
        RefusalError: If the balance does not suffice or the places are not free.
    """
    if not state.ledger.reserve(job.usd):
        raise refusal(402, "The balance does not suffice.", reject_reason="insufficient_funds")
    if state.places.take(job.weight):
        return

    state.ledger.release(job.usd)
    raise refusal(
        429,
        "Too many images are in progress.",
        reject_reason="inflight_limit",
        max_inflight_requests=state.places.limit,
        task_completion_speed="fast",
    )
