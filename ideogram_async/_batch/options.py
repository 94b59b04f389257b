"""Options of a batch, and the names of its files."""

from __future__ import annotations

import os
import re
import unicodedata
from decimal import Decimal
from pathlib import Path
from string import Formatter

from attrs import Attribute, field, frozen
from attrs.validators import optional

from ideogram_async._batch.accepting import Acceptance
from ideogram_async._prices import parse_usd
from ideogram_async._sinks.sink import Sink
from ideogram_async._transport.policy import at_least

# Device names of Windows, with any extension.
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d|com[¹²³]|lpt[¹²³]|conin\$|conout\$)(\..*)?", re.IGNORECASE)
DEFAULT_TEMPLATE = "{id}-{index}"
PLACEHOLDERS = ("id", "index", "key", "number", "prompt", "seed")
MAX_STEM = 100
SHORT_KEY = 8
MAX_WIDTH = 1000


def to_folder(value: str | os.PathLike[str]) -> Path:
    """Convert the folder of a batch.

    Raises:
        TypeError: If it is not a path.
        ValueError: If it would become a folder named `~`.
    """
    if not isinstance(value, str | os.PathLike):
        raise TypeError(f"the folder must be a path, not {type(value).__name__}")

    folder = Path(value)
    if folder.parts[:1] == ("~",):
        raise ValueError(f"the folder begins with ~, which is not expanded; use Path({str(folder)!r}).expanduser()")

    return folder


class FileNames:
    """Names files by a template, such as `{id}-{seed}-{index}`.

    Args:
        template: Format with the placeholders id, index (of the image, from 0), key, number (of the job, from 0),
            prompt and seed.

    Raises:
        ValueError: If the template has other placeholders, a width of more than 1,000 characters, or cannot be
            formatted.
    """

    def __init__(self, template: str | None = None) -> None:
        self._template = template or DEFAULT_TEMPLATE
        fields = [(name, spec or "") for _, name, spec, _ in Formatter().parse(self._template) if name is not None]
        names = {name for name, _ in fields}
        unknown = ", ".join(f"{{{name}}}" for name in sorted(names - {*PLACEHOLDERS}))
        if unknown:
            raise ValueError(f"names: unknown placeholder {unknown}; available: {', '.join(PLACEHOLDERS)}")

        for name, spec in fields:
            _check_format(name, spec)

        self.depend_on_answer = bool(names & {"prompt", "seed"})
        """Whether names are known only after the answer."""

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


def _check_format(name: str, spec: str) -> None:
    """Refuse a format that could fill the memory, before it is used."""
    if "{" in spec:
        raise ValueError(f"names: the format of {{{name}}} contains another placeholder: {spec!r}")

    if any(len(digits.lstrip("0")) > 4 or int(digits) > MAX_WIDTH for digits in re.findall(r"\d+", spec)):
        raise ValueError(f"names: the format of {{{name}}} is wider than {MAX_WIDTH} characters: {spec[:50]!r}")


def _to_usd(value: Decimal | str | float | None) -> Decimal | None:
    return None if value is None else parse_usd("max_cost_usd", value)


def _optional_sink(_: object, field: Attribute[Sink | None], value: object) -> None:
    if value is not None and not isinstance(value, Sink):
        expected = "a sink such as ObjectSink(store) or FolderSink(path)"
        raise TypeError(f"{field.name} must be {expected}, not {type(value).__name__}")


@frozen(kw_only=True)
class BatchOptions:
    """Options of a batch; `Ideogram.batch` documents them."""

    max_cost_usd: Decimal | None = field(converter=_to_usd)
    max_downloads: int = field(validator=at_least(1, whole=True))
    retry_ambiguous: bool
    retry_rejected: bool
    accept_loss: bool
    names: FileNames = field(converter=FileNames)
    ordered: bool
    sidecars: bool
    grace: float = field(validator=at_least(0))
    max_uncollected: int | None = field(validator=optional(at_least(1, whole=True)))
    accept: Acceptance = field(converter=Acceptance)
    sink: Sink | None = field(default=None, validator=_optional_sink)
