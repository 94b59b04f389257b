"""Jobs are noted in the journal before they are anybody's business."""

from __future__ import annotations

import os
import sqlite3
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import attrs
from attrs import evolve, frozen

from ideogram_async._batch.identity import fingerprint_of, key_of, pack, unpack
from ideogram_async._batch.inputs import Inputs
from ideogram_async._batch.job import ImageState, Job, JobState
from ideogram_async._batch.journal import queries
from ideogram_async._batch.journal.queries import JOB, ImageRow, JobRow, read_job, values_of
from ideogram_async._batch.source import Jobs, Source
from ideogram_async._batch.workspace import Office
from ideogram_async._operations import Request
from ideogram_async._pipeline.pipeline import Transport
from ideogram_async._pipeline.uploads import OpenLink, has_files, spool_uploads
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.encode import weight_of
from ideogram_async.errors import InvalidRequestError, JobConflictError
from ideogram_async.files import FromJob, ImageFile, as_tuple, is_one_shot

R = TypeVar("R", bound=Request[Any])


@frozen(slots=False)
class _Single:
    """One file, in the shape of a request."""

    file: ImageFile


@frozen
class Keeper:
    """Copies open handles, async readers and the images of earlier answers."""

    inputs: Inputs
    open_link: OpenLink
    max_bytes: int

    async def keep(self, request: R) -> R:
        """Return the request with the copies in the place of what can be read once only.

        Raises:
            InvalidRequestError: If a source cannot be read, or is too large.
            OSError: If the folder cannot be written.
        """
        changes: dict[str, Any] = {}
        for field in attrs.fields(cast(Any, type(request))):
            value = getattr(request, field.name)
            if any(map(_has_to_be_copied, as_tuple(value))):
                kept = tuple([await self._kept(field.name, item) for item in as_tuple(value)])
                changes[field.name] = kept if isinstance(value, tuple) else kept[0]

        return cast(R, attrs.evolve(cast(Any, request), **changes)) if changes else request

    async def _kept(self, field: str, file: ImageFile) -> ImageFile:
        if not _has_to_be_copied(file):
            return file

        try:
            async with spool_uploads(cast(Any, _Single(file)), self.open_link, max_bytes=self.max_bytes) as copied:
                return await in_thread(partial(self.inputs.adopt, copied.file))
        except InvalidRequestError as error:
            raise InvalidRequestError([(field, rule) for _, rule in error.problems]) from None


def has_one_shot_files(request: Request[Any]) -> bool:
    """Say whether a request has a source that would be used up by reading it."""
    return any(map(_has_to_be_copied, _values(request)))


def _values(request: Request[Any]) -> list[Any]:
    values = (getattr(request, field.name) for field in attrs.fields(cast(Any, type(request))))
    return [item for value in values for item in as_tuple(value)]


def _has_to_be_copied(value: Any) -> bool:
    return is_one_shot(value) and not isinstance(value.source, FromJob)


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
    found = queries.images_of_all(database, [job.key for job in jobs])
    for images in found.values():
        for number, image in enumerate(images):
            # Not a `Path`, which takes twice as long: there may be very many.
            if image.state is ImageState.STORED and image.url and not os.access(f"{folder}/{image.path}", os.F_OK):
                images[number] = evolve(image, state=ImageState.LINKED, path=None, sha256=None, size=None)
                queries.store(database, images[number], ImageState.STORED)

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
    queries.add(database, [added])
    return added


def _priced(database: sqlite3.Connection, row: JobRow, draft: JobRow) -> JobRow:
    """Bring the price up to date: what was never sent costs what it costs today."""
    if row.state is not JobState.PENDING or row.usd == draft.usd or row.fingerprint != draft.fingerprint:
        return row

    database.execute("UPDATE job SET usd = ? WHERE key = ?", (*values_of(draft, "usd"), row.key))
    return evolve(row, usd=draft.usd)


