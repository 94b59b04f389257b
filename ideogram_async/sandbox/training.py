"""Data sets: what is uploaded to train a model."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from attrs import define, field, frozen

from ideogram_async.sandbox.links import new_id
from ideogram_async.sandbox.records import Part
from ideogram_async.sandbox.rules import MAX_BYTES, UNSAFE_FILE, look

__all__ = [
    "MAX_IMAGES",
    "MIN_IMAGES",
    "TRAINING_SECONDS",
    "StoredDataset",
    "StoredFile",
    "StoredModel",
    "stamp",
    "upload",
]

MAX_IMAGES = 100

"""How many images a data set may hold."""

_MAX_CAPTION = 10_000


@define
class StoredFile:
    """An image of a data set, with its caption if one was uploaded."""

    asset_id: str
    file_name: str
    size: int
    caption: str | None = None

    @property
    def asset(self) -> dict[str, str]:
        """Name the image as the service does."""
        return {"asset_type": "UPLOAD", "asset_id": self.asset_id}

    def as_json(self) -> dict[str, Any]:
        """Describe the file."""
        caption = {} if self.caption is None else {"caption": self.caption}
        return {"file_name": self.file_name, "file_size_bytes": self.size, **caption}


@define
class StoredDataset:
    """A data set and its images."""

    name: str
    created: str
    dataset_id: str = field(factory=new_id)
    files: list[StoredFile] = field(factory=list[StoredFile])
    model_ids: list[str] = field(factory=list[str])

    def as_json(self) -> dict[str, Any]:
        """Describe the data set; its first image is the cover."""
        cover = {"cover_asset_identifier": self.files[0].asset} if self.files else {}
        return {
            "dataset_id": self.dataset_id,
            "name": self.name,
            "user_id": "sandbox",
            "creation_time": self.created,
            **cover,
        }

    def details(self) -> dict[str, Any]:
        """Describe the data set with its files and models."""
        return {
            "dataset": self.as_json(),
            "file_count": len(self.files),
            "files": [file.as_json() for file in self.files],
            "custom_model_ids": list(self.model_ids),
        }


@frozen
class _Item:
    """One file that was uploaded, alone or in an archive; its body is `None` when it is too large to unpack."""

    name: str
    body: bytes | None

    @property
    def stem(self) -> str:
        return PurePosixPath(self.name).stem

    @property
    def is_caption(self) -> bool:
        return self.name.lower().endswith(".txt")


class _FailedError(Exception):
    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.outcome = {"file_name": name, "failure_reason": reason}


def upload(dataset: StoredDataset, parts: Iterable[Part]) -> dict[str, Any]:
    """Take files into a data set, each for itself, and say what became of them.

    Captions are no assets: a good one is counted nowhere, a bad one is a failure.
    """
    items: list[_Item] = []
    stored: list[StoredFile] = []
    failures: list[dict[str, str]] = []

    for part in parts:
        try:
            items.extend(_unpacked(part))
        except _FailedError as failed:
            failures.append(failed.outcome)

    # Images first, so that a caption finds its image wherever it stood.
    for item in sorted(items, key=lambda item: item.is_caption):
        try:
            stored.extend(_take(dataset, item))
        except _FailedError as failed:
            failures.append(failed.outcome)

    return {
        "total_count": len(stored) + len(failures),
        "success_count": len(stored),
        "failure_count": len(failures),
        "successful_assets": [{"asset_identifier": file.asset, "file_name": file.file_name} for file in stored],
        "failed_assets": failures,
    }


def _unpacked(part: Part) -> Iterator[_Item]:
    name = part.filename or ""

    if not name.lower().endswith(".zip"):
        yield _Item(name, part.body)
        return

    try:
        with zipfile.ZipFile(io.BytesIO(part.body)) as archive:
            yield from [_member(archive, info) for info in archive.infolist() if _is_content(info)]
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise _FailedError(name, "INVALID_ZIP") from error


def _is_content(info: zipfile.ZipInfo) -> bool:
    path = PurePosixPath(info.filename)
    return not info.is_dir() and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Item:
    with archive.open(info) as member:
        # A small archive can hold endless zeros, and its own word on sizes is not to be trusted.
        body = member.read(MAX_BYTES + 1)

    return _Item(PurePosixPath(info.filename).name, body if len(body) <= MAX_BYTES else None)


def _take(dataset: StoredDataset, item: _Item) -> list[StoredFile]:
    if item.body is None or len(item.body) > MAX_BYTES:
        raise _FailedError(item.name, "FILE_TOO_LARGE")
    if item.is_caption:
        _attach(dataset, item, item.body)
        return []
    if UNSAFE_FILE in item.name:
        raise _FailedError(item.name, "FAILED_SAFETY_CHECK")
    if look(item.body) is None:
        raise _FailedError(item.name, "INVALID_IMAGE")
    if len(dataset.files) >= MAX_IMAGES:
        raise _FailedError(item.name, "TOO_MANY_IMAGES")

    dataset.files.append(StoredFile(new_id(), item.name, len(item.body)))
    return dataset.files[-1:]


def _attach(dataset: StoredDataset, caption: _Item, body: bytes) -> None:
    """Give a caption to the images with its stem."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _FailedError(caption.name, "INVALID_CAPTION") from error

    images = [file for file in dataset.files if PurePosixPath(file.file_name).stem == caption.stem]

    if not images or not text.strip() or len(text) > _MAX_CAPTION:
        raise _FailedError(caption.name, "INVALID_CAPTION")

    for image in images:
        image.caption = text


MIN_IMAGES = 15

"""How many images a training needs."""

TRAINING_SECONDS = 3600.0

"""How long a model takes from its creation to its completion, by the box's clock."""

_CREATING_SECONDS = 60.0


@frozen
class StoredModel:
    """A model; its status follows from its age."""

    name: str
    dataset_id: str
    created_at: float
    model_id: str = field(factory=new_id)

    @property
    def uri(self) -> str:
        """Give the name under which the model generates once it is completed."""
        return f"model/{self.name.replace(' ', '-').lower()}-{self.model_id}/version/1"

    def status(self, now: float) -> str:
        """Say how far the training is."""
        age = now - self.created_at

        if age < _CREATING_SECONDS:
            return "CREATING"

        return "TRAINING" if age < TRAINING_SECONDS else "COMPLETED"

    def is_ready(self, now: float) -> bool:
        """Say whether the model can generate."""
        return self.status(now) == "COMPLETED"

    def as_json(self, now: float) -> dict[str, Any]:
        """Describe the model."""
        steps = [self.created_at + seconds for seconds in (0.0, _CREATING_SECONDS, TRAINING_SECONDS)]
        return {
            "model_id": self.model_id,
            "custom_model_uri": self.uri if self.is_ready(now) else None,
            "name": self.name,
            "status": self.status(now),
            "dataset_id": self.dataset_id,
            "creation_time": stamp(self.created_at),
            "last_update_time": stamp(max(step for step in steps if step <= now)),
            "is_available_for_generation": self.is_ready(now),
            "is_owned": True,
        }


def stamp(at: float) -> str:
    """Write a moment as the service does."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
