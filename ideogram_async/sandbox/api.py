"""The API origin: validation, billing and reply of each request."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from ideogram_async.sandbox.contract import Fields, Problem, Route, fields_of, find_problems, flattened, match
from ideogram_async.sandbox.faults import Fault, replacement
from ideogram_async.sandbox.generate import generate
from ideogram_async.sandbox.ledger import Entry, fingerprint, image_count, price_of
from ideogram_async.sandbox.links import new_id
from ideogram_async.sandbox.records import JsonObject, RecordedRequest, RefusalError, Reply
from ideogram_async.sandbox.rules import is_unsafe, violations
from ideogram_async.sandbox.server import deliver, receive
from ideogram_async.sandbox.state import State
from ideogram_async.sandbox.training import MAX_IMAGES, MIN_IMAGES, OPERATIONS

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse


class ApiOrigin:
    """Handler of API requests.

    Nothing is awaited between the arrival of a request and its latency. A task that waits for the arrival therefore
    finds the request validated, and billed if it has no latency.
    """

    def __init__(self, state: Callable[[], State], apply_refusals: Callable[[], None]) -> None:
        self._state = state
        self._apply_refusals = apply_refusals

    async def __call__(self, request: BaseRequest) -> StreamResponse:
        from aiohttp.web import Response

        received = await receive(request)
        if received is None:
            return Response(status=400)

        state = self._state()
        number = state.record(received)
        released = state.next_release()
        fault = state.schedule.pop(received.operation)
        self._apply_refusals()
        reply = await _answer(state, received, fault)
        state.record_status(number, reply.status)
        headers = {**reply.headers, "X-Request-Id": new_id()}
        return await deliver(request, evolve(reply, headers=headers), fault, released)


async def _answer(state: State, request: RecordedRequest, fault: Fault | None) -> Reply:
    loop = asyncio.get_running_loop()
    state.busy += 1
    # Tasks that wait are woken in the loop's next iteration, after this request has run as far as it can.
    loop.call_soon(state.condition.notify)
    try:
        if fault is not None and not fault.runs:
            return replacement(fault, state.image_url)

        return await _run(state, request, withheld=fault.count if fault else 0)
    except RefusalError as error:
        return error.reply
    finally:
        state.busy -= 1
        loop.call_soon(state.condition.notify)


async def _run(state: State, request: RecordedRequest, *, withheld: int) -> Reply:
    operation = validate(state, request)
    reserve(state, operation)
    try:
        if operation.is_charged:
            await _wait(state)
    finally:
        state.slots.release(operation.weight)
        state.ledger.release(operation.usd)

    if operation.is_charged:
        entry = Entry(request.operation, fingerprint(request), operation.images, operation.usd, state.now)
        state.ledger.bill(entry)

    return Reply.of_json(operation.run(state, withheld))


async def _wait(state: State) -> None:
    """Wait for the latency of a charged call, and until the sandbox is not held."""
    latency = state.new_latency()
    if latency > 0:
        await asyncio.sleep(latency)

    await state.condition.wait_for(lambda: not state.is_held)


@frozen
class Operation:
    """A valid request, with its cost."""

    route: Route
    fields: Fields
    """The fields of the body, of `image_request`, of the query and of the path."""

    @property
    def is_charged(self) -> bool:
        """Return whether the call has a price and occupies slots."""
        return self.route.method == "POST" and not self.route.path.startswith("/datasets")

    @property
    def weight(self) -> int:
        """The number of slots that the call occupies."""
        return max(self.images, 1) if self.is_charged else 0

    @property
    def images(self) -> int:
        """The number of images that the call makes."""
        return image_count(self.route, self.fields) if self.is_charged else 0

    @property
    def usd(self) -> Decimal | None:
        return price_of(self.route, self.fields) if self.is_charged else None

    def run(self, state: State, withheld: int) -> JsonObject:
        """Run the call and return the body of the reply."""
        if self.route.operation in OPERATIONS:
            return OPERATIONS[self.route.operation](state, self.fields)

        return generate(state, self.route.path, self.fields, withheld)


def validate(state: State, request: RecordedRequest) -> Operation:
    """Check a request as the service does, from the key to the safety of its prompt.

    Raises:
        RefusalError: If the service would refuse it.
    """
    if not request.headers.get("Api-Key"):
        raise RefusalError(401, "The Api-Key header is missing or empty.")

    matched = match(request.method, request.path)
    if matched is None:
        raise RefusalError(404, f"There is no operation {request.method} {request.path}.")

    route, params = matched
    raw_fields = fields_of(request, route)
    _refuse([*find_problems(request, route, raw_fields)])
    fields = flattened(raw_fields)
    _refuse([*violations(route, fields)])
    operation = Operation(route, {**fields, **params})
    _check_references(state, operation.fields)
    if is_unsafe(fields):
        raise RefusalError(422, "The request failed the safety check.")

    return operation


def reserve(state: State, operation: Operation) -> None:
    """Reserve the price and acquire the slots of a call.

    Raises:
        RefusalError: If the balance is insufficient or the slots are not available.
    """
    if not state.ledger.reserve(operation.usd):
        raise RefusalError(402, "The balance is insufficient.", reject_reason="insufficient_funds")
    if state.slots.acquire(operation.weight):
        return

    state.ledger.release(operation.usd)
    raise RefusalError(
        429,
        "Too many images are in progress.",
        reject_reason="inflight_limit",
        max_inflight_requests=state.slots.limit,
        task_completion_speed="fast",
    )


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise RefusalError(400, "; ".join(map(str, problems)))


def _check_references(state: State, fields: Fields) -> None:
    """Refuse datasets, models and links that do not exist, or cannot be used yet."""
    dataset_id, model_id, uri = (fields.get(name) for name in ("dataset_id", "model_id", "custom_model_uri"))
    if dataset_id is not None and dataset_id not in state.datasets:
        raise RefusalError(404, f"dataset_id: dataset {dataset_id!r} does not exist")
    if model_id is not None and model_id not in state.models:
        raise RefusalError(404, f"model_id: model {model_id!r} does not exist")
    if "model_name" in fields and not MIN_IMAGES <= len(state.datasets[fields["dataset_id"]].files) <= MAX_IMAGES:
        raise RefusalError(400, f"dataset_id: a training needs {MIN_IMAGES} to {MAX_IMAGES} images")
    if uri is not None and uri not in {model.uri for model in state.models.values() if model.is_ready(state.now)}:
        raise RefusalError(400, f"custom_model_uri: completed model {uri!r} does not exist")

    for url in fields.get("image_urls", ()):
        # Links of the real service are accepted, although the sandbox cannot read their images.
        is_own = url.startswith(f"{state.image_url}/") and state.links.find(url) is not None
        if not is_own and not url.startswith("https://ideogram.ai/"):
            raise RefusalError(400, f"image_urls: {url!r} is not a link of this service")
