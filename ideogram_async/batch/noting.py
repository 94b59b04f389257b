"""How jobs get into the journal: found there, or added, a group in one step."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from ideogram_async.batch import rows
from ideogram_async.batch.identity import key_of
from ideogram_async.batch.job import ImageState, JobState
from ideogram_async.batch.records import JOB, ImageRow, JobRow, read_job, values_of
from ideogram_async.endpoint import Request
from ideogram_async.errors import InvalidRequestError

__all__ = ["Noted", "images_to_have", "note"]


@frozen(slots=False)
class Noted:
    """A job that the journal knows, or is about to; or one that breaks rules, which it never learns of."""

    row: JobRow
    request: Request[Any]
    index: int
    """Its place in the input."""
    images: Sequence[ImageRow] = ()
    """What an earlier run, or the same job before, has left."""
    problem: InvalidRequestError | None = None
    is_repeat: bool = False
    """Whether the same job came before in this run."""


def note(database: sqlite3.Connection, drafts: Sequence[Noted], folder: Path) -> list[Noted]:
    """Find jobs, or add them as pending. Ends before a job whose id stands for another request.

    What has no id is told from its likes by how often its content came before. The counts are this run's, and live in
    the connection: some bytes for each job. A draft that breaks rules is handed back as it is.
    """
    sound = [draft.row for draft in drafts if draft.problem is None]
    times = _count(database, [row.key for row in sound])
    meant = list(map(_meant, sound, times))
    known = _find_all(database, [row.key for row in meant])
    images = images_to_have(database, [row for row in known.values() if row.state is not JobState.PENDING], folder)
    each = zip(meant, times, strict=True)
    noted: list[Noted] = []
    for draft in drafts:
        if draft.problem is not None:
            noted.append(draft)
            continue

        wanted, before = next(each)
        row = known.get(wanted.key)
        row = known[wanted.key] = _added(database, wanted) if row is None else _priced(database, row, wanted)
        if row.fingerprint != wanted.fingerprint:
            break

        is_repeat = before > 0 and row.id is not None
        noted.append(Noted(row, draft.request, draft.index, images.get(row.key, []), is_repeat=is_repeat))

    return noted


def images_to_have(database: sqlite3.Connection, jobs: Sequence[JobRow], folder: Path) -> dict[str, list[ImageRow]]:
    """List the images of jobs. One whose file somebody has deleted is to be collected again, while its link lives."""
    found = rows.images_of_all(database, [job.key for job in jobs])
    for images in found.values():
        for number, image in enumerate(images):
            # Not a `Path`, which takes twice as long: there may be very many.
            if image.state is ImageState.STORED and image.url and not os.access(f"{folder}/{image.path}", os.F_OK):
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
