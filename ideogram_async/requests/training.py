"""Requests for datasets and custom models."""

from collections.abc import Iterable, Iterator
from typing import ClassVar

from attrs import field, frozen

from ideogram_async._literals import ModelsGetParametersScopeLiteral, ModelStatusLiteral
from ideogram_async._operations import Body, Endpoint, Request
from ideogram_async.enums import ModelsGetParametersScope, ModelStatus, Unchecked
from ideogram_async.files import ImageSource, as_images
from ideogram_async.models.training import (
    Dataset,
    GetDatasetResponse,
    GetModelResponse,
    ListDatasetsResponse,
    ListModelsResponse,
    TrainDatasetModelResponse,
    UploadDatasetAssetsResponse,
)
from ideogram_async.requests._file_rules import AssetRule, AssetsRule
from ideogram_async.requests._rules import Choice, Limits, RequestBase, Text, Texts, as_texts, field_rule

__all__ = ["CreateDataset", "GetDataset", "GetModel", "ListDatasets", "ListModels", "TrainModel", "UploadDatasetAssets"]

NOT_EMPTY = field_rule(Text(may_be_empty=False))


@frozen(eq=False, repr=False)
class Id(Text):
    """An id, which is a segment of the path. An `Unchecked` one is checked, too: `..` is another operation."""

    def check(self, value: str, limits: Limits) -> Iterator[str]:
        return self.violations(value, limits)


ID = field_rule(Id(r"(?s)(?!\.\.?\Z).+", "cannot be . or ..", may_be_empty=False))
FILES = field_rule(AssetsRule(each=AssetRule(), may_be_empty=False))

MODEL_NAME = field_rule(
    Text(r"[A-Za-z0-9 \-]{5,30}", "must have 5 to 30 characters: letters, digits, spaces and hyphens")
)


@frozen(slots=False, eq=False, repr=False)
class ListDatasets(RequestBase, Request[ListDatasetsResponse]):
    """List the account's datasets.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/list-datasets
    """

    endpoint: ClassVar[Endpoint] = Endpoint("GET", "/datasets", Body.QUERY, ListDatasetsResponse)


@frozen(slots=False, eq=False, repr=False)
class CreateDataset(RequestBase, Request[Dataset]):
    """Create an empty dataset. Each call creates one, even with the same name.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/create-dataset

    Args:
        name: Name of the dataset.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/datasets", Body.JSON, Dataset)

    name: str = field(metadata=NOT_EMPTY)
    """Name of the dataset."""


@frozen(slots=False, eq=False, repr=False)
class GetDataset(RequestBase, Request[GetDatasetResponse]):
    """Return a dataset and the names of its files.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/get-dataset

    Args:
        dataset_id: Id of the dataset.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("GET", "/datasets/{dataset_id}", Body.QUERY, GetDatasetResponse)

    dataset_id: str = field(metadata=ID)
    """Id of the dataset."""


@frozen(slots=False, eq=False, repr=False)
class UploadDatasetAssets(RequestBase, Request[UploadDatasetAssetsResponse]):
    """Add files to a dataset: images, captions, and archives of both.

    A caption is a `.txt` file with the same stem as its image; file names are kept. A dataset contains at most 100
    images. The answer lists the files that were accepted and those that were rejected.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/upload-dataset-assets

    Args:
        dataset_id: Id of the dataset.
        files: PNG, JPEG, WebP or `.txt` files of at most 10 MiB each, and `.zip` files of any size; at most 100 images.
    """

    endpoint: ClassVar[Endpoint] = Endpoint(
        "POST", "/datasets/{dataset_id}/upload_assets", Body.FORM, UploadDatasetAssetsResponse
    )

    dataset_id: str = field(metadata=ID)
    """Id of the dataset."""
    files: Iterable[ImageSource] = field(converter=as_images, metadata=FILES)
    """PNG, JPEG, WebP or `.txt` files of at most 10 MiB each, and `.zip` files of any size; at most 100 images."""


@frozen(slots=False, eq=False, repr=False)
class TrainModel(RequestBase, Request[TrainDatasetModelResponse]):
    """Train a model on a dataset of 15 to 100 images. A run costs about 40 USD.

    The call returns immediately; `client.models.wait` waits for the end of the training.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/train-model

    Args:
        dataset_id: Id of the dataset to train on.
        model_name: Name of the model: 5 to 30 letters, digits, spaces and hyphens.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("POST", "/v1/ideogram-v3/train-model", Body.JSON, TrainDatasetModelResponse)

    dataset_id: str = field(metadata=ID)
    """Id of the dataset to train on."""
    model_name: str = field(metadata=MODEL_NAME)
    """Name of the model: 5 to 30 letters, digits, spaces and hyphens."""


def as_statuses(value: Iterable[ModelStatusLiteral | ModelStatus | Unchecked] | None) -> Iterable[str] | None:
    """Convert a list of statuses to a tuple, as `as_texts` does for any text."""
    return as_texts(value)


@frozen(slots=False, eq=False, repr=False)
class ListModels(RequestBase, Request[ListModelsResponse]):
    """List custom models: your own, and those shared with you.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/list-models

    Args:
        scope: `owned` or `shared`; default both.
        status: Only your own models with one of these statuses, such as `["TRAINING", "COMPLETED"]`.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("GET", "/models", Body.QUERY, ListModelsResponse)

    scope: ModelsGetParametersScopeLiteral | ModelsGetParametersScope | Unchecked | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(ModelsGetParametersScope))
    )
    """`owned` or `shared`; default both."""
    status: Iterable[str] | None = field(
        default=None, kw_only=True, converter=as_statuses, metadata=field_rule(Texts(Choice(ModelStatus)))
    )
    """Only your own models with one of these statuses, such as `["TRAINING", "COMPLETED"]`."""


@frozen(slots=False, eq=False, repr=False)
class GetModel(RequestBase, Request[GetModelResponse]):
    """Return one custom model.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/get-model

    Args:
        model_id: Id of the model.
    """

    endpoint: ClassVar[Endpoint] = Endpoint("GET", "/models/{model_id}", Body.QUERY, GetModelResponse)

    model_id: str = field(metadata=ID)
    """Id of the model."""
