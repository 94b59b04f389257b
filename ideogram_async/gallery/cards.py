"""What the page says of an image, or of a job that has none."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

from attrs import frozen

from ideogram_async.batch.job import ImageState, JobResult, JobState, StoredImage

__all__ = ["Card", "cards_of"]

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
