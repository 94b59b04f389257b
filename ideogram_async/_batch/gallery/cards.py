"""Cards of the gallery: each job and its images, as JSON values for the page."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

from ideogram_async._batch.dependencies import job_references
from ideogram_async._batch.gallery.linked import LinkedImages
from ideogram_async._batch.gallery.thumbnails import THUMBNAILS, make_thumbnail, shrink
from ideogram_async._batch.job import PROBLEM_TEXTS, ImageState, JobResult, JobState, StoredImage, name_in_sink
from ideogram_async._download.atomic import remove_stale_files
from ideogram_async._rows.exported import asset_text
from ideogram_async._rows.fields import prompt_text
from ideogram_async._rows.options import row_operation
from ideogram_async.files import ImageFile, as_tuple
from ideogram_async.models.training import AssetIdentifier
from ideogram_async.v2.json_prompt import JsonPrompt

Card: TypeAlias = dict[str, object]

CHUNK = 256
"""Jobs whose thumbnails are made together; only these are in memory."""

CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

STATE_TEXTS: dict[str, str] = {
    ImageState.LINKED: "Generated and billed. The next run downloads it.",
    ImageState.WITHHELD: "The service withheld it as unsafe. Billed. A changed prompt needs a new id.",
    ImageState.EXPIRED: "The link expired before the download; billed. A job with a new id makes a new image.",
    ImageState.LOST: "Given up; counted as billed.",
    JobState.PENDING: "Not sent yet. The next run sends it.",
    JobState.SENDING: "In flight when this page was written. Write the gallery again to update it.",
    JobState.ACCEPTED: "The service has accepted it. The next run asks for its images; it is not sent again.",
    JobState.ANSWERED: "Billed. The next run downloads its images.",
    JobState.REJECTED: "Not billed. Correct it under the same id, or retry with --retry-rejected.",
    JobState.AMBIGUOUS: "Outcome unknown; it may have been billed. Resolve it as lost, retry or adopt.",
}
RESENT = "An earlier attempt may have run and may have been billed."
IN_SINK = "Stored at {}. To show it, write the gallery with sink=."
MISSING = "The file is missing. It can be downloaded again while its link is valid."
NO_IMAGE = "The answer contained no image."


def iter_cards(results: Iterable[JobResult], folder: Path, linked: LinkedImages | None = None) -> Iterator[Card]:
    """Yield the card of each job in order, after writing the thumbnails of its images. Blocks; uses all processors."""
    (folder / THUMBNAILS).mkdir(exist_ok=True)
    remove_stale_files(folder / THUMBNAILS)
    source = iter(results)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), thread_name_prefix="ideogram_async thumbnails") as pool:
        while chunk := list(islice(source, CHUNK)):
            yield from pool.map(partial(_make_card, folder=folder, linked=linked), chunk)


def _make_card(result: JobResult, folder: Path, linked: LinkedImages | None) -> Card:
    operation, _ = row_operation(type(result.request), vars(result.request))
    card = {
        "id": result.id,
        "key": result.key,
        "operation": operation if ":" in operation else operation.replace("-", " "),
        "price": None if result.cost_usd is None else str(result.cost_usd),
        "prompt": prompt_text(result.request),
        "seed": getattr(result.request, "seed", None),
        "settings": dict(_settings(result)),
        "carried": dict(result.carried),
        "source": _source(result, folder),
        "images": [_image(result, image, number, folder, linked) for number, image in enumerate(result.images)],
    }
    if not result.images:
        card |= {"state": result.state, "text": _explanation(result, None), "error": _reason(result)}

    return {name: _printable(value) for name, value in card.items() if value not in (None, "", [], {})}


def _image(result: JobResult, image: StoredImage, number: int, folder: Path, linked: LinkedImages | None) -> Card:
    card: dict[str, object] = {
        "state": image.state,
        "seed": image.seed,
        "resolution": image.resolution,
        "prompt": None if image.prompt == str(getattr(result.request, "prompt", "")) else image.prompt,
    }
    status, thumbnail = _status(image), f"{result.key}-{number}"
    if (name := name_in_sink(image)) is not None:
        card |= {"uri": image.uri, "bytes": image.size}
        card |= {"text": IN_SINK.format(image.uri)} if linked is None else _linked(name, linked, thumbnail, folder)
    elif image.path is None or status is None:
        card["text"] = _explanation(result, image)
    else:
        sidecar = image.path.with_name(f"{image.path.name}.json")
        card |= {
            "file": _relative_link(image.path, folder),
            "thumbnail": make_thumbnail(image.path, thumbnail, folder),
            "bytes": status.st_size,
            "modified": int(status.st_mtime),
            "sidecar": _relative_link(sidecar, folder) if sidecar.is_file() else None,
        }

    return {name: _printable(value) for name, value in card.items() if value not in (None, "")}


def _linked(name: str, linked: LinkedImages, thumbnail: str, folder: Path) -> Card:
    return {
        "link": linked.link(name),
        "thumbnail": shrink(lambda: BytesIO(linked.read(name)), thumbnail, folder),
    }


def _status(image: StoredImage) -> os.stat_result | None:
    """Return the status of the file of a stored image, or `None` if it is missing."""
    try:
        return image.path.stat() if image.path is not None and image.state is ImageState.STORED else None
    except OSError:
        return None


def _explanation(result: JobResult, image: StoredImage | None) -> str:
    if image is not None and image.state is ImageState.STORED:
        return MISSING

    state = result.state if image is None else image.state
    text = STATE_TEXTS.get(state, NO_IMAGE)
    if image is not None and image.problem is not None and state == ImageState.LINKED:
        return f"{text} The last attempt failed: {PROBLEM_TEXTS[image.problem]}."

    is_resent = state in (JobState.PENDING, JobState.REJECTED) and result.cost_usd != 0
    return f"{RESENT} {text.partition('. ')[2]}" if is_resent else text


def _reason(result: JobResult) -> str:
    return "" if result.error is None else str(result.error).strip().removeprefix(f"{result.request.endpoint}: ")


def _settings(result: JobResult) -> Iterator[tuple[str, str]]:
    """Yield the fields of a request that are text, numbers or JSON, and the names of its files."""
    prompt = getattr(result.request, "prompt", None)
    if isinstance(prompt, JsonPrompt):
        yield "structured_prompt", str(prompt)

    for name, value in vars(result.request).items():
        texts = [_setting(item) for item in as_tuple(value)]
        if name not in ("prompt", "seed") and any(texts):
            yield name, ", ".join(filter(None, texts))


def _setting(value: object) -> str | None:
    if isinstance(value, ImageFile):
        return value.name or (None if value.path is None else value.path.name)

    if isinstance(value, AssetIdentifier):
        return asset_text(str(value.asset_type), value.asset_id, value.collection_id)

    if isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False, default=str) if value else None

    return str(value) if isinstance(value, str | int | float) else None


def _source(result: JobResult, folder: Path) -> object:
    """Return the image of the folder that a job changes: `[job, index]`, or the file relative to the page."""
    for _, source in job_references(result.request):
        return [source.id, source.index]

    for value in vars(result.request).values():
        path = value.path if isinstance(value, ImageFile) else None
        if path is not None and path.absolute().parent == folder.absolute():
            return _relative_link(path.absolute(), folder.absolute())

    return ""


def _printable(value: object) -> object:
    """Replace the control characters of every text of a JSON value."""
    match value:
        case str():
            return CONTROL.sub("\N{REPLACEMENT CHARACTER}", value)
        case dict():
            return {_printable(name): _printable(item) for name, item in value.items()}
        case list():
            return list(map(_printable, value))
        case _:
            return value


def _relative_link(path: Path, folder: Path) -> str:
    # A browser must not read a name such as `javascript:…` as a URL scheme.
    return f"./{quote(path.relative_to(folder).as_posix())}"
