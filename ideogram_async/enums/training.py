"""The words of data sets and custom models."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "AssetType",
    "DatasetAssetFailureReason",
    "ModelStatus",
    "ModelsGetParametersScope",
]


class AssetType(StrEnum):
    """What kind of asset an identifier names."""

    ASSET = "ASSET"
    CANVAS_ASSET = "CANVAS_ASSET"
    LAYERED_ASSET = "LAYERED_ASSET"
    RESPONSE = "RESPONSE"
    UPLOAD = "UPLOAD"


class DatasetAssetFailureReason(StrEnum):
    """Why a file was not taken into a data set."""

    FAILED_SAFETY_CHECK = "FAILED_SAFETY_CHECK"
    FILE_TOO_LARGE = "FILE_TOO_LARGE"
    INTERNAL_ERROR = "INTERNAL_ERROR"
    INVALID_CAPTION = "INVALID_CAPTION"
    INVALID_IMAGE = "INVALID_IMAGE"
    INVALID_ZIP = "INVALID_ZIP"
    TOO_MANY_IMAGES = "TOO_MANY_IMAGES"


class ModelStatus(StrEnum):
    """Where a custom model stands."""

    CREATING = "CREATING"
    DRAFT = "DRAFT"
    TRAINING = "TRAINING"
    COMPLETED = "COMPLETED"
    ERRORED = "ERRORED"
    ARCHIVED = "ARCHIVED"


class ModelsGetParametersScope(StrEnum):
    """Whose models are listed."""

    OWNED = "owned"
    SHARED = "shared"
