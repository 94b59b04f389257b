"""Requests: one frozen class for each operation of the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async._lazy import lazy_exports

if TYPE_CHECKING:
    from ideogram_async.requests._palette import ColorPaletteMember
    from ideogram_async.requests.images import *
    from ideogram_async.requests.legacy import *
    from ideogram_async.requests.training import *

__all__ = [
    "ColorPaletteMember",
    "CreateDataset",
    "Describe",
    "Edit",
    "Generate",
    "GenerateTransparent",
    "GetDataset",
    "GetModel",
    "Inpaint",
    "LayerizeText",
    "LegacyEdit",
    "LegacyEditV3",
    "LegacyGenerate",
    "LegacyReframe",
    "LegacyRemix",
    "ListDatasets",
    "ListModels",
    "Reframe",
    "Remix",
    "RemoveBackground",
    "ReplaceBackground",
    "TrainModel",
    "UploadDatasetAssets",
    "Upscale",
]

if not TYPE_CHECKING:
    __getattr__, __dir__ = lazy_exports(
        __name__,
        {
            "_palette": "ColorPaletteMember",
            "legacy": "LegacyEdit LegacyEditV3 LegacyGenerate LegacyReframe LegacyRemix",
            "training": "CreateDataset GetDataset GetModel ListDatasets ListModels TrainModel UploadDatasetAssets",
        },
        rest=("images", __all__),
    )
