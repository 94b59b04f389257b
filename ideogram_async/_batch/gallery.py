"""Gallery of a batch folder: one static page that needs no network and no server.

Needs jinja2 and Pillow: `pip install "ideogram-async[cli]"`.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

import attrs
from attrs import frozen

from ideogram_async._batch.job import ImageState, JobResult, JobState, StoredImage
from ideogram_async._batch.report import Report
from ideogram_async._download.atomic import atomic_write, remove_stale_files

try:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
    from PIL import Image, ImageOps
except ModuleNotFoundError as error:
    raise ImportError('the gallery needs jinja2 and Pillow: pip install "ideogram-async[cli]"') from error

T = TypeVar("T")
PAGE_NAME = "gallery.html"
SOURCES = Path(__file__).parent
THUMBNAILS = "thumbnails"
THUMBNAIL_SIZE = 320
"""Maximum width and height in pixels."""

THUMBNAIL_CHUNK = 256
"""Cards whose thumbnails are made together; only these are in memory."""

FORMATS = ("JPEG", "PNG", "WEBP")
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

STATE_TEXTS: dict[str, str] = {
    ImageState.LINKED: "Generated and billed. The next run downloads it.",
    ImageState.WITHHELD: "Withheld by the service as unsafe; billed.",
    ImageState.EXPIRED: "The link expired before the download.",
    ImageState.LOST: "No longer available; counted as billed.",
    ImageState.CORRUPT: "The link does not return a complete image.",
    ImageState.TOO_LARGE: "Larger than the configured limit.",
    ImageState.REFUSED: "The link points to a host that is not allowed.",
    ImageState.CONFLICT: "A different file with the same name exists.",
    JobState.PENDING: "Not sent yet.",
    JobState.SENDING: "In flight when this page was written.",
    JobState.ANSWERED: "Billed. The next run downloads its images.",
    JobState.REJECTED: "Rejected. Not billed.",
    JobState.AMBIGUOUS: "Outcome unknown; it may have been billed. See: ideogram-async batch resolve",
}

RESENT = "An earlier attempt may have run and may have been billed."
MISSING = "The file is missing or cannot be shown."


@frozen(kw_only=True)
class Card:
    """An image of a job, or a job without images."""

    job: str
    state: str
    operation: str
    prompt: str
    explanation: str
    """The meaning of the state, shown if there is no picture."""
    reason: str
    """The error, if known."""
    image: StoredImage | None
    key: str
    number: int
    seed: str
    resolution: str
    price: str
    href: str | None
    """The image, relative to the page."""
    sidecar: str | None
    thumbnail: str | None = None


def write_page(folder: Path, report: Report, results: Iterable[JobResult]) -> Path:
    """Write the page and its thumbnails into a folder and return the page. Blocks; memory stays flat.

    Raises:
        OSError: If the folder cannot be written.
    """
    template = _load_template()
    cards = with_thumbnails((card for result in results for card in make_cards(result, folder)), folder)
    remove_stale_files(folder)
    with atomic_write(folder / PAGE_NAME) as file:
        for part in _render(template, folder, report, cards):
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
    return environment.get_template("gallery.html")


def _render(template: Template, folder: Path, report: Report, cards: Iterator[Card]) -> Iterator[str]:
    style, script = ((SOURCES / name).read_text(encoding="utf-8") for name in ("gallery.css", "gallery.js"))
    return template.generate(
        title=folder.resolve().name or "gallery",
        summary=list(_summary(report)),
        created_at=datetime.now(UTC),
        style=style,
        script=script,
        style_hash=_policy_hash(style),
        script_hash=_policy_hash(script),
        cards=cards,
    )


def _summary(report: Report) -> Iterator[str]:
    yield _pluralize(report.jobs, "job")
    yield f"{_pluralize(report.images_stored, 'image')} stored"
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


def _pluralize(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def _policy_hash(content: str) -> str:
    """Return the source expression that allows an inline block in the content security policy."""
    return f"sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}"


def make_cards(result: JobResult, folder: Path) -> Iterator[Card]:
    """Yield the cards of a job: one for each image, or one that explains why there is none."""
    for number, image in enumerate(result.images or (None,)):
        yield _make_card(result, image, number, folder)


def _make_card(result: JobResult, image: StoredImage | None, number: int, folder: Path) -> Card:
    state = result.state if image is None else image.state
    path = None if image is None or image.state is not ImageState.STORED else image.path
    seed = image.seed if image is not None else getattr(result.request, "seed", None)
    return Card(
        job=_replace_control(result.id),
        state=str(state),
        operation=_operation(result),
        prompt=_replace_control((image and image.prompt) or getattr(result.request, "prompt", None) or ""),
        explanation=_explanation(result, state),
        reason="" if image is not None else _replace_control(_reason(result)),
        image=image,
        key=result.key,
        number=number,
        seed="" if seed is None else str(seed),
        resolution=_replace_control((image and image.resolution) or ""),
        price=_price(result),
        href=None if path is None else _relative_link(path, folder),
        sidecar=None if path is None else _sidecar_link(path, folder),
    )


def _replace_control(text: str) -> str:
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def _operation(result: JobResult) -> str:
    """Return `remove background` for `RemoveBackground`."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(result.request).__name__).lower()


