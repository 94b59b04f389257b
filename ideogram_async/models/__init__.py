"""Answers: frozen values under their schema names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async._lazy import lazy_exports

if TYPE_CHECKING:
    from ideogram_async.models.base import LimiterStatistics, Price, Reply
    from ideogram_async.models.images import *
    from ideogram_async.models.training import *

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

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "base": "LimiterStatistics Price Reply",
            "images": """
                DescribeResponse Description GenerateImageResponse ImageGenerationObjectV3 ImageGenerationResponseV3
                ImageObject LayerizeTextResponse RemoveBackgroundImageObject RemoveBackgroundResponse V1EditImageObject
                V1EditImagesResponse""",
            "training": """
                AssetIdentifier CustomModel Dataset DatasetFile DatasetUploadFailedAsset DatasetUploadSucceededAsset
                GetDatasetResponse GetModelResponse ListDatasetsResponse ListModelsResponse TrainDatasetModelResponse
                UploadDatasetAssetsResponse""",
        },
    )
