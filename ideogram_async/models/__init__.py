"""What comes back: frozen values with the names of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async.lazy import attach

if TYPE_CHECKING:
    from ideogram_async.models.images import (
        GenerateImageResponse,
        ImageGenerationObjectV3,
        ImageGenerationResponseV3,
        ImageObject,
        LayerizeTextResponse,
        RemoveBackgroundImageObject,
        RemoveBackgroundResponse,
        V1EditImageObject,
        V1EditImagesResponse,
    )
    from ideogram_async.models.reply import Reply
    from ideogram_async.models.training import (
        AssetIdentifier,
        CustomModel,
        Dataset,
        DatasetFile,
        DatasetUploadFailedAsset,
        DatasetUploadSucceededAsset,
        GetDatasetResponse,
        GetModelResponse,
        ListDatasetsResponse,
        ListModelsResponse,
        TrainDatasetModelResponse,
        UploadDatasetAssetsResponse,
    )
    from ideogram_async.models.values import LimiterStatistics, Price
    from ideogram_async.models.words import DescribeResponse, Description

__all__ = [
    "AssetIdentifier",
    "CustomModel",
    "Dataset",
    "DatasetFile",
    "DatasetUploadFailedAsset",
    "DatasetUploadSucceededAsset",
    "DescribeResponse",
    "Description",
    "GenerateImageResponse",
    "GetDatasetResponse",
    "GetModelResponse",
    "ImageGenerationObjectV3",
    "ImageGenerationResponseV3",
    "ImageObject",
    "LayerizeTextResponse",
    "LimiterStatistics",
    "ListDatasetsResponse",
    "ListModelsResponse",
    "Price",
    "RemoveBackgroundImageObject",
    "RemoveBackgroundResponse",
    "Reply",
    "TrainDatasetModelResponse",
    "UploadDatasetAssetsResponse",
    "V1EditImageObject",
    "V1EditImagesResponse",
]

__getattr__, __dir__ = attach(__name__, __all__, ("reply", "values", "images", "words", "training"))
