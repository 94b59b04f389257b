"""What goes out: one frozen value for each operation of the contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async.lazy import attach

if TYPE_CHECKING:
    from ideogram_async.requests.legacy import LegacyEdit, LegacyEditV3, LegacyGenerate, LegacyReframe, LegacyRemix
    from ideogram_async.requests.palette import ColorPaletteMember
    from ideogram_async.requests.single import Describe, Edit, RemoveBackground, Upscale
    from ideogram_async.requests.training import (
        CreateDataset,
        GetDataset,
        GetModel,
        ListDatasets,
        ListModels,
        TrainModel,
        UploadDatasetAssets,
    )
    from ideogram_async.requests.v3 import (
        Generate,
        GenerateTransparent,
        Inpaint,
        LayerizeText,
        Reframe,
        Remix,
        ReplaceBackground,
    )

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

__getattr__, __dir__ = attach(__name__, __all__, ("palette", "v3", "single", "legacy", "training"))
