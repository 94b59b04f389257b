"""How jobs get into the journal: found there, or added, a group in one step."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from attrs import evolve, frozen

from ideogram_async.batch import rows
from ideogram_async.batch.identity import key_of
from ideogram_async.batch.job import ImageState, JobState
from ideogram_async.batch.records import JOB, ImageRow, JobRow, read_job, values_of

__all__ = ["Found", "images_to_have", "note"]


@frozen
class Found:
    """A job as the journal knows it."""

    row: JobRow
    images: list[ImageRow]
    is_repeat: bool
    """Whether the same job came before in this run."""


def note(database: sqlite3.Connection, drafts: Sequence[JobRow], folder: Path) -> list[Found]:
    """Find jobs, or add them as pending. Ends before a job whose id stands for another request.

    What has no id is told from its likes by how often its content came before. The counts are this run's, and live in
    the connection: some bytes for each job.
    """
    times = _count(database, [draft.key for draft in drafts])
    meant = [_meant(draft, before) for draft, before in zip(drafts, times, strict=True)]
    known = _find_all(database, [draft.key for draft in meant])
    images = images_to_have(database, [row for row in known.values() if row.state is not JobState.PENDING], folder)
    found: list[Found] = []
    for draft, before in zip(meant, times, strict=True):
        row = known.get(draft.key)
        row = known[draft.key] = _added(database, draft) if row is None else _priced(database, row, draft)
        if row.fingerprint != draft.fingerprint:
            break

        found.append(Found(row, images.get(row.key, []), is_repeat=before > 0 and draft.id is not None))

    return found


def images_to_have(database: sqlite3.Connection, jobs: Sequence[JobRow], folder: Path) -> dict[str, list[ImageRow]]:
    """List the images of jobs. One whose file somebody has deleted is to be collected again, while its link lives."""
    found = rows.images_of_all(database, [job.key for job in jobs])
    for images in found.values():
        for number, image in enumerate(images):
            # Not a `Path`: there may be very many.
            if image.state is ImageState.STORED and image.url and not os.path.exists(f"{folder}/{image.path}"):  # noqa: PTH110
                images[number] = evolve(image, state=ImageState.LINKED, path=None, sha256=None, size=None)
                rows.store(database, images[number], ImageState.STORED)

    return found


def _meant(draft: JobRow, before: int) -> JobRow:
    if not before or draft.id is not None:
        return draft

    return evolve(draft, key=key_of(draft.fingerprint, id=None, occurrence=before))


def _count(database: sqlite3.Connection, keys: Sequence[str]) -> list[int]:
    """Count jobs as seen, and say of each how often it was before."""
    marks = ", ".join("?" * len(keys))
    found = database.execute(f"SELECT key, times FROM seen WHERE key IN ({marks})", keys)
    seen: dict[str, int] = dict(found.fetchall())
    before: list[int] = []
    for key in keys:
        before.append(seen.get(key, 0))
        seen[key] = before[-1] + 1

    marks = ", ".join(["(?, 1)"] * len(keys))
    database.execute(f"INSERT INTO seen VALUES {marks} ON CONFLICT DO UPDATE SET times = times + 1", keys)
    return before


def _find_all(database: sqlite3.Connection, keys: Sequence[str]) -> dict[str, JobRow]:
    """Look jobs up by their keys; those that are not known are left out."""
    marks = ", ".join("?" * len(keys))
    return {row[0]: read_job(row) for row in database.execute(f"SELECT {JOB} FROM job WHERE key IN ({marks})", keys)}


def _added(database: sqlite3.Connection, draft: JobRow) -> JobRow:
    ((count,),) = database.execute("SELECT coalesce(max(number), -1) + 1 FROM job").fetchall()
    added = evolve(draft, number=count)
    rows.add(database, [added])
    return added


def _priced(database: sqlite3.Connection, row: JobRow, draft: JobRow) -> JobRow:
    """Bring the price up to date: what was never sent costs what it costs today."""
    if row.state is not JobState.PENDING or row.usd == draft.usd or row.fingerprint != draft.fingerprint:
        return row

    database.execute("UPDATE job SET usd = ? WHERE key = ?", (*values_of(draft, "usd"), row.key))
    return evolve(row, usd=draft.usd)
