"""The API origin: validation, billing and reply of each request."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from ideogram_async.sandbox.contract import Fields, Route, match
from ideogram_async.sandbox.declared_rules import declared_violations
from ideogram_async.sandbox.deliveries import key_set, require_signing
from ideogram_async.sandbox.faults import Fault, replacement
from ideogram_async.sandbox.generate import generate
from ideogram_async.sandbox.generations import AcceptedCall, answer_poll, ask_soon
from ideogram_async.sandbox.ledger import Entry, fingerprint, image_count, price_of
from ideogram_async.sandbox.links import new_id
from ideogram_async.sandbox.pricing import charge_of, quote_of
from ideogram_async.sandbox.recipe import Size
from ideogram_async.sandbox.records import JsonObject, RecordedRequest, RefusalError, Reply
from ideogram_async.sandbox.rules import is_unsafe, violations
from ideogram_async.sandbox.server import deliver, receive
from ideogram_async.sandbox.sizes import result_size
from ideogram_async.sandbox.state import State
from ideogram_async.sandbox.training import MAX_IMAGES, MIN_IMAGES, OPERATIONS
from ideogram_async.sandbox.usage import account_usage
from ideogram_async.sandbox.validation import Problem, body_of, fields_of, find_problems, flattened, query_of
from ideogram_async.sandbox.work import plan_work, source_size

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
    with state.processing():
        try:
            if fault is not None and not fault.runs:
                return replacement(fault, state.image_url)

            return await _run(state, request, fault)
        except RefusalError as error:
            return error.reply


async def _run(state: State, request: RecordedRequest, fault: Fault | None) -> Reply:
    operation = validate(state, request)
    if operation.is_quote:
        return Reply.of_json(quote_of(operation.route, operation.fields, operation.size))
    if operation.is_accepted:
        return ask_soon(Reply.of_json(_accept(state, request, operation, fault)))

    reserve(state, operation)
    try:
        if operation.is_charged:
            await state.latency_passed()
    finally:
        state.slots.release(operation.weight)
        state.ledger.release(operation.usd)

    answer = operation.run(state, _withheld(fault))
    reply = Reply.of_json(answer)
    if answer.get("status") == "pending":
        return ask_soon(reply)

    if operation.is_charged:
        state.ledger.bill(operation.entry(state, request))

    return reply


def _accept(state: State, request: RecordedRequest, operation: Operation, fault: Fault | None) -> JsonObject:
    """Start a call in the background and return its acknowledgement."""
    webhook_url = operation.fields.get("webhook_url")
    if webhook_url is not None:
        require_signing(webhook_url)

    reserve(state, operation)
    work = plan_work(state, operation.route, operation.fields, operation.size, _withheld(fault))
    entry, has_cost = operation.entry(state, request), "per_pixels" in operation.route.price
    AcceptedCall(work, entry, operation.weight, webhook_url, fault, has_cost).start(state)
    return work.acknowledgement(operation.route.answer)


def _withheld(fault: Fault | None) -> int:
    return fault.count if fault is not None and fault.kind == "unsafe" else 0


READS: dict[str, Callable[[State, Fields], JsonObject]] = {
    "GET /v2/generations/{generation_id}": answer_poll,
    "GET /v1/generations/{generation_id}": answer_poll,
    "GET /v1/.well-known/jwks.json": key_set,
    "GET /v2/account/usage": account_usage,
}


@frozen
class Operation:
    """A valid request, with its cost."""

    route: Route
    fields: Fields
    """The fields of the body, of `image_request`, of the query and of the path."""
    is_quote: bool
    """Whether the call asks for its price only."""
    source_size: Size | None

    @property
    def is_charged(self) -> bool:
        """Return whether the call has a price and occupies slots."""
        return self.route.method == "POST" and not self.route.path.startswith("/datasets")

    @property
    def size(self) -> Size:
        """The size of the images, if the operation is one of the second contract."""
        return result_size(self.route, self.fields, self.source_size)

    @property
    def is_accepted(self) -> bool:
        """Return whether the call is acknowledged at once and runs afterwards."""
        is_asked = self.fields.get("async") is True or self.fields.get("webhook_url") is not None
        return self.route.mode == "async-only" or (self.route.mode == "sync-or-async" and is_asked)

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
        if not self.is_charged:
            return None

        if self.route.mode:
            return charge_of(self.route, self.fields, self.size).usd

        return price_of(self.route, self.fields)

    def entry(self, state: State, request: RecordedRequest) -> Entry:
        """Return what the call is billed."""
        return Entry(request.operation, fingerprint(request), self.images, self.usd, state.now)

    def run(self, state: State, withheld: int) -> JsonObject:
        """Run the call and return the body of the reply."""
        if self.route.operation in OPERATIONS:
            return OPERATIONS[self.route.operation](state, self.fields)
        if self.route.operation in READS:
            return READS[self.route.operation](state, self.fields)
        if self.route.mode:
            return plan_work(state, self.route, self.fields, self.size, withheld).reply(state, self.route.answer)

        return generate(state, self.route.path, self.fields, withheld)


def validate(state: State, request: RecordedRequest) -> Operation:
    """Check a request as the service does, from the key to the safety of its prompt.

    Raises:
        RefusalError: If the service would refuse it.
    """
    route, params = _find_route(request)
    fields = _checked_fields(request, route)
    is_quote = query_of(request, route).get("dry_run", False)
    known_size = source_size(state, fields) if route.mode else None
    operation = Operation(route, {**fields, **params}, is_quote, known_size)
    _check_references(state, operation.fields)
    # A quote is not reviewed for safety.
    if not is_quote and is_unsafe(fields):
        raise RefusalError(422, "The request failed the safety check.")

    return operation


def _find_route(request: RecordedRequest) -> tuple[Route, dict[str, str]]:
    matched = match(request.method, request.path)
    unauthorized = matched[0].unauthorized if matched else 401
    if unauthorized and not request.headers.get("Api-Key"):
        raise RefusalError(unauthorized, "The Api-Key header is missing or empty.")
    if matched is None:
        raise RefusalError(404, f"There is no operation {request.method} {request.path}.")

    return matched


def _checked_fields(request: RecordedRequest, route: Route) -> Fields:
    """Return the fields of a request, if the contract allows them."""
    raw_fields = fields_of(request, route)
    _refuse([*find_problems(request, route, raw_fields)])
    fields = flattened(raw_fields)
    if route.mode is None:
        _refuse([*violations(route, fields)])
        return fields

    schema = body_of(request, route).schema
    # What an open schema takes beyond its own fields has no effect here.
    fields = {name: fields[name] for name in schema["properties"] if fields.get(name) is not None}
    _refuse([*declared_violations(schema, fields)])
    return fields


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
    if "generation_id" in fields and fields["generation_id"] not in state.generations:
        raise RefusalError(404, f"generation_id: generation {fields['generation_id']!r} does not exist")

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
