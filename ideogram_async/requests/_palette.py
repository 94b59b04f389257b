"""Colours: a palette that has a name, or one made of members."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from attrs import frozen

from ideogram_async.enums import ColorPalettePresetName, Unchecked
from ideogram_async.requests._rules import Choice, Limits, Rule, kind


@frozen
class ColorPaletteMember:
    """A colour of a palette."""

    color_hex: str
    """`#RGB` or `#RRGGBB`."""
    color_weight: float | None = None
    """How much of it, from 0.05 to 1.0. The service advises to order members from the highest to the lowest."""


@frozen
class Palette:
    """A palette as it travels: the name of a preset, or members."""

    name: str | None = None
    members: tuple[Any, ...] = ()


PaletteSource: TypeAlias = (
    ColorPalettePresetName | str | Palette | Iterable[ColorPaletteMember | tuple[str, float] | str] | ColorPaletteMember
)

"""A preset (`"EMBER"`), or members: `ColorPaletteMember("#FF5733", 0.6)`, pairs, or bare hex strings."""


def as_palette(value: PaletteSource | None) -> Palette | None:
    """Convert what a caller gave; never refuses. What makes no sense stays a member, for the rule to judge.

    An empty list says nothing, so it is not sent.
    """
    if value is None or isinstance(value, Palette):
        return value

    if isinstance(value, str) and not value.startswith("#"):
        return Palette(name=value)

    if isinstance(value, str | bytes | Mapping | ColorPaletteMember) or not isinstance(value, Iterable):
        return Palette(members=(_as_member(value),))

    if _is_pair(value):
        return Palette(members=(_as_member(value),))

    members = tuple(_as_member(item) for item in value)
    return Palette(members=members) if members else None


@frozen(eq=False, repr=False)
class PaletteRule(Rule):
    """A preset that exists, or one to eight sound members."""

    def type_error(self, value: Palette) -> str | None:
        if value.name is not None:
            return Choice(ColorPalettePresetName).type_error(value.name)

        wrong = (n for n, member in enumerate(value.members) if not _is_member(member))
        at = next(wrong, None)
        if at is None:
            return None

        return (
            f"[{at}] must be a hex string, a (hex, weight) pair or a ColorPaletteMember, not {kind(value.members[at])}"
        )

    def violations(self, value: Palette, limits: Limits) -> Iterator[str]:
        if value.name is not None:
            yield from Choice(ColorPalettePresetName).violations(value.name, limits)
            return

        if not 1 <= len(value.members) <= 8:
            yield f"takes from 1 to 8 members, not {len(value.members)}"

        for n, member in enumerate(value.members):
            yield from (f"[{n}] {problem}" for problem in _judge(member))


def _judge(member: ColorPaletteMember) -> Iterator[str]:
    is_hex = re.fullmatch(r"#([0-9a-fA-F]{3}){1,2}", member.color_hex)
    if not is_hex and not isinstance(member.color_hex, Unchecked):
        yield f"must be a colour like #RGB or #RRGGBB, not {member.color_hex!r}"

    if member.color_weight is not None and not 0.05 <= member.color_weight <= 1.0:
        yield f"must weigh from 0.05 to 1.0, not {member.color_weight}"


def _as_member(value: Any) -> Any:
    if isinstance(value, str):
        return ColorPaletteMember(value)

    return ColorPaletteMember(*value) if _is_pair(value) else value


def _is_pair(value: Any) -> bool:
    return isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], str) and _is_number(value[1])


def _is_member(value: Any) -> bool:
    if not isinstance(value, ColorPaletteMember) or not isinstance(value.color_hex, str):
        return False

    return value.color_weight is None or _is_number(value.color_weight)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
