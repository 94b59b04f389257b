"""The folder, from outside: it tells what is there, without a lock or a change, and lets doubt be settled."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
import tracemalloc
from contextlib import closing
from decimal import Decimal
from itertools import islice
from pathlib import Path

import pytest
from support.kept import image, job, journal, keep
from support.pictures import picture

from ideogram_async import (
    AmbiguousError,
    BatchError,
    BatchLockedError,
    Edit,
    Generate,
    HostRefusedError,
    Ideogram,
    ImageState,
    Job,
    JobState,
    JournalError,
    LayerizeText,
    LegacyGenerate,
    RemoveBackground,
    SafetyError,
    ServerError,
    Upscale,
)
from ideogram_async._batch.downloads import list_images
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.journal.lock import FolderLock
from ideogram_async._wire.converter import converter
from ideogram_async.sandbox import Fault, Sandbox


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Make a folder with a job of every state."""
    jobs = [
        job(0),
        job(1, JobState.PARTIAL),
        job(2, JobState.REJECTED, status=422, raw=b'{"error": "not safe"}', headers="{}"),
        job(3, JobState.AMBIGUOUS, status=502, raw=b"", headers="{}"),
        job(4, JobState.AMBIGUOUS, error="cut off", resends=1),
        job(5, JobState.PENDING, id=None),
        job(6, JobState.SENDING, usd=None),
        job(7, JobState.ANSWERED, raw=b"{}", status=200),
    ]
    images = [image(jobs[0]), image(jobs[1], state=ImageState.WITHHELD, url=None), image(jobs[1], 1)]
    return Folder(keep(tmp_path / "out", jobs, images))


def changed(folder: Folder, statement: str) -> Folder:
    with closing(sqlite3.connect(journal(folder.path), isolation_level=None)) as database:
        database.execute(statement)

    return folder


@pytest.mark.parametrize("heavy", ["aiohttp", "cattrs", "PIL", "jinja2"])
def test_the_folder_tools_load_nothing_heavy(heavy: str):
    """Importing them loads no HTTP library, and nothing that draws."""
    script = f"import sys; from ideogram_async.batch import Folder; print({heavy!r} in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False\n" == run.stdout


def test_results_come_in_order_with_what_the_journal_knows(folder: Folder):
    """Each job comes back with its request, state, images, price and error; its answer is not told again."""
    results = list(folder.results())

    assert [*(f"row-{number}" for number in range(5)), "key5", "row-6", "row-7"] == [result.id for result in results]
    assert list(range(8)) == [result.index for result in results]
    assert Generate("fox 0", seed=0) == results[0].request
    assert folder.path / "row-0-0.png" == results[0].images[0].path
    assert [ImageState.WITHHELD, ImageState.STORED] == [kept.state for kept in results[1].images]
    assert {(None, True)} == {(result.answer, result.from_journal) for result in results}
    assert [None, None, SafetyError, ServerError, AmbiguousError, None, AmbiguousError, None] == [
        result.error and type(result.error) for result in results
    ]


def test_a_price_counts_every_time_that_may_have_run(folder: Folder):
    """What was refused or never sent is free, what was sent twice may cost twice, and unknown stays unknown."""
    prices = [None if result.cost_usd is None else str(result.cost_usd) for result in folder.results()]

    assert ["0.06", "0.06", "0", "0.06", "0.12", "0", None, "0.06"] == prices


def test_the_report_is_of_all_jobs(folder: Folder):
    """Jobs, images and money are summed up over every run; what a dead process was sending is in doubt."""
    report = folder.report()

    assert 8 == report.jobs == sum(report.by_state.values())
    assert (2, 1, 0) == (report.images_stored, report.images_withheld, report.images_lost)
    assert (Decimal("0.18"), Decimal("0.18")) == (report.spent_usd, report.in_doubt_usd)
    assert ["row-1", "row-2", "row-7"] == [result.id for result in report.failures]
    assert ["row-3", "row-4", "row-6"] == [result.id for result in report.ambiguous]
    assert str(report).startswith("8 jobs in 0.0 s: 1 done")


