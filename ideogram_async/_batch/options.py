"""Options of a batch, and the names of its files."""

from __future__ import annotations

import re
import unicodedata
from decimal import Decimal
from string import Formatter

from attrs import field, frozen
from attrs.validators import ge

from ideogram_async._prices import parse_usd

# Device names of Windows, with any extension.
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|com[¹²³]|lpt[¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
DEFAULT_TEMPLATE = "{id}-{index}"
PLACEHOLDERS = ("id", "index", "key", "number", "prompt", "seed")
MAX_STEM = 100
SHORT_KEY = 8


class FileNames:
    """Names files by a template, such as `{id}-{seed}-{index}`.

    Args:
        template: Format with the placeholders id, index (of the image, from 0), key, number (of the job, from 0),
            prompt and seed.

    Raises:
        ValueError: If the template has other placeholders or cannot be formatted.
    """

    def __init__(self, template: str | None = None) -> None:
        self._template = template or DEFAULT_TEMPLATE
        names = {name for _, name, _, _ in Formatter().parse(self._template) if name is not None}
        unknown = ", ".join(f"{{{name}}}" for name in sorted(names - {*PLACEHOLDERS}))
        if unknown:
            raise ValueError(f"names: unknown placeholder {unknown}; available: {', '.join(PLACEHOLDERS)}")

        # A template that cannot be formatted, such as a missing seed as a number, fails before money is spent.
        for seed in (None, 1):
            self.stem(id=None, key="k" * 20, number=0, index=0, seed=seed)

    def stem(
        self, *, id: str | None, key: str, number: int, index: int, prompt: str | None = None, seed: int | None = None
    ) -> str:
        """Return an image's file name without its extension."""
        name = self._template.format(
            id=id if id is not None else key,
            key=key,
            number=number,
            index=index,
            prompt=prompt or "",
            seed="" if seed is None else seed,
        )
        safe = safe_name(name)
        if safe == name and self._template == DEFAULT_TEMPLATE:
            return safe

        # The key makes the name unique, which a changed name or another template may not be.
        return f"{safe[: MAX_STEM - SHORT_KEY - 6]}-{key[:SHORT_KEY]}-{index}"


def safe_name(name: str) -> str:
    """Return a file name of lower-case letters, digits, dots, dashes and underscores: never hidden or a device."""
    safe = re.sub(r"[^a-z0-9._-]+", "-", unicodedata.normalize("NFKC", name).lower())
    safe = re.sub(r"\.{2,}", ".", safe).strip(" .-")[:MAX_STEM].rstrip(" .-")
    if not safe or RESERVED.fullmatch(safe):
        return f"job-{safe}".rstrip("-")

    return safe


def _to_usd(value: Decimal | str | float | None) -> Decimal | None:
    return None if value is None else parse_usd("max_cost_usd", value)


@frozen(kw_only=True)
class BatchOptions:
    """Options of a batch; `Ideogram.batch` documents them."""

    max_cost_usd: Decimal | None = field(converter=_to_usd)
    max_downloads: int = field(validator=ge(1))
    retry_ambiguous: bool
    names: FileNames = field(converter=FileNames)
    ordered: bool
    sidecars: bool
