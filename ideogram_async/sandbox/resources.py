"""Datasets and custom models that the sandbox stores."""

from __future__ import annotations

from datetime import UTC, datetime

from attrs import define, field, frozen

from ideogram_async.sandbox.links import new_id
from ideogram_async.sandbox.records import JsonObject

# Age of a model when its training starts, and when it is completed, by the sandbox's clock.
CREATING_SECONDS = 60.0
TRAINING_SECONDS = 3600.0


@define
class StoredFile:
    """An image of a dataset, with its caption if one was uploaded."""

    asset_id: str
    file_name: str
    size: int
    caption: str | None = None

    @property
    def asset(self) -> JsonObject:
        """The identifier of the image."""
        return {"asset_type": "UPLOAD", "asset_id": self.asset_id}

    def to_json(self) -> JsonObject:
        """Return the file as the service describes it."""
        caption = {} if self.caption is None else {"caption": self.caption}
        return {"file_name": self.file_name, "file_size_bytes": self.size, **caption}


@define
class StoredDataset:
    """A dataset and its images."""

    name: str
    created: str
    dataset_id: str = field(factory=new_id)
    files: list[StoredFile] = field(factory=list[StoredFile])
    model_ids: list[str] = field(factory=list[str])

    def to_json(self) -> JsonObject:
        """Return the dataset as the service describes it; its first image is the cover."""
        return {
            "dataset_id": self.dataset_id,
            "name": self.name,
            "user_id": "sandbox",
            "creation_time": self.created,
            **({"cover_asset_identifier": self.files[0].asset} if self.files else {}),
        }


@frozen
class StoredModel:
    """A custom model; its status follows from its age."""

    name: str
    dataset_id: str
    created_at: float
    model_id: str = field(factory=new_id)

    @property
    def uri(self) -> str:
        """The URI of the model, once it is completed."""
        return f"model/{self.name.replace(' ', '-').lower()}-{self.model_id}/version/1"

    def status(self, now: float) -> str:
        age = now - self.created_at
        if age < CREATING_SECONDS:
            return "CREATING"

        return "TRAINING" if age < TRAINING_SECONDS else "COMPLETED"

    def is_ready(self, now: float) -> bool:
        """Return whether the model can generate."""
        return self.status(now) == "COMPLETED"

    def to_json(self, now: float) -> JsonObject:
        """Return the model as the service describes it."""
        updates = [self.created_at + seconds for seconds in (0.0, CREATING_SECONDS, TRAINING_SECONDS)]
        return {
            "model_id": self.model_id,
            "custom_model_uri": self.uri if self.is_ready(now) else None,
            "name": self.name,
            "status": self.status(now),
            "dataset_id": self.dataset_id,
            "creation_time": format_time(self.created_at),
            "last_update_time": format_time(max(update for update in updates if update <= now)),
            "is_available_for_generation": self.is_ready(now),
            "is_owned": True,
        }


def format_time(seconds: float) -> str:
    """Format a time, in Unix seconds, as the replies do."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