class Feed:
    """Notes jobs in the journal, and finds those that it knows already."""

    def __init__(self, office: Office, prices: PriceTable, transport: Transport) -> None:
        self._office = office
        self._prices = prices
        self._transport = transport
        self._keeper = Keeper(office.inputs, transport.downloads.stream, transport.config.max_upload_bytes)

    async def note(self, jobs: list[Job], index: int) -> list[Noted]:
        """Find jobs in the journal, or add them as pending. One that breaks rules is not added.

        Returns:
            The jobs up to one whose id stands for another request, which is left out.

        Raises:
            OSError: If the folder cannot be written.
        """
        drafts = [await self._draft(job, index + number) for number, job in enumerate(jobs)]
        if all(draft.problem is not None for draft in drafts):
            return drafts

        return await self._office.journal.run(partial(note, drafts=drafts, folder=self._office.folder))

    async def check(self, request: Request[Any]) -> None:
        """Ask the rules of the service, in a thread, for they look into files.

        Raises:
            InvalidRequestError: If one is broken.
        """
        await in_thread(partial(self._check, request))

    def recall(self, row: JobRow, index: int, images: Sequence[ImageRow] = ()) -> Noted:
        """Take up a job of an earlier run."""
        return Noted(row, unpack(row.request, self._office.inputs), index, images)

    async def images_of(self, row: JobRow) -> list[ImageRow]:
        """List a job's images; those whose files are gone are to be collected again."""
        step = partial(images_to_have, jobs=[row], folder=self._office.folder)
        return (await self._office.journal.run(step))[row.key]

    async def look_again(self, noted: Noted) -> Noted:
        """See what has become of a job that came before in this run."""
        row = await self._office.journal.run(partial(queries.find, key=noted.row.key)) or noted.row
        return evolve(noted, row=row, images=await self.images_of(row), is_repeat=True)

    async def _draft(self, job: Job, index: int) -> Noted:
        try:
            if has_files(job.request):
                return await self._draft_with_files(job, index)

            self._check(job.request)
            return Noted(self._row(job, job.request, index), job.request, index)
        except InvalidRequestError as error:
            return _refused(job, index, error)
        except UnicodeEncodeError:
            # A lone half of a character has no form in which it could be kept or sent.
            problem = InvalidRequestError([("request", "holds text that cannot be encoded")], subject="job")
            return _refused(job, index, problem)

    async def _draft_with_files(self, job: Job, index: int) -> Noted:
        await self.check(job.request)
        request = await self._keeper.keep(job.request)
        if request is not job.request:
            await self.check(request)

        return Noted(await in_thread(partial(self._row, job, request, index)), request, index)

    def _check(self, request: Request[Any]) -> None:
        problems = request.problems(
            max_upload_bytes=self._transport.config.max_upload_bytes,
            loopback=self._transport.config.hosts.loopback,
            validate=self._transport.options.validate,
        )
        if problems:
            raise InvalidRequestError(problems, subject=type(request).__name__)

    def _row(self, job: Job, request: Request[Any], index: int) -> JobRow:
        packed = pack(request, self._office.inputs)
        fingerprint = fingerprint_of(packed)
        return JobRow(
            key=key_of(fingerprint, id=job.id, occurrence=0),
            number=index,
            id=job.id,
            operation=str(request.endpoint),
            request=packed,
            fingerprint=fingerprint,
            weight=weight_of(request),
            usd=self._prices.estimate(request).usd,
            state=JobState.PENDING,
        )


def _refused(job: Job, index: int, error: InvalidRequestError) -> Noted:
    name = f"refused {index} {job.id!a}"
    row = JobRow(
        key=key_of(name, id=None, occurrence=0),
        number=index,
        id=job.id,
        operation=str(job.request.endpoint),
        request="{}",
        fingerprint="",
        weight=0,
        usd=None,
        state=JobState.PENDING,
    )
    return Noted(row, job.request, index, problem=error)


class Supply(Protocol):
    """Where a batch has its jobs from."""

    async def take(self, most: int) -> list[Noted]:
        """Wait for a job, and return what has come; nothing at the end."""
        ...

    async def aclose(self) -> None:
        """Pull no more."""
        ...


class Fresh:
    """What the caller gives."""

    def __init__(self, office: Office, feed: Feed, jobs: Jobs) -> None:
        self._office = office
        self._feed = feed
        self._source = Source(jobs)
        self._pulled: deque[Job] = deque()
        self._index = 0
        self._conflict: JobConflictError | None = None

    async def take(self, most: int) -> list[Noted]:
        """Wait for a job, and return what has come; nothing at the end.

        Raises:
            JobConflictError: If an id stands for another request, once those before it are taken.
        """
        if not self._pulled and self._conflict is None:
            self._pulled += await self._source.take(most)

        group = self._group(most)
        noted = await self._feed.note(group, self._index) if self._conflict is None else []
        self._index += len(noted)
        if len(noted) < len(group):
            # Told when those before it are on their way.
            words = f"the id {group[len(noted)].id!r} stands for another request in {self._office.folder}"
            self._conflict = JobConflictError(words)
            self._pulled.clear()

        if self._conflict is not None and not noted:
            raise self._conflict

        return noted

    async def aclose(self) -> None:
        """Pull no more."""
        await self._source.aclose()

    def _group(self, most: int) -> list[Job]:
        """Take those that are quick to note; one with files may take its time, and is noted alone."""
        group: list[Job] = []
        while self._pulled and len(group) < most:
            if has_files(self._pulled[0].request):
                return group or [self._pulled.popleft()]

            group.append(self._pulled.popleft())

        return group


class Left:
    """What earlier runs have left to be sent."""

    def __init__(self, office: Office, feed: Feed) -> None:
        self._office = office
        self._feed = feed
        self._index = 0
        self._after = -1

    async def take(self, most: int) -> list[Noted]:
        """Return the next jobs; nothing at the end."""
        states = (JobState.PENDING, JobState.AMBIGUOUS)
        found = await self._office.journal.run(partial(queries.next_in, states=states, after=self._after, size=most))
        noted = [self._feed.recall(row, self._index + number) for number, row in enumerate(found)]
        self._index += len(noted)
        self._after = found[-1].number if found else self._after
        return noted

    async def aclose(self) -> None:
        """There is nothing to close."""
