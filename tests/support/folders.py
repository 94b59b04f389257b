"""Batch folders that are written without running a batch."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

from ideogram_async import Generate
from ideogram_async._batch.inputs import InputStore
from ideogram_async._batch.job import ImageState, JobState
from ideogram_async._batch.journal import meta, queries
from ideogram_async._batch.journal.opening import open_journal
from ideogram_async._batch.journal.rows import ImageRow, JobRow
from ideogram_async._batch.report import InputSize
from ideogram_async._ledger.serialization import serialize
from ideogram_async._operations import Request
from support.pictures import picture

__all__ = ["image", "job", "journal_path", "write_folder", "write_pictures"]


def job(number: int, state: JobState = JobState.DONE, request: Request[Any] | None = None, **changes: Any) -> JobRow:
    """Return a job named `row-<number>` that costs six cents."""
    request = Generate(f"fox {number}", seed=number) if request is None else request
    defaults = {
        "key": f"key{number}",
        "number": number,
        "id": f"row-{number}",
        "operation": str(request.endpoint),
        "request": serialize(request, InputStore(Path("nowhere"))),
        "fingerprint": "f",
        "weight": getattr(request, "num_images", None) or 1,
        "usd": Decimal("0.06"),
        "state": state,
    }
    return JobRow(**defaults | changes)


def image(owner: JobRow, index: int = 0, state: ImageState = ImageState.STORED, **changes: Any) -> ImageRow:
    """Return an image of a job."""
    defaults = {
        "url": f"https://ideogram.ai/{owner.key}.png?exp=9&sig=secret",
        "seed": 7,
        "prompt": f"a fox of job {owner.number}",
        "resolution": "1024x1024",
        "path": f"row-{owner.number}-{index}.png" if state is ImageState.STORED else None,
        "sha256": "0" * 64 if state is ImageState.STORED else None,
        "size": 9 if state is ImageState.STORED else None,
    }
    return ImageRow(key=owner.key, number=index, state=state, **defaults | changes)


def journal_path(folder: Path) -> Path:
    """Return the path of a folder's journal."""
    return folder / ".ideogram" / "journal.sqlite3"


def write_folder(
    folder: Path,
    jobs: Iterable[JobRow],
    images: Iterable[ImageRow] = (),
    *,
    origin: str = "sandbox",
    size: InputSize | None = None,
) -> Path:
    """Write the journal of a folder, and the size of its input if it is given."""
    journal_path(folder).parent.mkdir(parents=True, exist_ok=True)
    with closing(open_journal(journal_path(folder), origin)) as database:
        database.execute("BEGIN")
        queries.insert_jobs(database, jobs)
        queries.insert_images(database, images)
        if size is not None:
            meta.write_input(database, size)

        database.execute("COMMIT")

    return folder


def write_pictures(folder: Path, images: Iterable[ImageRow]) -> Path:
    """Write a picture to the path of each stored image."""
    for row in images:
        if row.path is not None:
            (folder / row.path).write_bytes(picture(size=(640, 400)))

    return folder
