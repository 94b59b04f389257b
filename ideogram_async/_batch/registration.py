"""Registration of jobs in the journal: plain functions of the connection."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from attrs import evolve, frozen

from ideogram_async._batch.costs import MAYBE_BILLED, NOT_BILLED
from ideogram_async._batch.identity import job_key
from ideogram_async._batch.job import ImageState, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.rows import ImageRow, JobRow
from ideogram_async._download.held import HeldFolder
from ideogram_async._operations import Request
from ideogram_async.errors import InvalidRequestError


@frozen(slots=False)
class RegisteredJob:
    """A job that the journal records, or an invalid one, which is never recorded."""

    row: JobRow
    request: Request[object]
    index: int
    """Position in the input."""
    images: Sequence[ImageRow] = ()
    """Images of an earlier run, or of the same job earlier in the input."""
    problem: InvalidRequestError | None = None
    is_repeat: bool = False
    """Whether the same job came earlier in this run."""


def register_jobs(
    database: sqlite3.Connection, drafts: Sequence[RegisteredJob], folder: HeldFolder, *, retry_rejected: bool
) -> tuple[list[RegisteredJob], str | None]:
    """Find jobs in the journal, or add them as pending. Stop before a job whose id is used by a different request.

    Number jobs without an id: the n-th job with the same content gets its own key. The counts are per run,
    in a temporary table: a few bytes per job. An invalid draft is returned unchanged.

    Returns:
        The jobs, and the conflict of the next one if there is one.
    """
    valid = [draft.row for draft in drafts if draft.problem is None]
    occurrences = queries.count_occurrences(database, [row.key for row in valid])
    numbered = list(map(_with_occurrence, valid, occurrences))
    known = queries.find_jobs(database, [row.key for row in numbered])
    sent_keys = [row.key for row in known.values() if row.state is not JobState.PENDING]
    images = images_on_disk(database, sent_keys, folder)
    remaining = zip(numbered, occurrences, strict=True)
    registered: list[RegisteredJob] = []
    for draft in drafts:
        if draft.problem is not None:
            registered.append(draft)
            continue

        new, occurrence = next(remaining)
        row = known.get(new.key)
        if row is None:
            row = queries.append_job(database, new)
        elif not occurrence:
            row = _renewed(database, row, new, retry_rejected=retry_rejected)

        if new.carried and new.carried != row.carried and not (occurrence and row.id is not None):
            row = queries.change_carried(database, row, new.carried)

        known[new.key] = row
        if row.fingerprint != new.fingerprint:
            return registered, _conflict(row, is_repeat=occurrence > 0)

        is_repeat = occurrence > 0 and row.id is not None
        registered.append(RegisteredJob(row, draft.request, draft.index, images.get(row.key, []), is_repeat=is_repeat))

    return registered, None


def reload_job(database: sqlite3.Connection, job: RegisteredJob, folder: HeldFolder) -> RegisteredJob:
    """Return a job with its current row and images. One that is still SENDING is ambiguous."""
    row = queries.find_job(database, key=job.row.key) or job.row
    images = images_on_disk(database, [row.key], folder)[row.key]
    if row.state is JobState.SENDING:
        row = evolve(row, state=JobState.AMBIGUOUS)

    return evolve(job, row=row, images=images, is_repeat=True)


def images_on_disk(database: sqlite3.Connection, keys: Sequence[str], folder: HeldFolder) -> dict[str, list[ImageRow]]:
    """Return the images of jobs by key. A stored image whose file was deleted is linked again, if it has a link."""
    by_job = queries.images_by_job(database, keys)
    for images in by_job.values():
        for position, image in enumerate(images):
            is_local = image.state is ImageState.STORED and image.uri is None
            if is_local and image.url and not folder.contains(image.path or ""):
                images[position] = evolve(image, state=ImageState.LINKED, path=None, sha256=None, size=None)
                queries.change_image(database, images[position], ImageState.STORED)

    return by_job


def _with_occurrence(row: JobRow, occurrence: int) -> JobRow:
    if not occurrence or row.id is not None:
        return row

    return evolve(row, key=job_key(row.fingerprint, id=None, occurrence=occurrence))


def _renewed(database: sqlite3.Connection, row: JobRow, draft: JobRow, *, retry_rejected: bool) -> JobRow:
    """Make a job that was certainly not billed pending with the request, price and files of the input, if they changed.

    A rejected job with the same request stays rejected, unless `retry_rejected` is set.
    """
    is_same = row.fingerprint == draft.fingerprint
    if row.state is JobState.REJECTED and is_same:
        is_due = retry_rejected
    else:
        # An attempt in doubt keeps its request and its price.
        is_due = row.state in NOT_BILLED and not row.resends and not _is_equal(row, draft)

    if not is_due:
        return row

    renewed = evolve(draft, number=row.number, usd=row.usd if row.resends else draft.usd, resends=row.resends)
    queries.renew_job(database, row, renewed)
    return renewed


def _is_equal(row: JobRow, draft: JobRow) -> bool:
    return (row.request, row.usd) == (draft.request, draft.usd)


def _conflict(row: JobRow, *, is_repeat: bool) -> str:
    """Return why a job cannot have another request."""
    reason = f"that job is {row.state}"
    if is_repeat:
        reason = "by an earlier job of the input"
    elif row.state in NOT_BILLED:
        reason += ", and an earlier attempt may have been billed"
    else:
        is_certain = row.state not in MAYBE_BILLED and row.status is not None
        reason += " and was billed" if is_certain else " and may have been billed"

    return f"the id {row.id!r} is already used by a different request: {reason}"
