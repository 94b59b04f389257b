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

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

WORDS: dict[str, str] = {
    ImageState.LINKED: "Made and paid for. The next run collects it.",
    ImageState.WITHHELD: "The service keeps it back as unsafe. It was paid for.",
    ImageState.EXPIRED: "Its link had expired before it was collected.",
    ImageState.LOST: "It is not to be had any more. It counts as paid.",
    ImageState.CORRUPT: "What the link gives is no whole image.",
    ImageState.TOO_LARGE: "It is larger than the limit that was set.",
    ImageState.REFUSED: "Its link leads where the client does not go.",
    ImageState.CONFLICT: "Another file stands at its place.",
    JobState.PENDING: "Not sent yet.",
    JobState.SENDING: "On its way when this page was made.",
    JobState.ANSWERED: "Paid for. The next run looks for its images.",
    JobState.REJECTED: "Refused. It cost nothing.",
    JobState.AMBIGUOUS: "It may have run, and may have been paid for. That is yours to decide.",
}

TWICE = "An earlier attempt may have run, and may have been paid for."

GONE = "Its file is no longer there, or cannot be shown."


@frozen(kw_only=True)
class Card:
    """An image of a job, or a job without images."""

    job: str
    state: str
    operation: str
    prompt: str
    note: str
    """What the state means; said where there is no picture."""
    why: str
    """What went wrong, where that is known."""
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


def cards_of(result: JobResult, folder: Path) -> Iterator[Card]:
    """Make a job's cards: one an image, or one that says why there is none."""
    for number, image in enumerate(result.images or (None,)):
        yield _card(result, image, number, folder)


def _card(result: JobResult, image: StoredImage | None, number: int, folder: Path) -> Card:
    state = result.state if image is None else image.state
    path = None if image is None or image.state is not ImageState.STORED else image.path
    seed = image.seed if image is not None else getattr(result.request, "seed", None)
    return Card(
        job=_plain(result.id),
        state=str(state),
        operation=_operation(result),
        prompt=_plain((image and image.prompt) or getattr(result.request, "prompt", None) or ""),
        note=_note(result, state),
        why="" if image is not None else _plain(_why(result)),
        image=image,
        key=result.key,
        number=number,
        seed="" if seed is None else str(seed),
        resolution=_plain((image and image.resolution) or ""),
        price=_price(result),
        href=None if path is None else _link(path, folder),
        sidecar=None if path is None else _sidecar(path, folder),
    )


def _why(result: JobResult) -> str:
    return "" if result.error is None else str(result.error).strip().removeprefix(f"{result.request.endpoint}: ")


def _note(result: JobResult, state: str) -> str:
    words = WORDS.get(state, GONE)
    is_twice = state in (JobState.PENDING, JobState.REJECTED) and result.cost_usd != 0
    return f"{words.split('.')[0]}. {TWICE}" if is_twice else words


def _operation(result: JobResult) -> str:
    """Write `RemoveBackground` as people do."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(result.request).__name__).lower()


def _price(result: JobResult) -> str:
    if result.cost_usd is None:
        return "price not known"

    return f"{result.cost_usd} USD" + (f" for {len(result.images)}" if len(result.images) > 1 else "")


def _link(path: Path, folder: Path) -> str:
    # The dot keeps a name like `javascript:…` from being taken for an address.
    return f"./{quote(path.relative_to(folder).as_posix())}"


def _sidecar(path: Path, folder: Path) -> str | None:
    beside = path.with_name(f"{path.name}.json")
    return _link(beside, folder) if beside.is_file() else None


def _plain(text: str) -> str:
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


NAME = "gallery.html"

HERE = Path(__file__).parent


def write_page(folder: Path, report: Report, results: Iterable[JobResult]) -> Path:
    """Write the page and its thumbnails into a folder, and return the page. Blocks; memory stays flat.

    Raises:
        ImportError: If jinja2 or Pillow is missing.
        OSError: If the folder cannot be written.
    """
    template = _template()
    cards = illustrated((card for result in results for card in cards_of(result, folder)), folder)
    remove_stale_files(folder)
    with atomic_write(folder / NAME) as file:
        for piece in _pieces(template, folder, report, cards):
            file.write(piece.encode(errors="replace"))

    return folder / NAME


def _pieces(template: Template, folder: Path, report: Report, cards: Iterator[Card]) -> Iterator[str]:
    style, script = ((HERE / name).read_text(encoding="utf-8") for name in ("gallery.css", "gallery.js"))
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
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("gallery.html")


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


T = TypeVar("T")

FOLDER = "thumbnails"

SIDE = 320

"""Pixels, at most, either way."""

CHUNK = 256

"""Images at a time: what waits for its thumbnail is in memory."""

FORMATS = ("JPEG", "PNG", "WEBP")


def illustrated(cards: Iterable[Card], folder: Path) -> Iterator[Card]:
    """Give each card its thumbnail, making those that are missing or older than their image. Blocks.

    Pillow lets go of the interpreter while it works, so threads share the processors.
    """
    (folder / FOLDER).mkdir(exist_ok=True)
    remove_stale_files(folder / FOLDER)
    root = folder.resolve()
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="ideogram_async thumbnails") as pool:
        for chunk in _chunks(cards):
            yield from list(pool.map(lambda card: _illustrated(card, folder, root), chunk))


def make(image: Path, target: Path) -> bool:
    """Make a thumbnail, unless there is one that is up to date. `False` if the image cannot be shown."""
    try:
        made_at = image.stat().st_mtime_ns
        if target.exists() and target.stat().st_mtime_ns >= made_at:
            return True

        small = _shrunk(image)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return False

    with atomic_write(target) as file:
        small.save(file, "WEBP", quality=80, method=2)

    return True


def _illustrated(card: Card, folder: Path, root: Path) -> Card:
    path = None if card.href is None or card.image is None else card.image.path
    # The key names a file here: a journal that was tampered with must not choose where.
    if path is None or not re.fullmatch(r"\w{1,64}", card.key) or not path.resolve().is_relative_to(root):
        return card

    name = f"{FOLDER}/{card.key}-{card.number}.webp"
    if make(path, folder / name):
        return attrs.evolve(card, thumbnail=f"./{name}")

    return card if path.is_file() else attrs.evolve(card, href=None)


def _shrunk(path: Path) -> Image.Image:
    with Image.open(path, formats=FORMATS) as image:
        # A JPEG is decoded at a fraction of its size where that is enough.
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        image.thumbnail((SIDE, SIDE), reducing_gap=2.0)
        upright = ImageOps.exif_transpose(image)
        return upright.convert("RGBA" if upright.has_transparency_data else "RGB")


def _chunks(items: Iterable[T]) -> Iterator[list[T]]:
    source = iter(items)
    while chunk := list(islice(source, CHUNK)):
        yield chunk
