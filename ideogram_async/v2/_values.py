"""Closed lists of the second contract, as literal types that editors complete."""

from enum import StrEnum
from typing import Any, Literal, TypeAlias, cast, get_args

from ideogram_async.requests._rules import Choice

# fmt: off
RenderingSpeed: TypeAlias = Literal["turbo", "default", "quality"]
Quality: TypeAlias = Literal["very_low", "low", "medium", "high"]
MagicPromptMode: TypeAlias = Literal["auto", "on", "off"]
OutputResolution: TypeAlias = Literal["1k", "2k", "4k", "8k"]
UpscaleFactor: TypeAlias = Literal["x2", "x4", "x8"]
CharacterStyleType: TypeAlias = Literal["auto", "realistic", "fiction"]
AssetType: TypeAlias = Literal["ASSET", "CANVAS_ASSET", "LAYERED_ASSET", "RESPONSE", "UPLOAD"]
PalettePreset: TypeAlias = Literal["ember", "fresh", "jungle", "magic", "melon", "mosaic", "pastel", "ultramarine"]
BucketWidth: TypeAlias = Literal["1d", "1h"]
UsageSource: TypeAlias = Literal["api", "app"]
IdeogramV3StyleType: TypeAlias = Literal["auto", "general", "realistic", "design", "custom", "fiction", "stylized"]
IdeogramV3AspectRatio: TypeAlias = Literal[
    "auto", "1x3", "3x1", "1x2", "2x1", "9x16", "16x9", "10x16", "16x10", "2x3", "3x2", "3x4", "4x3", "4x5", "5x4",
    "1x1",
]
IdeogramV4AspectRatio: TypeAlias = Literal[
    "auto", "1x4", "1x3", "1x2", "9x16", "10x16", "2x3", "3x4", "4x5", "1x1", "5x4", "4x3", "3x2", "16x10", "16x9",
    "2x1", "3x1", "4x1",
]
AspectRatioV4: TypeAlias = Literal[
    "AUTO", "1x4", "1x3", "1x2", "9x16", "10x16", "2x3", "3x4", "4x5", "1x1", "5x4", "4x3", "3x2", "16x10", "16x9",
    "2x1", "3x1", "4x1",
]
ResolutionV4: TypeAlias = Literal[
    "2048x2048", "1440x2880", "2880x1440", "1664x2496", "2496x1664", "1792x2240", "2240x1792", "1440x2560", "2560x1440",
    "1600x2560", "2560x1600", "1728x2304", "2304x1728", "1296x3168", "3168x1296", "1152x2944", "2944x1152", "1248x3328",
    "3328x1248", "1280x3072", "3072x1280", "1024x3072", "3072x1024", "1024x1024", "896x1120", "1120x896", "864x1152",
    "1152x864", "832x1248", "1248x832", "800x1280", "1280x800", "720x1280", "1280x720", "720x1440", "1440x720",
    "512x1536", "1536x512",
]
IdeogramV3StylePreset: TypeAlias = Literal[
    "80s_illustration", "90s_nostalgia", "abstract_organic", "analog_nostalgia", "art_brut", "art_deco", "art_poster",
    "aura", "avant_garde", "bauhaus", "blueprint", "blurry_motion", "bright_art", "c4d_cartoon", "childrens_book",
    "collage", "coloring_book_i", "coloring_book_ii", "cubism", "dark_aura", "doodle", "double_exposure",
    "dramatic_cinema", "editorial", "emotional_minimal", "ethereal_party", "expired_film", "flat_art", "flat_vector",
    "forest_reverie", "geo_minimalist", "glass_prism", "golden_hour", "graffiti_i", "graffiti_ii", "halftone_print",
    "high_contrast", "hippie_era", "iconic", "japandi_fusion", "jazzy", "long_exposure", "magazine_editorial",
    "minimal_illustration", "mixed_media", "monochrome", "nightlife", "oil_painting", "old_cartoons", "paint_gesture",
    "pop_art", "retro_etching", "riviera_pop", "spotlight_80s", "stylized_red", "surreal_collage", "travel_poster",
    "vintage_geo", "vintage_poster", "watercolor", "weird", "woodblock_print",
]
# fmt: on


def one_of(name: str, literal: object) -> Choice:
    """Return the rule for a field with the values of a literal type.

    Args:
        name: The schema of the values in the contract.
        literal: The type.
    """
    make: Any = StrEnum
    return Choice(cast("type[StrEnum]", make(name, {value: value for value in get_args(literal)})))
