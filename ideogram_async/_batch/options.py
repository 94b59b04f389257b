"""How a batch is run."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from string import Formatter

from attrs import field, frozen
from attrs.validators import ge

# Device names that Windows keeps for itself, with any ending.
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|com[¹²³]|lpt[¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)

LONGEST = 100

SHORT_KEY = 8

FIELDS = ("id", "index", "key", "number", "prompt", "seed")


class Names:
    """Names files by a template, such as `{id}-{seed}-{index}`.

    Args:
        template: With the fields id, index (of the image, from 0), key, number (of the job, from 0), prompt and seed.

    Raises:
        ValueError: If it has other fields.
    """

    def __init__(self, template: str | None = None) -> None:
        self._template = template or "{id}-{index}"
        unknown = {name for _, name, _, _ in Formatter().parse(self._template) if name is not None} - set(FIELDS)
        if unknown:
            raise ValueError(f"names: no field is called {', '.join(sorted(unknown))}; there are {', '.join(FIELDS)}")

        # What cannot be written, such as a seed that is not there as a number, is better known before money is spent.
        for seed in (None, 1):
            self.stem(id=None, key="k" * 20, number=0, index=0, seed=seed)

    def stem(
        self, *, id: str | None, key: str, number: int, index: int, prompt: str | None = None, seed: int | None = None
    ) -> str:
        """Return an image's file name without its extension."""
        given = {
            "id": id if id is not None else key,
            "key": key,
            "number": number,
            "index": index,
            "prompt": prompt or "",
            "seed": "" if seed is None else seed,
        }
        wished = self._template.format_map(given)
        safe = safe_name(wished)
        names_itself = self._template == "{id}-{index}"
        if safe == wished and names_itself:
            return safe

        # What was changed, or is not unique by itself, is told apart by the key.
        return f"{safe[: LONGEST - SHORT_KEY - 6]}-{key[:SHORT_KEY]}-{index}"


def safe_name(wished: str) -> str:
    """Keep small letters, digits, dot, dash and underscore; nothing leads upwards, hides, or means a device."""
    plain = unicodedata.normalize("NFKC", wished).lower()
    safe = re.sub(r"[^a-z0-9._-]+", "-", plain)
    safe = re.sub(r"\.{2,}", ".", safe).strip(" .-")[:LONGEST].rstrip(" .-")
    if not safe or RESERVED.fullmatch(safe):
        return f"job-{safe}".rstrip("-")

    return safe


def _amount(given: Decimal | str | float | None) -> Decimal | None:
    if given is None:
        return None

    try:
        amount = Decimal(str(given))
    except ArithmeticError:
        raise ValueError(f"max_cost_usd must be an amount in USD, not {given!r}") from None

    if not amount.is_finite() or amount < 0:
        raise ValueError(f"max_cost_usd must be an amount in USD, not {given!r}")

    return amount


def _names(template: str | None) -> Names:
    return Names(template)


@frozen(kw_only=True)
class BatchOptions:
    """How a batch is run."""

    max_cost_usd: Decimal | None = field(converter=_amount)
    max_downloads: int = field(validator=ge(1))
    retry_ambiguous: bool
    names: Names = field(converter=_names)
    ordered: bool
    sidecars: bool