def test_reading_changes_nothing_and_needs_no_lock(folder: Folder):
    """While another holds the folder and writes to it, readers see what is committed, and leave every byte alone."""
    lock = FolderLock(journal(folder.path).with_name("lock")).acquire()
    with closing(sqlite3.connect(journal(folder.path), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE job SET state = 'rejected'")
        before = journal(folder.path).read_bytes()
        during = folder.report().by_state
        writer.execute("COMMIT")
        after = folder.report().by_state[JobState.REJECTED]
        unchanged = journal(folder.path).read_bytes()

    lock.release()

    assert (2, 1) == (during[JobState.AMBIGUOUS], during[JobState.SENDING])
    assert (8, before) == (after, unchanged)


def test_an_iterator_that_is_left_holds_nothing_open(folder: Folder):
    """Between two pages the journal is closed: a slow reader keeps no writer from clearing its log."""
    results = folder.results()
    next(results)
    with closing(sqlite3.connect(journal(folder.path), isolation_level=None)) as writer:
        writer.execute("UPDATE job SET error = 'x'")
        (is_busy, *_) = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    assert 0 == is_busy
    assert 7 == len(list(results))


def test_a_long_folder_is_read_page_by_page(tmp_path: Path):
    """Memory depends on the page, not on the folder; no job is missed or told twice."""
    jobs = (job(number, raw=b"x" * 20_000) for number in range(3000))
    folder = Folder(keep(tmp_path, jobs))
    next(folder.results())
    tracemalloc.start()
    numbers = [result.index for result in islice(folder.results(), 2900)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert list(range(2900)) == numbers
    assert peak < 5 * 2**20


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE job SET state = 'stolen' WHERE number = 0", "stolen"),
        ("UPDATE job SET usd = 'much' WHERE number = 0", "damaged"),
        ('UPDATE job SET request = \'{"operation": "exec", "fields": {}}\' WHERE number = 0', "request of job key0"),
        ("UPDATE job SET request = 'no' WHERE number = 0", "request of job key0"),
        ("UPDATE image SET state = 'stolen'", "stolen"),
        ("UPDATE image SET path = '../../etc/passwd'", "is outside the folder"),
        ("UPDATE image SET path = '/etc/passwd'", "is outside the folder"),
        ("PRAGMA application_id = 7", "another program"),
        ("PRAGMA user_version = 99", "a newer version"),
    ],
)
def test_a_journal_that_was_tampered_with_is_refused(folder: Folder, statement: str, words: str):
    """What no journal says is an error that names it, never a guess."""
    changed(folder, statement)

    with pytest.raises(JournalError, match=words):
        list(folder.results())


@pytest.mark.parametrize("content", [None, b"garbage" * 1000])
def test_what_is_no_folder_of_a_batch_says_so(tmp_path: Path, content: bytes | None):
    """Without a journal, or with a damaged one, nothing is made up, and nothing is made."""
    if content is not None:
        journal(tmp_path).parent.mkdir()
        journal(tmp_path).write_bytes(content)

    before = sorted(tmp_path.rglob("*"))
    folder = Folder(tmp_path)
    for tool in (folder.report, lambda: list(folder.results()), lambda: folder.resolve("a", "lost"), folder.gallery):
        with pytest.raises(JournalError, match=r"journal\.sqlite3"):
            tool()

    assert before == sorted(tmp_path.rglob("*"))


def test_a_lost_job_stays_paid_for(folder: Folder):
    """Given up, a job is partial: its price counts as spent, and its images as lost."""
    before = folder.report()
    result = folder.resolve("row-3", "lost")
    after = folder.report()

    assert (JobState.PARTIAL, [ImageState.LOST]) == (result.state, [kept.state for kept in result.images])
    assert "given up" in str(result.error)
    assert before.spent_usd + before.in_doubt_usd == after.spent_usd + after.in_doubt_usd
    assert (Decimal("0.24"), 1) == (after.spent_usd, after.images_lost)
    assert "row-3" in [failure.id for failure in after.failures]


def test_a_job_to_be_sent_again_counts_twice(folder: Folder):
    """It waits for the next run, and what its first attempt may have cost stays in doubt."""
    before = folder.report()
    result = folder.resolve("key3", "retry")

    assert (JobState.PENDING, Decimal("0.06")) == (result.state, result.cost_usd)
    assert before.in_doubt_usd == folder.report().in_doubt_usd


def test_what_a_dead_process_was_sending_can_be_decided(folder: Folder):
    """Under the lock, nobody is sending: such a job is in doubt."""
    assert JobState.PARTIAL == folder.resolve("row-6", "lost").state


async def test_an_earlier_attempt_stays_in_every_bill(tmp_path: Path):
    """What was sent again counts twice, and only once for certain: result, batch and folder agree on that."""
    async with Sandbox() as box, Ideogram("k", base_url=box.url) as client:
        box.fail("generate", fault=Fault.close_after_body)
        first = await client.run_batch([Job(Generate("fox"), "fox")], tmp_path)
        async with client.batch([Job(Generate("fox"), "fox")], tmp_path, retry_ambiguous=True) as batch:
            results = [result async for result in batch]

    [kept], report = Folder(tmp_path).results(), Folder(tmp_path).report()

    assert (Decimal(0), Decimal("0.06")) == (first.spent_usd, first.in_doubt_usd)
    assert [Decimal("0.12")] == [result.cost_usd for result in results]
    assert Decimal("0.12") == kept.cost_usd
    assert (Decimal("0.06"), Decimal("0.06")) == (batch.report().spent_usd, batch.report().in_doubt_usd)
    assert (Decimal("0.06"), Decimal("0.06")) == (report.spent_usd, report.in_doubt_usd)


def test_what_is_on_its_way_is_in_doubt_once_nobody_holds_the_folder(folder: Folder):
    """As long as a process holds the folder its calls are on their way; when it is gone they are ambiguous."""
    states, tables = [], []
    lock = FolderLock(journal(folder.path).with_name("lock")).acquire()
    for _ in range(2):
        states.append([result.state for result in folder.results()][6])
        tables.append(folder.export_jsonl(folder.path / "jobs.jsonl").read_text().splitlines()[6])
        lock.release()

    assert [JobState.SENDING, JobState.AMBIGUOUS] == states
    assert ["sending", "ambiguous"] == [json.loads(line)["state"] for line in tables]
    assert "row-6" == folder.report().ambiguous[-1].id


def test_a_wrong_decision_is_told_what_can_be_decided(folder: Folder):
    """Whoever names another job hears of those that are in doubt."""
    for name in ("nobody", "row-0"):
        with pytest.raises(BatchError) as caught:
            folder.resolve(name, "lost")

        assert "Ambiguous jobs: 'row-3', 'row-4', 'row-6'." == caught.value.advice


def test_only_ambiguous_jobs_are_decided(folder: Folder):
    """An unknown job, and one in another state, are errors that name it; nothing changes."""
    with pytest.raises(BatchError, match="has no job 'fox'"):
        folder.resolve("fox", "lost")

    for how in ("lost", "retry"):
        with pytest.raises(BatchError, match="job 'row-0' is done; only an ambiguous"):
            folder.resolve("row-0", how)

    assert JobState.DONE == next(folder.results()).state


@pytest.mark.parametrize(
    ("how", "url", "words"),
    [("keep", None, "one of lost, retry, adopt"), ("adopt", None, "needs the image's link"), ("lost", "x", "no link")],
)
def test_a_decision_that_makes_no_sense_is_refused(folder: Folder, how, url: str | None, words: str):
    """How, and with what, is checked before anything is touched."""
    with pytest.raises(ValueError, match=words):
        folder.resolve("row-3", how, url)


@pytest.mark.parametrize("url", ["http://ideogram.ai/x.png", "https://127.0.0.1/x.png", "file:///etc/passwd", "fox"])
def test_a_link_is_adopted_only_where_a_client_would_go(tmp_path: Path, url: str):
    """A link that no download would follow is refused now, not at the next run."""
    folder = Folder(keep(tmp_path, [job(0, JobState.AMBIGUOUS)], origin="https://api.ideogram.ai"))
    with pytest.raises(HostRefusedError):
        folder.resolve("row-0", "adopt", url)

    assert JobState.AMBIGUOUS == next(folder.results()).state


def test_a_folder_in_use_is_not_decided_upon(folder: Folder):
    """While a batch is at work, `resolve` says who holds the folder, and reading goes on."""
    lock = FolderLock(journal(folder.path).with_name("lock")).acquire()
    with pytest.raises(BatchLockedError, match=f"process {os.getpid()}"):
        folder.resolve("row-3", "retry")

    lock.release()

    assert JobState.PENDING == folder.resolve("row-3", "retry").state


def run(box: Sandbox, jobs: list[Job] | None, folder: Folder):
    async def go():
        async with Ideogram("key", base_url=box.url) as client:
            return await client.run_batch(jobs, folder.path)

    return go()


@pytest.mark.parametrize(
    ("how", "posts", "state"), [("lost", 0, "partial"), ("retry", 1, "done"), ("adopt", 0, "done")]
)
async def test_a_decision_sends_what_it_says_and_no_more(tmp_path: Path, how, posts: int, state: str):
    """After `retry` the next run makes exactly one call; after `lost` and `adopt`, none; adopted is collected."""
    folder, jobs = Folder(tmp_path / "out"), [Job(Generate("a fox", seed=3), id="fox")]
    async with Sandbox() as box:
        async with Ideogram("key", base_url=box.url) as client:
            link = (await client.generate("a fox")).data[0].url

        box.fail("generate", fault=Fault.html_502)
        await run(box, jobs, folder)
        before = len(box.ledger.entries)
        await asyncio.to_thread(folder.resolve, "fox", how, link if how == "adopt" else None)
        for given in (None, jobs):
            await run(box, given, folder)

        again = len(box.ledger.entries) - before

    result = next(folder.results())

    assert (posts, state) == (again, result.state)
    assert [how != "lost"] == [kept.path is not None and kept.path.is_file() for kept in result.images]


@pytest.mark.parametrize("kind", [Generate, Edit, LegacyGenerate, LayerizeText, RemoveBackground, Upscale])
def test_an_adopted_answer_can_be_read_whatever_was_asked(tmp_path: Path, kind):
    """The answer that stands for the missing one is of the request's kind, and holds the link."""
    (tmp_path / "input.png").write_bytes(picture())
    given = {"prompt": "a fox"} if kind in (Generate, LegacyGenerate) else {"image": tmp_path / "input.png"}
    request = Edit("a fox", images=[tmp_path / "input.png"]) if kind is Edit else kind(**given)
    kept = job(0, JobState.AMBIGUOUS, request)
    folder = Folder(keep(tmp_path / "out", [kept]))
    folder.resolve("row-0", "adopt", "https://ideogram.ai/x.png")
    with closing(sqlite3.connect(journal(folder.path))) as database:
        (raw,) = database.execute("SELECT raw FROM job").fetchone()

    answer = converter().structure(json.loads(raw), request.endpoint.answer)

    assert ["https://ideogram.ai/x.png"] == [row.url for row in list_images(kept.key, answer, raw)]


def test_adopting_one_of_several_images_says_that_the_others_are_lost(tmp_path: Path):
    """A job that asked for three has one to collect; the two that nobody has found are told."""
    folder = Folder(keep(tmp_path, [job(0, JobState.AMBIGUOUS, Generate("a fox", num_images=3))]))
    result = folder.resolve("row-0", "adopt", "https://ideogram.ai/x.png")

    assert [ImageState.LINKED, ImageState.LOST, ImageState.LOST] == [kept.state for kept in result.images]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where nobody may")
def test_a_folder_that_cannot_be_written_can_be_read(folder: Folder):
    """On a medium that is read-only, a journal that was closed tells all it knows."""
    before = folder.report()
    for left in journal(folder.path).parent.glob("journal.sqlite3-*"):
        left.unlink()

    journal(folder.path).parent.chmod(0o500)
    try:
        after = folder.report()
    finally:
        journal(folder.path).parent.chmod(0o700)

    assert str(before) == str(after)