def _explanation(result: JobResult, state: str) -> str:
    text = STATE_TEXTS.get(state, MISSING)
    is_resent = state in (JobState.PENDING, JobState.REJECTED) and result.cost_usd != 0
    return f"{text.split('.')[0]}. {RESENT}" if is_resent else text


def _reason(result: JobResult) -> str:
    return "" if result.error is None else str(result.error).strip().removeprefix(f"{result.request.endpoint}: ")


def _price(result: JobResult) -> str:
    if result.cost_usd is None:
        return "unknown price"

    return f"{result.cost_usd} USD" + (f" for {len(result.images)}" if len(result.images) > 1 else "")


def _relative_link(path: Path, folder: Path) -> str:
    # A browser must not read a name such as `javascript:…` as a URL scheme.
    return f"./{quote(path.relative_to(folder).as_posix())}"


def _sidecar_link(path: Path, folder: Path) -> str | None:
    sidecar = path.with_name(f"{path.name}.json")
    return _relative_link(sidecar, folder) if sidecar.is_file() else None


def with_thumbnails(cards: Iterable[Card], folder: Path) -> Iterator[Card]:
    """Add a thumbnail to each card; missing and outdated ones are written. Blocks.

    Pillow releases the interpreter's lock while it works, so threads use all processors.
    """
    (folder / THUMBNAILS).mkdir(exist_ok=True)
    remove_stale_files(folder / THUMBNAILS)
    root = folder.resolve()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="ideogram_async thumbnails") as pool:
        for chunk in _chunks(cards, THUMBNAIL_CHUNK):
            yield from list(pool.map(lambda card: _with_thumbnail(card, folder, root), chunk))


def _chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    source = iter(items)
    while chunk := list(islice(source, size)):
        yield chunk


def _with_thumbnail(card: Card, folder: Path, root: Path) -> Card:
    path = None if card.href is None or card.image is None else card.image.path
    # The key becomes a file name: a manipulated journal must not choose its folder.
    if path is None or not re.fullmatch(r"\w{1,64}", card.key) or not path.resolve().is_relative_to(root):
        return card

    name = f"{THUMBNAILS}/{card.key}-{card.number}.webp"
    if _write_thumbnail(path, folder / name):
        return attrs.evolve(card, thumbnail=f"./{name}")

    return card if path.is_file() else attrs.evolve(card, href=None)


def _write_thumbnail(image: Path, target: Path) -> bool:
    """Write a thumbnail unless it is up to date. Return `False` if the image cannot be shown."""
    try:
        modified_at = image.stat().st_mtime_ns
        if target.exists() and target.stat().st_mtime_ns >= modified_at:
            return True

        thumbnail = _shrink(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return False

    with atomic_write(target) as file:
        thumbnail.save(file, "WEBP", quality=80, method=2)

    return True


def _shrink(path: Path) -> Image.Image:
    with Image.open(path, formats=FORMATS) as image:
        # A JPEG is decoded at a fraction of its size if that is enough.
        image.draft("RGB", (2 * THUMBNAIL_SIZE, 2 * THUMBNAIL_SIZE))
        image.thumbnail((THUMBNAIL_SIZE, THUMBNAIL_SIZE), reducing_gap=2.0)
        upright = ImageOps.exif_transpose(image)
        return upright.convert("RGBA" if upright.has_transparency_data else "RGB")
