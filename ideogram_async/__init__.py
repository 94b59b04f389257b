"""An asyncio client for the Ideogram image API that never pays twice by accident.

    async with Ideogram() as client:
        answer = await client.generate("a red fox", num_images=2)
        for image in answer:
            await client.download(image, "foxes/")

Names load at their first use: importing the client and the requests loads no HTTP library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async._lazy import lazy_exports
from ideogram_async._requirements import require_posix
from ideogram_async._version import __version__

require_posix()

if TYPE_CHECKING:
    from ideogram_async._batch.batch import Batch
    from ideogram_async._batch.job import ImageState, Job, JobResult, JobState, StoredImage
    from ideogram_async._batch.lists import read_jobs
    from ideogram_async._batch.report import Plan, Report
    from ideogram_async._client import Ideogram
    from ideogram_async._limiter.limiter import Limiter
    from ideogram_async._pipeline.running_call import RunningCall
    from ideogram_async._transport.policy import Retry, Timeout
    from ideogram_async.enums import *
    from ideogram_async.errors import *
    from ideogram_async.events import *
    from ideogram_async.files import *
    from ideogram_async.models import *
    from ideogram_async.requests import *
    from ideogram_async.v2 import JsonPrompt

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
    "Batch",
    "BatchError",
    "BatchFinished",
    "BatchLockedError",
    "BatchStopped",
    "Billed",
    "BudgetError",
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
    "FromJob",
    "Generate",
    "GenerateImageResponse",
    "GenerateTransparent",
    "GenerationFailed",
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
    "ImageState",
    "ImageTooLargeError",
    "InDoubtError",
    "InProgressError",
    "Inpaint",
    "InvalidRequestError",
    "Job",
    "JobConflictError",
    "JobFinished",
    "JobResult",
    "JobStarted",
    "JobState",
    "JournalError",
    "JsonPrompt",
    "KeyConflictError",
    "LayerizeText",
    "LayerizeTextResponse",
    "LedgerError",
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
    "Plan",
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
    "Report",
    "Resolution",
    "ResolutionV3",
    "Retry",
    "Retrying",
    "RunningCall",
    "SafetyError",
    "Sending",
    "ServerError",
    "StoredImage",
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
    "WaitTimeout",
    "Waiting",
    "WebhookError",
    "WithheldImageError",
    "__version__",
    "read_jobs",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "_batch.batch": "Batch",
            "_batch.job": "ImageState Job JobResult JobState StoredImage",
            "_batch.lists": "read_jobs",
            "_batch.report": "Plan Report",
            "_client": "Ideogram",
            "_limiter.limiter": "Limiter",
            "_pipeline.running_call": "RunningCall",
            "_transport.policy": "Retry Timeout",
            "enums": """
                AspectRatio AspectRatioV3 AssetType ColorPalettePresetName DatasetAssetFailureReason
                DescribeModelVersion MagicPromptOption ModelEnum ModelsGetParametersScope ModelStatus RenderingSpeed
                Resolution ResolutionV3 StylePresetV3 StyleType StyleTypeV3 Unchecked UpscaleFactor""",
            "errors": """
                AmbiguousError APIStatusError AuthenticationError BadRequestError BatchError BatchLockedError Billed
                BudgetError DecodeError DownloadError FileConflictError GenerationFailed HostRefusedError IdeogramError
                ImageTooLargeError InDoubtError InProgressError InvalidRequestError JobConflictError JournalError
                KeyConflictError LedgerError LinkExpiredError NotAnImageError NotFoundError NotSentError
                PaymentRequiredError PermissionDeniedError RateLimitError SafetyError ServerError
                TransportError TruncatedImageError WaitTimeout WebhookError WithheldImageError""",
            "events": """
                Answered BatchFinished BatchStopped Downloaded Event Failed JobFinished JobStarted Retrying Sending
                Throttled Waiting""",
            "files": "FromJob ImageFile",
            "models": """
                AssetIdentifier CustomModel Dataset DatasetFile DatasetUploadFailedAsset DatasetUploadSucceededAsset
                DescribeResponse Description GenerateImageResponse GetDatasetResponse GetModelResponse
                ImageGenerationObjectV3 ImageGenerationResponseV3 ImageObject LayerizeTextResponse LimiterStatistics
                ListDatasetsResponse ListModelsResponse Price RemoveBackgroundImageObject RemoveBackgroundResponse Reply
                TrainDatasetModelResponse UploadDatasetAssetsResponse V1EditImageObject V1EditImagesResponse""",
            "v2.json_prompt": "JsonPrompt",
        },
        rest=("requests", __all__),
    )
