"""Words that old and new operations share."""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "ColorPalettePresetName",
    "DescribeModelVersion",
    "MagicPromptOption",
    "Unchecked",
]


class ColorPalettePresetName(StrEnum):
    """The palettes that have a name."""

    EMBER = "EMBER"
    FRESH = "FRESH"
    JUNGLE = "JUNGLE"
    MAGIC = "MAGIC"
    MELON = "MELON"
    MOSAIC = "MOSAIC"
    PASTEL = "PASTEL"
    ULTRAMARINE = "ULTRAMARINE"


class DescribeModelVersion(StrEnum):
    """The models that describe an image."""

    V_2 = "V_2"
    V_3 = "V_3"


class MagicPromptOption(StrEnum):
    """Whether the service may rewrite the prompt."""

    AUTO = "AUTO"
    ON = "ON"
    OFF = "OFF"


class Unchecked(str):
    """A value newer than this library: sent as it is, whatever the lists here say."""

    __slots__ = ()
