"""The API origin: every request from its arrival to its answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from attrs import evolve, frozen

from ideogram_async.sandbox.contract import Problem, Route, fields_of, flattened, match, problems_of
from ideogram_async.sandbox.faults import Fault, instead
from ideogram_async.sandbox.generate import generated
from ideogram_async.sandbox.ledger import Entry, fingerprint, image_count, price
from ideogram_async.sandbox.links import new_id
from ideogram_async.sandbox.records import Answer, Arrival, RefusalError, refusal
from ideogram_async.sandbox.rules import is_unsafe, violations
from ideogram_async.sandbox.server import deliver, receive
from ideogram_async.sandbox.state import State, Watch
from ideogram_async.sandbox.training import MAX_IMAGES, MIN_IMAGES, StoredDataset, StoredModel, upload

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

__all__ = ["Job", "Service"]

Fields = dict[str, Any]


@frozen
class Job:
    """A request in order: what it needs, what it costs, and how it is done."""

    route: Route
    fields: Fields
    params: dict[str, str]

    @property
    def is_charged(self) -> bool:
        """Say whether the work costs something and takes places."""
        return self.route.method == "POST" and not self.route.path.startswith("/datasets")

    @property
    def weight(self) -> int:
        """Say how many places the work takes."""
        return max(self.images, 1) if self.is_charged else 0

    @property
    def images(self) -> int:
        """Say how many images are made."""
        return image_count(self.route, self.fields) if self.is_charged else 0

    @property
    def usd(self) -> Decimal | None:
        """Give the price."""
        return price(self.route, self.fields) if self.is_charged else None

    def look_up(self, state: State) -> None:
        """Find what the request names, or refuse it."""
        if self.dataset_id is not None and self.dataset_id not in state.datasets:
            raise refusal(404, f"dataset_id: there is no data set {self.dataset_id!r}")
        if "model_id" in self.params and self.params["model_id"] not in state.models:
            raise refusal(404, f"model_id: there is no model {self.params['model_id']!r}")
        if "model_name" in self.fields:
            _check_size(state.datasets[self.fields["dataset_id"]])
        if "custom_model_uri" in self.fields:
            _check_model(state, self.fields["custom_model_uri"])

        for url in self.fields.get("image_urls", ()):
            _check_link(state, url)

    @property
    def dataset_id(self) -> str | None:
        """Give the data set that the request names."""
        found: str | None = self.params.get("dataset_id") or self.fields.get("dataset_id")
        return found

    def result(self, state: State, withheld: int) -> Any:
        """Do the work and give the body of the answer."""
        return _RESULTS.get(self.route.operation, _generation)(state, self, withheld)


def _check_size(dataset: StoredDataset) -> None:
    if not MIN_IMAGES <= len(dataset.files) <= MAX_IMAGES:
        raise refusal(400, f"dataset_id: a training needs {MIN_IMAGES} to {MAX_IMAGES} images")


def _check_model(state: State, uri: str) -> None:
    if not any(model.uri == uri and model.is_ready(state.now) for model in state.models.values()):
        raise refusal(400, f"custom_model_uri: there is no completed model {uri!r}")


def _check_link(state: State, url: str) -> None:
    # Links of the service itself are taken, though their images cannot be seen from here.
    is_own = url.startswith(f"{state.image_url}/") and state.links.find(url) is not None

    if not is_own and not url.startswith("https://ideogram.ai/"):
        raise refusal(400, f"image_urls: {url!r} is no link of this service")


def _generation(state: State, job: Job, withheld: int) -> Any:
    return generated(state, job.route, job.fields, withheld)


def _create_dataset(state: State, job: Job, _withheld: int) -> Any:
    dataset = StoredDataset(job.fields["name"], state.created)
    state.datasets[dataset.dataset_id] = dataset
    return dataset.as_json()


def _list_datasets(state: State, _job: Job, _withheld: int) -> Any:
    return {"datasets": [dataset.as_json() for dataset in state.datasets.values()]}


def _get_dataset(state: State, job: Job, _withheld: int) -> Any:
    return state.datasets[job.params["dataset_id"]].details()


def _upload(state: State, job: Job, _withheld: int) -> Any:
    return upload(state.datasets[job.params["dataset_id"]], job.fields["files"])


def _train(state: State, job: Job, _withheld: int) -> Any:
    dataset = state.datasets[job.fields["dataset_id"]]
    model = StoredModel(job.fields["model_name"], dataset.dataset_id, state.now)
    state.models[model.model_id] = model
    dataset.model_ids.append(model.model_id)
    return {
        "model_id": model.model_id,
        "dataset_id": dataset.dataset_id,
        "training_status": model.status(state.now),
        "model_name": model.name,
    }


def _list_models(state: State, job: Job, _withheld: int) -> Any:
    # Every model of a box is the user's own, so nothing is shared with them.
    if job.fields.get("scope") == "shared":
        return {"models": []}

    models = [model.as_json(state.now) for model in state.models.values()]
    statuses = job.fields.get("status")
    return {"models": [model for model in models if not statuses or model["status"] in statuses]}


def _get_model(state: State, job: Job, _withheld: int) -> Any:
    return {"model": state.models[job.params["model_id"]].as_json(state.now)}


_RESULTS = {
    "GET /datasets": _list_datasets,
    "POST /datasets": _create_dataset,
    "GET /datasets/{dataset_id}": _get_dataset,
    "POST /datasets/{dataset_id}/upload_assets": _upload,
    "POST /v1/ideogram-v3/train-model": _train,
    "GET /models": _list_models,
    "GET /models/{model_id}": _get_model,
}


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
