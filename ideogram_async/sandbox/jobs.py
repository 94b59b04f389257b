"""What the operations do, once a request has been found in order."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from attrs import frozen

from ideogram_async.sandbox.answer import refusal
from ideogram_async.sandbox.contract import Route
from ideogram_async.sandbox.datasets import MAX_IMAGES, StoredDataset, upload
from ideogram_async.sandbox.generations import generated
from ideogram_async.sandbox.models import MIN_IMAGES, StoredModel
from ideogram_async.sandbox.rates import image_count, price
from ideogram_async.sandbox.state import State

__all__ = ["Job"]

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
