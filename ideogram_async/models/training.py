"""Answers about datasets and custom models."""

from datetime import datetime

from attrs import frozen

from ideogram_async.enums import AssetType, DatasetAssetFailureReason, ModelStatus
from ideogram_async.models.base import Answer, Item, ListAnswer


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class AssetIdentifier(Item):
    """Identifier of an asset that the service stores."""

    asset_type: AssetType | str | None
    """The kind of asset. In requests: ASSET, CANVAS_ASSET, LAYERED_ASSET, RESPONSE (an earlier result) or UPLOAD."""
    asset_id: str
    collection_id: str | None = None
    """The collection that contains it."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Dataset(Answer):
    """A dataset: images to train a model on."""

    dataset_id: str
    name: str
    user_id: str
    creation_time: datetime
    cover_asset_identifier: AssetIdentifier | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ListDatasetsResponse(ListAnswer[Dataset]):
    """The account's datasets. Iteration yields the datasets."""

    datasets: tuple[Dataset, ...]

    @property
    def _items(self) -> tuple[Dataset, ...]:
        return self.datasets


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DatasetFile(Item):
    """A file of a dataset."""

    file_name: str | None
    file_size_bytes: int | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GetDatasetResponse(Answer):
    """A dataset with its files."""

    dataset: Dataset
    file_count: int
    files: tuple[DatasetFile, ...]
    custom_model_ids: tuple[str, ...]
    """Ids of the models trained on the dataset."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DatasetUploadSucceededAsset(Item):
    """A file that was accepted."""

    asset_identifier: AssetIdentifier
    file_name: str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DatasetUploadFailedAsset(Item):
    """A file that was rejected."""

    failure_reason: DatasetAssetFailureReason | str | None
    """`None` if the service states no reason."""
    file_name: str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class UploadDatasetAssetsResponse(Answer):
    """Results of an upload, by file. The status is a success even if some files were rejected."""

    total_count: int
    success_count: int
    failure_count: int
    successful_assets: tuple[DatasetUploadSucceededAsset, ...] = ()
    failed_assets: tuple[DatasetUploadFailedAsset, ...] = ()


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class TrainDatasetModelResponse(Answer):
    """A training that was started."""

    model_id: str
    dataset_id: str
    training_status: str
    model_name: str


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class CustomModel(Item):
    """A model of your own, or one shared with you."""

    model_id: str
    name: str
    status: ModelStatus | str | None
    creation_time: datetime
    is_available_for_generation: bool
    is_owned: bool
    custom_model_uri: str | None = None
    """The value for `Generate(custom_model_uri=...)`, once the model is registered."""
    dataset_id: str | None = None
    last_update_time: datetime | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class ListModelsResponse(ListAnswer[CustomModel]):
    """Custom models. Iteration yields the models."""

    models: tuple[CustomModel, ...]

    @property
    def _items(self) -> tuple[CustomModel, ...]:
        return self.models


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GetModelResponse(Answer):
    """One custom model."""

    model: CustomModel
