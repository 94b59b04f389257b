"""Tools of a batch folder: read its state without a lock or a change, and resolve ambiguous jobs."""

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
from support.folders import image, job, journal_path, write_folder
from support.pictures import picture

from ideogram_async import (
    AmbiguousError,
    BatchError,
    BatchLockedError,
    Billed,
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
    Report,
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
    """A folder with a job of every state."""
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
    return Folder(write_folder(tmp_path / "out", jobs, images))


def execute(folder: Folder, statement: str) -> Folder:
    with closing(sqlite3.connect(journal_path(folder.path), isolation_level=None)) as database:
        database.execute(statement)

    return folder


@pytest.mark.parametrize("heavy", ["aiohttp", "cattrs", "PIL", "jinja2"])
def test_the_folder_tools_load_nothing_heavy(heavy: str):
    """Importing them loads no HTTP library and no image library."""
    script = f"import sys; from ideogram_async.batch import Folder; print({heavy!r} in sys.modules)"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "False\n" == run.stdout


def test_results_are_in_input_order_and_complete(folder: Folder):
    """Each has the request, state, images, price and error of its job, but not its answer."""
    results = list(folder.results())

    assert [*(f"row-{number}" for number in range(5)), "key5", "row-6", "row-7"] == [result.id for result in results]
    assert list(range(8)) == [result.index for result in results]
    assert Generate("fox 0", seed=0) == results[0].request
    assert folder.path / "row-0-0.png" == results[0].images[0].path
    assert [ImageState.WITHHELD, ImageState.STORED] == [image.state for image in results[1].images]
    assert {(None, True)} == {(result.answer, result.from_journal) for result in results}
    assert [None, None, SafetyError, ServerError, AmbiguousError, None, AmbiguousError, None] == [
        result.error and type(result.error) for result in results
    ]


def test_the_error_of_a_truncated_answer_states_that_it_was_billed(tmp_path: Path):
    """Whether it left links, or none."""
    states = (JobState.ANSWERED, JobState.PARTIAL)
    jobs = [job(n, state, status=200, error="the body is cut") for n, state in enumerate(states)]
    errors = [result.error for result in Folder(write_folder(tmp_path, jobs, [])).results()]

    assert [Billed.YES] * 2 == [error and error.billed for error in errors]


def test_a_cost_counts_every_attempt_that_may_have_run(folder: Folder):
    """A refused or unsent attempt is free, a resend may be billed twice, and an unknown price stays unknown."""
    prices = [None if result.cost_usd is None else str(result.cost_usd) for result in folder.results()]

    assert ["0.06", "0.06", "0", "0.06", "0.12", "0", None, "0.06"] == prices


def test_the_report_covers_all_jobs(folder: Folder):
    """It adds up the jobs, images and costs of all runs. A job that a dead process was sending is in doubt."""
    report = folder.report()

    assert 8 == report.jobs == sum(report.by_state.values())
    assert (2, 1, 0) == (report.images_stored, report.images_withheld, report.images_lost)
    assert (Decimal("0.18"), Decimal("0.18")) == (report.spent_usd, report.in_doubt_usd)
    assert ["row-1", "row-2", "row-7"] == [result.id for result in report.failures]
    assert ["row-3", "row-4", "row-6"] == [result.id for result in report.ambiguous]
    assert str(report).startswith("8 jobs in 0.0 s: 1 done")


def test_reading_changes_nothing_and_needs_no_lock(folder: Folder):
    """While another process holds the folder and writes, readers see what is committed and change no byte."""
    lock = FolderLock(journal_path(folder.path).with_name("lock")).acquire()
    with closing(sqlite3.connect(journal_path(folder.path), isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("UPDATE job SET state = 'rejected'")
        before = journal_path(folder.path).read_bytes()
        during = folder.report().by_state
        writer.execute("COMMIT")
        after = folder.report().by_state[JobState.REJECTED]
        unchanged = journal_path(folder.path).read_bytes()

    lock.release()

    assert (2, 1) == (during[JobState.AMBIGUOUS], during[JobState.SENDING])
    assert (8, before) == (after, unchanged)


def test_an_unfinished_iterator_holds_nothing_open(folder: Folder):
    """The journal is closed between two pages, so a slow reader does not prevent a checkpoint."""
    results = folder.results()
    next(results)
    with closing(sqlite3.connect(journal_path(folder.path), isolation_level=None)) as writer:
        writer.execute("UPDATE job SET error = 'x'")
        (is_busy, *_) = writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()

    assert 0 == is_busy
    assert 7 == len(list(results))


def test_a_large_folder_is_read_in_pages(tmp_path: Path):
    """Memory depends on the page, not on the folder. No job is missing or read twice."""
    jobs = (job(number, raw=b"x" * 20_000) for number in range(3000))
    folder = Folder(write_folder(tmp_path, jobs))
    next(folder.results())
    tracemalloc.start()
    numbers = [result.index for result in islice(folder.results(), 2900)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert list(range(2900)) == numbers
    assert peak < 5 * 2**20


@pytest.mark.parametrize(
    ("statement", "message"),
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
def test_a_tampered_journal_is_refused(folder: Folder, statement: str, message: str):
    """A value that the library never writes is an error that names it."""
    execute(folder, statement)

    with pytest.raises(JournalError, match=message):
        list(folder.results())


@pytest.mark.parametrize("content", [None, b"garbage" * 1000])
def test_a_folder_without_a_readable_journal_is_refused(tmp_path: Path, content: bytes | None):
    """Nothing is created in it."""
    if content is not None:
        journal_path(tmp_path).parent.mkdir()
        journal_path(tmp_path).write_bytes(content)

    before = sorted(tmp_path.rglob("*"))
    folder = Folder(tmp_path)
    for tool in (folder.report, lambda: list(folder.results()), lambda: folder.resolve("a", "lost"), folder.gallery):
        with pytest.raises(JournalError, match=r"journal\.sqlite3"):
            tool()

    assert before == sorted(tmp_path.rglob("*"))


def test_a_lost_job_counts_as_spent(folder: Folder):
    """A job that is given up is partial, its price is spent, and its images are lost."""
    before = folder.report()
    result = folder.resolve("row-3", "lost")
    after = folder.report()

    assert (JobState.PARTIAL, [ImageState.LOST]) == (result.state, [image.state for image in result.images])
    assert isinstance(result.error, AmbiguousError)
    assert str(result.error).startswith("given up, although it may have run")
    assert before.spent_usd + before.in_doubt_usd == after.spent_usd + after.in_doubt_usd
    assert (Decimal("0.24"), 1) == (after.spent_usd, after.images_lost)
    assert "row-3" in [failure.id for failure in after.failures]


def test_a_job_to_retry_stays_in_doubt(folder: Folder):
    """It is pending, and the possible cost of its first attempt stays in doubt."""
    before = folder.report()
    result = folder.resolve("key3", "retry")

    assert (JobState.PENDING, Decimal("0.06")) == (result.state, result.cost_usd)
    assert before.in_doubt_usd == folder.report().in_doubt_usd


def test_a_job_that_a_dead_process_was_sending_can_be_resolved(folder: Folder):
    """No process holds the lock, so the job is ambiguous."""
    assert JobState.PARTIAL == folder.resolve("row-6", "lost").state


async def test_the_cost_of_an_earlier_attempt_is_kept(tmp_path: Path):
    """A resend counts twice, once of it confirmed, in the result, the report of the batch and that of the folder."""
    async with Sandbox() as sandbox, Ideogram("k", base_url=sandbox.url) as client:
        sandbox.fail("generate", fault=Fault.close_after_body)
        first = await client.run_batch([Job(Generate("fox"), "fox")], tmp_path)
        async with client.batch([Job(Generate("fox"), "fox")], tmp_path, retry_ambiguous=True) as batch:
            results = [result async for result in batch]

    [recorded], report = Folder(tmp_path).results(), Folder(tmp_path).report()

    assert (Decimal(0), Decimal("0.06")) == (first.spent_usd, first.in_doubt_usd)
    assert [Decimal("0.12")] == [result.cost_usd for result in results]
    assert Decimal("0.12") == recorded.cost_usd
    assert (Decimal("0.06"), Decimal("0.06")) == (batch.report().spent_usd, batch.report().in_doubt_usd)
    assert (Decimal("0.06"), Decimal("0.06")) == (report.spent_usd, report.in_doubt_usd)


def test_jobs_in_flight_are_ambiguous_once_the_lock_is_free(folder: Folder):
    """They are sending as long as a process holds the folder."""
    states, exported = [], []
    lock = FolderLock(journal_path(folder.path).with_name("lock")).acquire()
    for _ in range(2):
        states.append([result.state for result in folder.results()][6])
        exported.append(folder.export_jsonl(folder.path / "jobs.jsonl").read_text().splitlines()[6])
        lock.release()

    assert [JobState.SENDING, JobState.AMBIGUOUS] == states
    assert ["sending", "ambiguous"] == [json.loads(line)["result"]["state"] for line in exported]
    assert "row-6" == folder.report().ambiguous[-1].id


@pytest.mark.parametrize("name", ["unknown", "row-0"])
def test_the_error_of_a_wrong_id_lists_the_jobs_that_can_be_resolved(folder: Folder, name: str):
    """An id that is unknown, or of a job in another state, is refused."""
    advice: list[str] = []
    for resolution in ("retry", "lost"):
        with pytest.raises(BatchError) as caught:
            folder.resolve(name, resolution)

        advice.append(caught.value.advice)

    ambiguous = "Ambiguous jobs: 'row-3', 'row-4', 'row-6'."

    assert [ambiguous, f"{ambiguous} Answered jobs: 'row-7'."] == advice


def test_jobs_in_other_states_are_not_resolved(folder: Folder):
    """An unknown job, or one in another state, is an error that names it, and nothing changes."""
    with pytest.raises(BatchError, match="has no job 'fox'"):
        folder.resolve("fox", "lost")

    with pytest.raises(BatchError, match="job 'row-0' is done; lost needs an ambiguous, accepted or answered job"):
        folder.resolve("row-0", "lost")

    for resolution, url in (("retry", None), ("adopt", "https://ideogram.ai/x.png")):
        states = "ambiguous or accepted" if url else "ambiguous"
        with pytest.raises(BatchError, match=f"job 'row-7' is answered; {resolution} needs an {states} job"):
            folder.resolve("row-7", resolution, url)

    states = [result.state for result in folder.results()]

    assert (JobState.DONE, JobState.ANSWERED) == (states[0], states[7])


@pytest.mark.parametrize(
    ("images", "expected", "state"),
    [
        (["stored", "linked"], ["stored", "lost"], JobState.PARTIAL),
        (["linked", "withheld", "expired"], ["lost", "withheld", "expired"], JobState.PARTIAL),
        (["stored", "stored"], ["stored", "stored"], JobState.DONE),
        ([], ["lost", "lost"], JobState.PARTIAL),
    ],
)
def test_the_linked_images_of_an_answered_job_can_be_given_up(
    tmp_path: Path, images: list[str], expected: list[str], state: JobState
):
    """The job is finished, its price stays spent, and stored images are kept."""
    row = job(0, JobState.ANSWERED, Generate("a fox", num_images=2))
    rows = [image(row, number, ImageState(name)) for number, name in enumerate(images)]
    folder = Folder(write_folder(tmp_path, [row], rows))
    before = folder.report()
    result = folder.resolve("row-0", "lost")
    after = folder.report()

    assert (state, expected) == (result.state, [str(image.state) for image in result.images])
    assert (before.spent_usd, 0) == (after.spent_usd, after.images_linked)


@pytest.mark.parametrize(
    ("resolution", "url", "message"),
    [("keep", None, "one of lost, retry, adopt"), ("adopt", None, "needs the image's link"), ("lost", "x", "no link")],
)
def test_an_invalid_resolution_is_refused(folder: Folder, resolution, url: str | None, message: str):
    """The arguments are validated before the folder is opened."""
    with pytest.raises(ValueError, match=message):
        folder.resolve("row-3", resolution, url)


@pytest.mark.parametrize("url", ["http://ideogram.ai/x.png", "https://127.0.0.1/x.png", "file:///etc/passwd", "fox"])
def test_a_link_that_no_client_would_follow_is_refused(tmp_path: Path, url: str):
    """It is refused now, and not at the next run."""
    folder = Folder(write_folder(tmp_path, [job(0, JobState.AMBIGUOUS)], origin="https://api.ideogram.ai"))
    with pytest.raises(HostRefusedError):
        folder.resolve("row-0", "adopt", url)

    assert JobState.AMBIGUOUS == next(folder.results()).state


def test_a_folder_in_use_cannot_be_resolved(folder: Folder):
    """While a batch runs, `resolve` names the process that holds the folder, and reading still works."""
    lock = FolderLock(journal_path(folder.path).with_name("lock")).acquire()
    with pytest.raises(BatchLockedError, match=f"process {os.getpid()}"):
        folder.resolve("row-3", "retry")

    lock.release()

    assert JobState.PENDING == folder.resolve("row-3", "retry").state


async def run(sandbox: Sandbox, jobs: list[Job] | None, folder: Folder) -> None:
    async with Ideogram("key", base_url=sandbox.url) as client:
        await client.run_batch(jobs, folder.path)


@pytest.mark.parametrize(
    ("resolution", "calls", "state"), [("lost", 0, "partial"), ("retry", 1, "done"), ("adopt", 0, "done")]
)
async def test_a_resolution_sends_at_most_one_call(tmp_path: Path, resolution, calls: int, state: str):
    """The next run sends one call after `retry`, and none after `lost` and `adopt`; an adopted image is downloaded."""
    folder, jobs = Folder(tmp_path / "out"), [Job(Generate("a fox", seed=3), id="fox")]
    async with Sandbox() as sandbox:
        async with Ideogram("key", base_url=sandbox.url) as client:
            link = (await client.generate("a fox")).data[0].url

        sandbox.fail("generate", fault=Fault.html_502)
        await run(sandbox, jobs, folder)
        before = len(sandbox.ledger.entries)
        await asyncio.to_thread(folder.resolve, "fox", resolution, link if resolution == "adopt" else None)
        for source in (None, jobs):
            await run(sandbox, source, folder)

        sent = len(sandbox.ledger.entries) - before

    result = next(folder.results())

    assert (calls, state) == (sent, result.state)
    assert [resolution != "lost"] == [image.path is not None and image.path.is_file() for image in result.images]


@pytest.mark.parametrize("kind", [Generate, Edit, LegacyGenerate, LayerizeText, RemoveBackground, Upscale])
def test_the_answer_of_an_adopted_job_can_be_read(tmp_path: Path, kind):
    """It has the answer type of the request, and contains the link."""
    (tmp_path / "input.png").write_bytes(picture())
    fields = {"prompt": "a fox"} if kind in (Generate, LegacyGenerate) else {"image": tmp_path / "input.png"}
    request = Edit("a fox", images=[tmp_path / "input.png"]) if kind is Edit else kind(**fields)
    row = job(0, JobState.AMBIGUOUS, request)
    folder = Folder(write_folder(tmp_path / "out", [row]))
    folder.resolve("row-0", "adopt", "https://ideogram.ai/x.png")
    with closing(sqlite3.connect(journal_path(folder.path))) as database:
        (raw,) = database.execute("SELECT raw FROM job").fetchone()

    answer = converter().structure(json.loads(raw), request.endpoint.answer)

    assert ["https://ideogram.ai/x.png"] == [image.url for image in list_images(row.key, answer, raw)]


def test_adopting_one_of_several_images_marks_the_others_lost(tmp_path: Path):
    """A job with three images has one to download and two lost ones."""
    folder = Folder(write_folder(tmp_path, [job(0, JobState.AMBIGUOUS, Generate("a fox", num_images=3))]))
    result = folder.resolve("row-0", "adopt", "https://ideogram.ai/x.png")

    assert [ImageState.LINKED, ImageState.LOST, ImageState.LOST] == [image.state for image in result.images]


@pytest.mark.skipif(os.geteuid() == 0, reason="root ignores permissions")
def test_a_read_only_folder_can_be_read(folder: Folder):
    """A journal that was closed is complete on a read-only medium."""
    before = folder.report()
    for file in journal_path(folder.path).parent.glob("journal.sqlite3-*"):
        file.unlink()

    journal_path(folder.path).parent.chmod(0o500)
    try:
        after = folder.report()
    finally:
        journal_path(folder.path).parent.chmod(0o700)

    assert str(before) == str(after)


def test_the_report_says_why_images_are_not_downloaded(tmp_path: Path):
    """Each reason has a line with the number of its images."""
    row = job(0, JobState.ANSWERED, Generate("a fox", num_images=4))
    problems = ["cut", "gone", "cut", None]
    images = [image(row, number, ImageState.LINKED, problem=problem) for number, problem in enumerate(problems)]
    report = Folder(write_folder(tmp_path, [row], images)).report()

    assert 4 == report.images_linked
    assert [
        "2 not downloaded: the download was truncated or damaged",
        "1 not downloaded: the host refused the link before it expired",
    ] == str(report).splitlines()[-2:]


def test_a_report_groups_the_digits_of_its_numbers():
    """Every number of the text that can be large is as easy to read as that of the jobs."""
    counts = dict.fromkeys(
        ("jobs", "images_stored", "images_withheld", "images_linked", "images_lost", "throttled"), 5000
    )
    report = Report(
        **counts,
        by_state={JobState.DONE: 5000},
        spent_usd=Decimal(300),
        in_doubt_usd=Decimal(0),
        elapsed=1.0,
        stopped=None,
    )

    assert [
        "5,000 jobs in 1.0 s: 5,000 done",
        "5,000 images stored, 5,000 withheld, 5,000 lost, 5,000 still to be downloaded",
        "300.00 USD spent, 0.00 USD in doubt, 5,000 rejections with 429",
    ] == str(report).splitlines()


def test_the_report_of_one_job_as_text(tmp_path: Path):
    """Numbers have the right noun, and amounts have cents."""
    row = job(0, JobState.DONE, Generate("a fox"))
    report = Folder(write_folder(tmp_path, [row], [image(row, 0, ImageState.STORED)])).report()

    assert str(report).startswith("1 job in 0.0 s: 1 done\n1 image stored, 0 withheld, 0 lost\n")
    assert "0.00 USD in doubt" in str(report)
