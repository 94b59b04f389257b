"""Answers about data sets and custom models."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from attrs import frozen

from ideogram_async.enums import AssetType, DatasetAssetFailureReason, ModelStatus
from ideogram_async.models.base import Answer, Item

__all__ = [
    "AssetIdentifier",
    "CustomModel",
    "Dataset",
    "DatasetFile",
    "DatasetUploadFailedAsset",
    "DatasetUploadSucceededAsset",
    "GetDatasetResponse",
    "GetModelResponse",
    "ListDatasetsResponse",
    "ListModelsResponse",
    "TrainDatasetModelResponse",
    "UploadDatasetAssetsResponse",
]


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class AssetIdentifier(Item):
    """Names an asset that the service keeps."""

    asset_type: AssetType | str
    asset_id: str


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Dataset(Answer):
    """A set of images to train a model on."""

    dataset_id: str
    name: str
    user_id: str
    creation_time: datetime
    cover_asset_identifier: AssetIdentifier | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ListDatasetsResponse(Answer):
    """The account's data sets. Iterating goes over them."""

    datasets: tuple[Dataset, ...]

    def __iter__(self) -> Iterator[Dataset]:
        return iter(self.datasets)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DatasetFile(Item):
    """A file of a data set."""

    file_name: str | None
    file_size_bytes: int | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GetDatasetResponse(Answer):
    """A data set with its files."""

    dataset: Dataset
    file_count: int
    files: tuple[DatasetFile, ...]
    custom_model_ids: tuple[str, ...]
    """The models that were trained on it."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DatasetUploadSucceededAsset(Item):
    """A file that was taken."""

    asset_identifier: AssetIdentifier
    file_name: str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DatasetUploadFailedAsset(Item):
    """A file that was not taken."""

    failure_reason: DatasetAssetFailureReason | str
    file_name: str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class UploadDatasetAssetsResponse(Answer):
    """What became of each uploaded file. Some may have failed: the status is a success all the same."""

    total_count: int
    success_count: int
    failure_count: int
    successful_assets: tuple[DatasetUploadSucceededAsset, ...] = ()
    failed_assets: tuple[DatasetUploadFailedAsset, ...] = ()


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class TrainDatasetModelResponse(Answer):
    """A training that has begun."""

    model_id: str
    dataset_id: str
    training_status: str
    model_name: str


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class CustomModel(Item):
    """A model of your own, or one shared with you."""

    model_id: str
    name: str
    status: ModelStatus | str
    creation_time: datetime
    is_available_for_generation: bool
    is_owned: bool
    custom_model_uri: str | None = None
    """What `Generate(custom_model_uri=...)` takes, once the model is registered."""
    dataset_id: str | None = None
    last_update_time: datetime | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ListModelsResponse(Answer):
    """Custom models. Iterating goes over them."""

    models: tuple[CustomModel, ...]

    def __iter__(self) -> Iterator[CustomModel]:
        return iter(self.models)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GetModelResponse(Answer):
    """One custom model."""

    model: CustomModel
