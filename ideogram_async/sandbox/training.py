"""Datasets and custom models, and the operations on them."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from attrs import frozen

from ideogram_async.sandbox.contract import Fields
from ideogram_async.sandbox.links import new_id
from ideogram_async.sandbox.records import JsonObject, Part
from ideogram_async.sandbox.resources import StoredDataset, StoredFile, StoredModel
from ideogram_async.sandbox.rules import MAX_BYTES, UNSAFE_FILE, read_image_info
from ideogram_async.sandbox.state import State

MIN_IMAGES = 15  # of a dataset, for a training
MAX_IMAGES = 100  # of a dataset
MAX_CAPTION = 10_000  # characters


def _create_dataset(state: State, fields: Fields) -> JsonObject:
    dataset = StoredDataset(fields["name"], state.created)
    state.datasets[dataset.dataset_id] = dataset
    return dataset.to_json()


def _list_datasets(state: State, _fields: Fields) -> JsonObject:
    return {"datasets": [dataset.to_json() for dataset in state.datasets.values()]}


def _get_dataset(state: State, fields: Fields) -> JsonObject:
    dataset = state.datasets[fields["dataset_id"]]
    return {
        "dataset": dataset.to_json(),
        "file_count": len(dataset.files),
        "files": [file.to_json() for file in dataset.files],
        "custom_model_ids": list(dataset.model_ids),
    }


def _train_model(state: State, fields: Fields) -> JsonObject:
    dataset = state.datasets[fields["dataset_id"]]
    model = StoredModel(fields["model_name"], dataset.dataset_id, state.now)
    state.models[model.model_id] = model
    dataset.model_ids.append(model.model_id)
    return {
        "model_id": model.model_id,
        "dataset_id": dataset.dataset_id,
        "training_status": model.status(state.now),
        "model_name": model.name,
    }


def _list_models(state: State, fields: Fields) -> JsonObject:
    # Every model of a sandbox is the user's own; none is shared.
    models = [] if fields.get("scope") == "shared" else [model.to_json(state.now) for model in state.models.values()]
    statuses = fields.get("status")
    return {"models": [model for model in models if not statuses or model["status"] in statuses]}


def _get_model(state: State, fields: Fields) -> JsonObject:
    return {"model": state.models[fields["model_id"]].to_json(state.now)}


def _upload_assets(state: State, fields: Fields) -> JsonObject:
    """Add files to a dataset, each independently of the others.

    Captions are not assets: a valid one is not counted, an invalid one is a failure.
    """
    dataset = state.datasets[fields["dataset_id"]]
    uploads: list[_Upload] = []
    stored: list[StoredFile] = []
    failures: list[JsonObject] = []
    for part in fields["files"]:
        try:
            uploads.extend(_unpack(part))
        except _UploadError as error:
            failures.append(error.failure)

    # Images first, so that a caption finds its image regardless of their order.
    for upload in sorted(uploads, key=lambda upload: upload.is_caption):
        try:
            stored.extend(_store(dataset, upload))
        except _UploadError as error:
            failures.append(error.failure)

    return {
        "total_count": len(stored) + len(failures),
        "success_count": len(stored),
        "failure_count": len(failures),
        "successful_assets": [{"asset_identifier": file.asset, "file_name": file.file_name} for file in stored],
        "failed_assets": failures,
    }


@frozen
class _Upload:
    """One file, sent alone or in an archive; its body is `None` if it is too large to unpack."""

    name: str
    body: bytes | None

    @property
    def is_caption(self) -> bool:
        return self.name.lower().endswith(".txt")


class _UploadError(Exception):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.failure: JsonObject = {"file_name": name, "failure_reason": reason}


def _unpack(part: Part) -> Iterator[_Upload]:
    name = part.filename or ""
    if not name.lower().endswith(".zip"):
        yield _Upload(name, part.body)
        return

    try:
        with zipfile.ZipFile(io.BytesIO(part.body)) as archive:
            yield from [_unpack_member(archive, info) for info in archive.infolist() if _is_content(info)]
    except Exception as error:
        # `zipfile` raises errors of many kinds for a damaged archive, such as those of its decompressors.
        raise _UploadError(name, "INVALID_ZIP") from error


def _is_content(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return not info.is_dir() and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _unpack_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Upload:
    with archive.open(info) as member:
        # A small archive can expand without bounds, and the sizes in its directory may be false.
        body = member.read(MAX_BYTES + 1)

    return _Upload(PurePosixPath(info.filename).name, body if len(body) <= MAX_BYTES else None)


def _store(dataset: StoredDataset, upload: _Upload) -> list[StoredFile]:
    if upload.body is None or len(upload.body) > MAX_BYTES:
        raise _UploadError(upload.name, "FILE_TOO_LARGE")
    if upload.is_caption:
        _store_caption(dataset, upload.name, upload.body)
        return []
    if UNSAFE_FILE in upload.name:
        raise _UploadError(upload.name, "FAILED_SAFETY_CHECK")
    if read_image_info(upload.body) is None:
        raise _UploadError(upload.name, "INVALID_IMAGE")
    if len(dataset.files) >= MAX_IMAGES:
        raise _UploadError(upload.name, "TOO_MANY_IMAGES")

    dataset.files.append(StoredFile(new_id(), upload.name, len(upload.body)))
    return dataset.files[-1:]


def _store_caption(dataset: StoredDataset, name: str, body: bytes) -> None:
    """Set the caption of the images with the same stem."""
    stem = PurePosixPath(name).stem
    images = [file for file in dataset.files if PurePosixPath(file.file_name).stem == stem]
    try:
        caption = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _UploadError(name, "INVALID_CAPTION") from error

    if not images or not caption.strip() or len(caption) > MAX_CAPTION:
        raise _UploadError(name, "INVALID_CAPTION")

    for image in images:
        image.caption = caption


OPERATIONS: dict[str, Callable[[State, Fields], JsonObject]] = {
    "GET /datasets": _list_datasets,
    "POST /datasets": _create_dataset,
    "GET /datasets/{dataset_id}": _get_dataset,
    "POST /datasets/{dataset_id}/upload_assets": _upload_assets,
    "POST /v1/ideogram-v3/train-model": _train_model,
    "GET /models": _list_models,
    "GET /models/{model_id}": _get_model,
}
