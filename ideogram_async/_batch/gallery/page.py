"""Page of the gallery: its template with style and scripts inlined, and the cards as JSON."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from ideogram_async._batch.gallery.cards import iter_cards
from ideogram_async._batch.gallery.linked import LinkedImages, open_sink
from ideogram_async._batch.job import JobResult, JobState
from ideogram_async._batch.report import Report
from ideogram_async._download.atomic import atomic_write, remove_stale_files
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async._sinks.sink import Sink

PAGE_NAME = "gallery.html"
SOURCES = Path(__file__).parent
SCRIPTS = ("data.js", "picks.js", "grid.js", "viewer.js", "page.js")
"""Inlined in this order as one script."""


def write_page(
    folder: Path, report: Report, results: Iterable[JobResult], sink: Sink | None = None, *, lifetime: float = 0.0
) -> Path:
    """Write the page and its thumbnails into a folder and return the page. Blocks; memory stays flat.

    Args:
        folder: The folder of the batch.
        report: Its report.
        results: Its jobs.
        sink: The sink of its images, to link them.
        lifetime: Lifetime of the links in seconds.

    Raises:
        OSError: If the folder cannot be written, or the sink cannot be read.
        ValueError: If the lifetime is out of range.
    """
    template = _load_template()
    remove_stale_files(folder)
    with open_sink(sink, lifetime) as linked, atomic_write(folder / PAGE_NAME) as file:
        cards = iter_cards(results, folder, linked)
        for part in _render(template, folder, report, cards, linked):
            file.write(part.encode(errors="replace"))

    return folder / PAGE_NAME


def _load_template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(SOURCES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The filter `tojson` escapes `<`, `>` and `&`, so that no text ends the script element.
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    return environment.get_template("page.html")


def _render(
    template: Template,
    folder: Path,
    report: Report,
    cards: Iterator[Mapping[str, object]],
    linked: LinkedImages | None,
) -> Iterator[str]:
    style = _source("page.css")
    script = "\n".join(map(_source, SCRIPTS))
    return template.generate(
        title=folder.resolve().name or "gallery",
        summary=list(_summary(report)),
        created_at=datetime.now(UTC),
        style=style,
        script=script,
        style_hash=_policy_hash(style),
        script_hash=_policy_hash(script),
        cards=cards,
        linked=linked,
    )


def _source(name: str) -> str:
    return (SOURCES / name).read_text(encoding="utf-8")


def _summary(report: Report) -> Iterator[str]:
    yield pluralize(report.jobs, "job")
    yield f"{pluralize(report.images_stored, 'image')} stored"
    if report.images_withheld:
        yield f"{report.images_withheld:,} withheld"

    if report.images_linked:
        yield f"{report.images_linked:,} to be downloaded"

    if report.images_lost:
        yield f"{report.images_lost:,} lost"

    for state in (JobState.REJECTED, JobState.AMBIGUOUS, JobState.ACCEPTED, JobState.PENDING, JobState.SENDING):
        if count := report.by_state.get(state):
            yield f"{count:,} {state}"

    yield f"{format_usd(report.spent_usd)} spent"
    if report.in_doubt_usd:
        yield f"{format_usd(report.in_doubt_usd)} in doubt"


def _policy_hash(content: str) -> str:
    """Return the source expression that allows an inline block in the content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"
