"""The page: everything in one file but the images, and nothing in it that could ask the network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from ideogram_async.batch.atomic import clear_away, replacing
from ideogram_async.batch.job import JobResult, JobState
from ideogram_async.batch.report import Report
from ideogram_async.gallery.cards import Card, cards_of

if TYPE_CHECKING:
    from jinja2 import Template

__all__ = ["NAME", "write_page"]

NAME = "gallery.html"
HERE = Path(__file__).parent
MISSING = 'the gallery needs jinja2 and Pillow: pip install "ideogram-async[cli]"'


def write_page(folder: Path, report: Report, results: Iterable[JobResult]) -> Path:
    """Write the page and its thumbnails into a folder, and return the page. Blocks; memory stays flat.

    Raises:
        ImportError: If jinja2 or Pillow is missing.
        OSError: If the folder cannot be written.
    """
    try:
        from ideogram_async.gallery.thumbnails import illustrated

        template = _template()
    except ModuleNotFoundError as error:
        raise ImportError(MISSING) from error

    cards = illustrated((card for result in results for card in cards_of(result, folder)), folder)
    clear_away(folder)
    with replacing(folder / NAME) as file:
        for piece in _pieces(template, folder, report, cards):
            file.write(piece.encode(errors="replace"))

    return folder / NAME


def _pieces(template: Template, folder: Path, report: Report, cards: Iterator[Card]) -> Iterator[str]:
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    return template.generate(
        title=folder.resolve().name or "gallery",
        summary=list(_summary(report)),
        made_at=datetime.now(UTC),
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        cards=cards,
    )


def _template() -> Template:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


def _summary(report: Report) -> Iterator[str]:
    yield _counted(report.jobs, "job")
    yield f"{_counted(report.images_stored, 'image')} stored"
    if report.images_withheld:
        yield f"{report.images_withheld:,} withheld"

    if report.images_lost:
        yield f"{report.images_lost:,} lost"

    for state in (JobState.REJECTED, JobState.AMBIGUOUS, JobState.PENDING, JobState.SENDING):
        if count := report.by_state.get(state):
            yield f"{count:,} {state}"

    yield f"{report.spent_usd} USD spent"
    if report.in_doubt_usd:
        yield f"{report.in_doubt_usd} USD in doubt"


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def _hash(content: str) -> str:
    """Return what a page's policy names an inline block by: no other script and no other style runs."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
