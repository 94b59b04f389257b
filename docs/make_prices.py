"""Generator of the table in `prices.md`: run it after a change of the price data."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from ideogram_async._prices import bundled_prices

PAGE = Path(__file__).with_name("prices.md")
TABLE = re.compile(r"(?<=<!-- table: )(\w+) -->\n.*?(?=<!-- end -->)", re.DOTALL)
SPEEDS = ("FLASH", "TURBO", "DEFAULT", "QUALITY")
BY_SPEED = {
    "v3": "generate, inpaint, remix, reframe, replace background",
    "v3-character": "the same, with a character reference",
    "v3-custom": "the same, with a custom model",
    "transparent-X1": "generate transparent",
    "transparent-X2": "generate transparent, `upscale_factor` X2",
    "transparent-X4": "generate transparent, `upscale_factor` X4",
}
FLAT = {
    "edit": "edit, per image",
    "upscale": "upscale, per call",
    "remove-background": "remove background, per call",
    "layerize-text": "layerize text, per call",
    "describe": "describe, per call",
    "train-model": "train a model, per call",
}
V2_TIERS = {
    "v2_quality": ("very_low", "low", "medium", "high"),
    "v2_speed": ("turbo", "default", "quality"),
}


def page(text: str) -> str:
    """Return the text of the page with tables of the bundled prices."""
    tables = {"speeds": _speed_table(), "models": _model_table(), "flat": _flat_table(), "v2_flat": _v2_flat_table()}
    tables |= {name: _v2_table(tiers) for name, tiers in V2_TIERS.items()}
    return TABLE.sub(lambda match: f"{match[1]} -->\n\n{tables[match[1]]}\n\n", text)


def _speed_table() -> str:
    rows = [
        [label, *(_usd(f"{family}.{speed}") for speed in SPEEDS), _date(family)] for family, label in BY_SPEED.items()
    ]
    return _table(["USD per image", *SPEEDS, "as of"], rows)


def _model_table() -> str:
    models = [name for name in bundled_prices() if name.startswith("V_")]
    return _table(
        ["legacy model", "USD per image", "as of"], [[f"`{name}`", _usd(name), _date(name)] for name in models]
    )


def _flat_table() -> str:
    return _table(["operation", "USD", "as of"], [[label, _usd(name), _date(name)] for name, label in FLAT.items()])


def _v2_table(tiers: tuple[str, ...]) -> str:
    rates = (name.partition(".") for name in bundled_prices() if name.startswith("v2/"))
    families = dict.fromkeys(family for family, _, tier in rates if tier in tiers)
    rows = [[f"`{each}`", *(_usd(f"{each}.{tier}") for tier in tiers), _date(each)] for each in families]
    return _table(["USD per image", *tiers, "as of"], rows)


def _v2_flat_table() -> str:
    rates = [name for name in bundled_prices() if name.startswith("v2/") and "." not in name]
    return _table(
        ["USD per image that is sent", "USD", "as of"], [[f"`{each}`", _usd(each), _date(each)] for each in rates]
    )


def _usd(rate: str) -> str:
    price = bundled_prices().get(rate)
    return "unknown" if price is None else str(price.usd)


def _date(family: str) -> str:
    dates = {str(price.as_of) for rate, price in bundled_prices().items() if rate.partition(".")[0] == family}
    return ", ".join(sorted(dates))


def _table(header: list[str], rows: list[list[str]]) -> str:
    return "\n".join(_lines([header, ["---"] * len(header), *rows]))


def _lines(rows: list[list[str]]) -> Iterator[str]:
    for row in rows:
        yield f"| {' | '.join(row)} |"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
