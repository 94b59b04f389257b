"""Custom models: trained from data sets, as the box's clock goes on."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from attrs import field, frozen

from ideogram_async.sandbox.links import new_id

__all__ = ["MIN_IMAGES", "TRAINING_SECONDS", "StoredModel", "stamp"]

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
