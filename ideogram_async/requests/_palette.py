"""Color palettes: a named preset, or a list of members."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias, TypeGuard

from attrs import field, frozen

from ideogram_async._literals import ColorPalettePresetNameLiteral
from ideogram_async._names import NamedArguments
from ideogram_async._scalars import as_float, as_scalar
from ideogram_async.enums import ColorPalettePresetName, Unchecked
from ideogram_async.requests._rules import Choice, Limits, Rule, quote, type_name


@frozen
class ColorPaletteMember(NamedArguments):
    """A color of a palette."""

    color_hex: str
    """`#RGB` or `#RRGGBB`."""
    color_weight: float | None = field(default=None, converter=as_float)
    """Share of the color, from 0.05 to 1.0. The service recommends descending order."""


@frozen
class Palette:
    """A palette as it is sent: the name of a preset, or members."""

    name: str | None = None
    members: tuple[Any, ...] = ()
    """`ColorPaletteMember`s, and values that could not be converted: `PaletteRule` reports them."""


PaletteSource: TypeAlias = (
    ColorPalettePresetName | str | Palette | Iterable[ColorPaletteMember | tuple[str, float] | str] | ColorPaletteMember
)
"""A preset (`"EMBER"`), or members: `ColorPaletteMember("#FF5733", 0.6)`, pairs, or hex strings."""


def as_palette(value: ColorPalettePresetNameLiteral | PaletteSource | None) -> Palette | None:
    """Convert the value of a palette field; never rejects one. An empty list is not sent."""
    if value is None or isinstance(value, Palette):
        return value

    if isinstance(value, str) and not value.startswith("#"):
        return Palette(name=value)

    is_single = isinstance(value, str | bytes | Mapping | ColorPaletteMember) or _is_pair(value)
    if is_single or not isinstance(value, Iterable):
        return Palette(members=(_as_member(value),))

    members = tuple(_as_member(item) for item in value)
    return Palette(members=members) if members else None


PRESET = Choice(ColorPalettePresetName)


@frozen(eq=False, repr=False)
class PaletteRule(Rule[Palette]):
    """A known preset, or one to eight valid members."""

    preset: Choice = PRESET

    def type_error(self, value: Palette) -> str | None:
        if value.name is not None:
            return self.preset.type_error(value.name)

        errors = (
            f"[{n}] must be a hex string, a (hex, weight) pair or a ColorPaletteMember, not {type_name(member)}"
            for n, member in enumerate(value.members)
            if not _is_member(member)
        )
        return next(errors, None)

    def violations(self, value: Palette, limits: Limits) -> Iterator[str]:
        if value.name is not None:
            yield from self.preset.check(value.name, limits)
            return

        if not 1 <= len(value.members) <= 8:
            yield f"accepts 1 to 8 members, not {len(value.members)}"

        for n, member in enumerate(value.members):
            if _is_member(member):
                yield from (f"[{n}] {violation}" for violation in _member_violations(member))


def _member_violations(member: ColorPaletteMember) -> Iterator[str]:
    is_hex = re.fullmatch(r"#([0-9a-fA-F]{3}){1,2}", member.color_hex)
    if not is_hex and not isinstance(member.color_hex, Unchecked):
        yield f"must be a color such as #RGB or #RRGGBB, not {quote(member.color_hex)}"

    if member.color_weight is not None and not 0.05 <= member.color_weight <= 1.0:
        yield f"must have a weight from 0.05 to 1.0, not {member.color_weight}"


def _as_member(value: object) -> object:
    if isinstance(value, str):
        return ColorPaletteMember(value)

    return ColorPaletteMember(*value) if _is_pair(value) else value


def _is_pair(value: object) -> TypeGuard[tuple[str, float]]:
    return isinstance(value, tuple | list) and len(value) == 2 and isinstance(value[0], str) and _is_number(value[1])


def _is_member(value: object) -> TypeGuard[ColorPaletteMember]:
    if not isinstance(value, ColorPaletteMember) or not isinstance(value.color_hex, str):
        return False

    return value.color_weight is None or _is_number(value.color_weight)


def _is_number(value: object) -> bool:
    number = as_scalar(value)
    return isinstance(number, int | float) and not isinstance(number, bool)
