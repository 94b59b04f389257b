"""The words of the contract: every closed list of values, under its schema's name.

Each member is a string, so `RenderingSpeed.TURBO == "TURBO"` and either may be given. A value that the service
knows and this library does not yet is written `Unchecked("BALANCED")`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ideogram_async.lazy import attach

if TYPE_CHECKING:
    from ideogram_async.enums.legacy import AspectRatio, ModelEnum, Resolution, StyleType
    from ideogram_async.enums.shared import ColorPalettePresetName, DescribeModelVersion, MagicPromptOption, Unchecked
    from ideogram_async.enums.training import (
        AssetType,
        DatasetAssetFailureReason,
        ModelsGetParametersScope,
        ModelStatus,
    )
    from ideogram_async.enums.v3 import (
        AspectRatioV3,
        RenderingSpeed,
        ResolutionV3,
        StylePresetV3,
        StyleTypeV3,
        UpscaleFactor,
    )

__all__ = [
    "AspectRatio",
    "AspectRatioV3",
    "AssetType",
    "ColorPalettePresetName",
    "DatasetAssetFailureReason",
    "DescribeModelVersion",
    "MagicPromptOption",
    "ModelEnum",
    "ModelStatus",
    "ModelsGetParametersScope",
    "RenderingSpeed",
    "Resolution",
    "ResolutionV3",
    "StylePresetV3",
    "StyleType",
    "StyleTypeV3",
    "Unchecked",
    "UpscaleFactor",
]

__getattr__, __dir__ = attach(__name__, __all__, ("shared", "v3", "legacy", "training"))
