"""Data sets, and the models that are trained on them."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import field, frozen

from ideogram_async._operations import Body, Endpoint
from ideogram_async.enums import ModelsGetParametersScope, ModelStatus
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
from ideogram_async.requests._file_rules import Asset, Assets
from ideogram_async.requests._rules import Choice, RequestBase, Text, Texts, as_texts, field_rule

__all__ = ["CreateDataset", "GetDataset", "GetModel", "ListDatasets", "ListModels", "TrainModel", "UploadDatasetAssets"]

NOT_EMPTY = field_rule(Text(may_be_empty=False))

# An id is a step in a path: these two would lead to another operation.
ID = field_rule(Text(r"(?s)(?!\.\.?\Z).+", "cannot be . or ..", may_be_empty=False))

MODEL_NAME = field_rule(
    Text(r"[A-Za-z0-9 \-]{5,30}", "must have 5 to 30 characters: letters, digits, spaces and hyphens")
)


@frozen(slots=False, eq=False, repr=False)
class ListDatasets(RequestBase):
    """List the account's data sets.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/list-datasets
    """

    endpoint = Endpoint("GET", "/datasets", Body.QUERY, ListDatasetsResponse)


@frozen(slots=False, eq=False, repr=False)
class CreateDataset(RequestBase):
    """Create an empty data set. Sent twice, it creates two.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/create-dataset
    """

    endpoint = Endpoint("POST", "/datasets", Body.JSON, Dataset)

    name: str = field(metadata=NOT_EMPTY)
    """What to call it."""


@frozen(slots=False, eq=False, repr=False)
class GetDataset(RequestBase):
    """Look at a data set and the names of its files.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/get-dataset
    """

    endpoint = Endpoint("GET", "/datasets/{dataset_id}", Body.QUERY, GetDatasetResponse)

    dataset_id: str = field(metadata=ID)
    """Which one."""


@frozen(slots=False, eq=False, repr=False)
class UploadDatasetAssets(RequestBase):
    """Add files to a data set: images, captions, archives of both.

    A caption is a `.txt` file with the stem of its image's name: file names are kept. A data set holds 100 images at
    most. The answer tells each file's fate; some may have failed where others were taken.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/upload-dataset-assets
    """

    endpoint = Endpoint("POST", "/datasets/{dataset_id}/upload_assets", Body.FORM, UploadDatasetAssetsResponse)

    dataset_id: str = field(metadata=ID)
    """Which one."""
    files: Iterable[ImageSource] = field(converter=as_images, metadata=field_rule(Assets(each=Asset(), least=1)))
    """PNG, JPEG, WebP, `.txt` or `.zip` files, 10 MiB each; 100 images at most."""


@frozen(slots=False, eq=False, repr=False)
class TrainModel(RequestBase):
    """Train a model on a data set of 15 to 100 images. A run costs about 40 USD.

    The answer comes at once; `client.models.wait` waits for the end of the training.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/train-model
    """

    endpoint = Endpoint("POST", "/v1/ideogram-v3/train-model", Body.JSON, TrainDatasetModelResponse)

    dataset_id: str = field(metadata=ID)
    """What to train on."""
    model_name: str = field(metadata=MODEL_NAME)
    """What to call the model: 5 to 30 letters, digits, spaces and hyphens."""


@frozen(slots=False, eq=False, repr=False)
class ListModels(RequestBase):
    """List custom models: your own and those shared with you.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/list-models
    """

    endpoint = Endpoint("GET", "/models", Body.QUERY, ListModelsResponse)

    scope: ModelsGetParametersScope | str | None = field(
        default=None, kw_only=True, metadata=field_rule(Choice(ModelsGetParametersScope))
    )
    """`owned` or `shared`; both if not given."""
    status: Iterable[ModelStatus | str] | None = field(
        default=None, kw_only=True, converter=as_texts, metadata=field_rule(Texts(Choice(ModelStatus)))
    )
    """Only your own models that stand here, such as `["TRAINING", "COMPLETED"]`."""


@frozen(slots=False, eq=False, repr=False)
class GetModel(RequestBase):
    """Look at one custom model.

    Source: https://developer.ideogram.ai/api-reference/custom-model-training/get-model
    """

    endpoint = Endpoint("GET", "/models/{model_id}", Body.QUERY, GetModelResponse)

    model_id: str = field(metadata=ID)
    """Which one."""
