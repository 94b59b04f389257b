"""An asyncio client for the Ideogram image API that never pays twice by accident.

    async with Ideogram() as client:
        answer = await client.generate("a red fox", num_images=2)
        for image in answer:
            await client.download(image, "foxes/")

Names load at their first use: importing the client and the requests loads no HTTP library.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ideogram_async._version import __version__

if TYPE_CHECKING:
    from ideogram_async.client import Ideogram
    from ideogram_async.enums import (
        AspectRatio,
        AspectRatioV3,
        AssetType,
        ColorPalettePresetName,
        DatasetAssetFailureReason,
        DescribeModelVersion,
        MagicPromptOption,
        ModelEnum,
        ModelsGetParametersScope,
        ModelStatus,
        RenderingSpeed,
        Resolution,
        ResolutionV3,
        StylePresetV3,
        StyleType,
        StyleTypeV3,
        Unchecked,
        UpscaleFactor,
    )
    from ideogram_async.errors import (
        AmbiguousError,
        APIStatusError,
        AuthenticationError,
        BadRequestError,
        Billed,
        DecodeError,
        DownloadError,
        FileConflictError,
        HostRefusedError,
        IdeogramError,
        ImageTooLargeError,
        InvalidRequestError,
        LinkExpiredError,
        NotAnImageError,
        NotFoundError,
        NotSentError,
        PaymentRequiredError,
        PermissionDeniedError,
        RateLimitError,
        SafetyError,
        ServerError,
        TransportError,
        TruncatedImageError,
        WithheldImageError,
    )
    from ideogram_async.events import Answered, Downloaded, Event, Failed, Retrying, Sending, Throttled, Waiting
    from ideogram_async.files import ImageFile
    from ideogram_async.models import (
        AssetIdentifier,
        CustomModel,
        Dataset,
        DatasetFile,
        DatasetUploadFailedAsset,
        DatasetUploadSucceededAsset,
        DescribeResponse,
        Description,
        GenerateImageResponse,
        GetDatasetResponse,
        GetModelResponse,
        ImageGenerationObjectV3,
        ImageGenerationResponseV3,
        ImageObject,
        LayerizeTextResponse,
        LimiterStatistics,
        ListDatasetsResponse,
        ListModelsResponse,
        Price,
        RemoveBackgroundImageObject,
        RemoveBackgroundResponse,
        Reply,
        TrainDatasetModelResponse,
        UploadDatasetAssetsResponse,
        V1EditImageObject,
        V1EditImagesResponse,
    )
    from ideogram_async.requests import (
        ColorPaletteMember,
        CreateDataset,
        Describe,
        Edit,
        Generate,
        GenerateTransparent,
        GetDataset,
        GetModel,
        Inpaint,
        LayerizeText,
        LegacyEdit,
        LegacyEditV3,
        LegacyGenerate,
        LegacyReframe,
        LegacyRemix,
        ListDatasets,
        ListModels,
        Reframe,
        Remix,
        RemoveBackground,
        ReplaceBackground,
        TrainModel,
        UploadDatasetAssets,
        Upscale,
    )
    from ideogram_async.transport.limiter import Limiter
    from ideogram_async.transport.policy import Retry, Timeout

__all__ = [
    "APIStatusError",
    "AmbiguousError",
    "Answered",
    "AspectRatio",
    "AspectRatioV3",
    "AssetIdentifier",
    "AssetType",
    "AuthenticationError",
    "BadRequestError",
    "Billed",
    "ColorPaletteMember",
    "ColorPalettePresetName",
    "CreateDataset",
    "CustomModel",
    "Dataset",
    "DatasetAssetFailureReason",
    "DatasetFile",
    "DatasetUploadFailedAsset",
    "DatasetUploadSucceededAsset",
    "DecodeError",
    "Describe",
    "DescribeModelVersion",
    "DescribeResponse",
    "Description",
    "DownloadError",
    "Downloaded",
    "Edit",
    "Event",
    "Failed",
    "FileConflictError",
    "Generate",
    "GenerateImageResponse",
    "GenerateTransparent",
    "GetDataset",
    "GetDatasetResponse",
    "GetModel",
    "GetModelResponse",
    "HostRefusedError",
    "Ideogram",
    "IdeogramError",
    "ImageFile",
    "ImageGenerationObjectV3",
    "ImageGenerationResponseV3",
    "ImageObject",
    "ImageTooLargeError",
    "Inpaint",
    "InvalidRequestError",
    "LayerizeText",
    "LayerizeTextResponse",
    "LegacyEdit",
    "LegacyEditV3",
    "LegacyGenerate",
    "LegacyReframe",
    "LegacyRemix",
    "Limiter",
    "LimiterStatistics",
    "LinkExpiredError",
    "ListDatasets",
    "ListDatasetsResponse",
    "ListModels",
    "ListModelsResponse",
    "MagicPromptOption",
    "ModelEnum",
    "ModelStatus",
    "ModelsGetParametersScope",
    "NotAnImageError",
    "NotFoundError",
    "NotSentError",
    "PaymentRequiredError",
    "PermissionDeniedError",
    "Price",
    "RateLimitError",
    "Reframe",
    "Remix",
    "RemoveBackground",
    "RemoveBackgroundImageObject",
    "RemoveBackgroundResponse",
    "RenderingSpeed",
    "ReplaceBackground",
    "Reply",
    "Resolution",
    "ResolutionV3",
    "Retry",
    "Retrying",
    "SafetyError",
    "Sending",
    "ServerError",
    "StylePresetV3",
    "StyleType",
    "StyleTypeV3",
    "Throttled",
    "Timeout",
    "TrainDatasetModelResponse",
    "TrainModel",
    "TransportError",
    "TruncatedImageError",
    "Unchecked",
    "UploadDatasetAssets",
    "UploadDatasetAssetsResponse",
    "Upscale",
    "UpscaleFactor",
    "V1EditImageObject",
    "V1EditImagesResponse",
    "Waiting",
    "WithheldImageError",
    "__version__",
]

# In the order in which they build on each other, so that a light name never loads a heavy room.
_ROOMS = (
    "errors",
    "enums",
    "events",
    "files",
    "models",
    "requests",
    "client",
    "transport.policy",
    "transport.limiter",
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    for room in _ROOMS:
        module = import_module(f"{__name__}.{room}")
        if name in module.__all__:
            value = globals()[name] = getattr(module, name)
            return value

    raise AssertionError(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
