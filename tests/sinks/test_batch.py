"""Batches whose images go to an object store; the journal stays in the folder."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from support.batches import by_id, collect, make_jobs, run_batch
from support.clients import CANARY, connected
from support.folders import image, job, write_folder
from support.objectstores import contents

from ideogram_async import FromJob, Generate, Ideogram, ImageState, Job, JobState, JournalError, Upscale
from ideogram_async.batch import Folder
from ideogram_async.errors import NotSentError
from ideogram_async.integrations.objects import ObjectSink
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sinks import Facts, FolderSink, Stored

FAULTS = {
    "cut": (Fault.cut, "cut"),
    "cut without a length": (Fault.cut_without_length, "cut"),
    "not an image": (Fault.not_an_image, "not_an_image"),
    "expired": (Fault.expired, "gone"),
    "endless": (Fault.endless, "too_large"),
    "status": (Fault.status(503), "unreachable"),
}


@pytest.fixture
def sink(store: Any) -> ObjectSink:
    return ObjectSink(store, "run-7/")


def local_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


async def test_images_go_to_the_sink(
    client: Ideogram, sandbox: Sandbox, store: Any, sink: ObjectSink, tmp_path: Path
) -> None:
    """The folder has the journal only. Results name the objects, and the same call again requests nothing."""
    results = await collect(client, make_jobs(3, num_images=2), tmp_path, sink=sink)
    objects = contents(store)
    images = [each for result in results for each in result.images]

    assert {f"run-7/fox-{n}-{index}.png" for n in range(3) for index in range(2)} == objects.keys()
    assert {each.uri for each in images} == {f"{sink.uri}/{name.removeprefix('run-7/')}" for name in objects}
    assert {each.sha256 for each in images} == {sha256(content).hexdigest() for content in objects.values()}
    assert {None} == {each.path for each in images}
    assert [] == local_files(tmp_path)

    again = await collect(client, make_jobs(3, num_images=2), tmp_path, sink=ObjectSink(store, "run-7"))

    assert {JobState.DONE} == {result.state for result in again}
    assert (3, 6) == (len(sandbox.requests), len(sandbox.image_requests))
    assert by_id(again)["fox-1"].images == by_id(results)["fox-1"].images
    assert objects == contents(store)


async def test_images_of_a_folder_have_uris(client: Ideogram, tmp_path: Path) -> None:
    """Without a sink, the URI is that of the file."""
    [result] = await collect(client, make_jobs(1), tmp_path)
    path = result.images[0].path

    assert path is not None
    assert path.as_uri() == result.images[0].uri


@pytest.mark.parametrize(("fault", "problem"), FAULTS.values(), ids=FAULTS)
async def test_a_fault_of_an_image_leaves_no_object(
    sandbox: Sandbox, store: Any, tmp_path: Path, fault: Fault, problem: str
) -> None:
    """The image stays linked, and the next run collects it without a call that costs money."""
    sink = ObjectSink(store, "run-7")
    async with connected(sandbox.url, max_image_bytes=2**20) as client:
        sandbox.fail("images", fault=fault, times=5 if problem not in ("gone", "not_an_image", "too_large") else 3)
        [result] = await collect(client, make_jobs(1), tmp_path, sink=sink)

        assert (ImageState.LINKED, problem) == (result.images[0].state, result.images[0].problem)
        assert {} == contents(store)

    async with connected(sandbox.url) as client:
        while (await run_batch(client, make_jobs(1), tmp_path, sink=sink)).images_linked:
            assert {} == contents(store)

    assert ["run-7/fox-0-0.png"] == list(contents(store))
    assert 1 == sandbox.ledger.billed_images


async def test_the_bytes_of_a_truncated_image_are_kept(
    client: Ideogram, sandbox: Sandbox, bucket: Any, tmp_path: Path
) -> None:
    """In the folder, next to the journal."""
    sandbox.fail("images", fault=Fault.cut_without_length, times=5)
    await run_batch(client, make_jobs(1), tmp_path, sink=ObjectSink(bucket))
    [kept] = (tmp_path / ".ideogram" / "rejected").iterdir()
    half = kept.read_bytes()
    await Folder(tmp_path).collect(client, sink=ObjectSink(bucket))
    [image] = contents(bucket).values()

    assert image.startswith(half)
    assert 0 < len(half) < len(image)


async def test_a_name_that_is_taken_is_noticed_before_money_is_spent(
    client: Ideogram, sandbox: Sandbox, bucket: Any, tmp_path: Path
) -> None:
    """In any of the formats. The object stays, and the job is sent once the name is free."""
    bucket.put("run-7/fox-0-0.webp", b"mine")
    sink = ObjectSink(bucket, "run-7")
    [refused] = await collect(client, make_jobs(1), tmp_path, sink=sink)

    assert "s3://" in str(refused.error)
    assert "run-7/fox-0-0.webp, which exists already" in str(refused.error)
    assert (0, {"run-7/fox-0-0.webp": b"mine"}) == (sandbox.ledger.billed_images, contents(bucket))

    bucket.delete("run-7/fox-0-0.webp")

    assert 1 == (await run_batch(client, make_jobs(1), tmp_path, sink=sink)).images_stored


async def test_a_name_that_is_taken_meanwhile(client: Ideogram, sandbox: Sandbox, bucket: Any, tmp_path: Path) -> None:
    """The image stays linked until the name is free, and is never requested before."""
    sink = ObjectSink(bucket, "run-7")
    sandbox.hold()
    async with client.batch(make_jobs(1), tmp_path, sink=sink) as batch:
        await sandbox.wait_for_requests(1)
        bucket.put("run-7/fox-0-0.png", b"mine")
        sandbox.release()
        [result] = [result async for result in batch]

    assert "name_taken" == result.images[0].problem
    assert 1 == (await Folder(tmp_path).collect(client, sink=sink)).images_linked
    assert {"run-7/fox-0-0.png": b"mine"} == contents(bucket)

    bucket.delete("run-7/fox-0-0.png")
    report = await Folder(tmp_path).collect(client, sink=sink)

    assert (1, 0) == (report.images_stored, report.images_linked)
    assert 1 == sandbox.ledger.billed_images


async def test_an_object_that_a_crash_left_is_adopted(client: Ideogram, bucket: Any, tmp_path: Path) -> None:
    """The process ended after the PUT and before the journal: the next run finds the same bytes there."""
    sink = ObjectSink(bucket, "run-7")
    await run_batch(client, make_jobs(2), tmp_path, sink=sink)
    before = bucket.head("run-7/fox-1-0.png")
    with closing(sqlite3.connect(tmp_path / ".ideogram" / "journal.sqlite3")) as journal, journal:
        journal.execute("UPDATE image SET state = 'linked', path = NULL, uri = NULL, sha256 = NULL, size = NULL")
        journal.execute("UPDATE job SET state = 'answered'")

    report = await run_batch(client, make_jobs(2), tmp_path, sink=sink)

    assert (2, {JobState.DONE: 2}) == (report.images_stored, report.by_state)
    assert before == bucket.head("run-7/fox-1-0.png")


async def test_another_sink_is_refused(client: Ideogram, sandbox: Sandbox, bucket: Any, tmp_path: Path) -> None:
    """Once an image is stored, every run has its sink. Nothing is sent, and the error says what to pass."""
    await run_batch(client, make_jobs(1), tmp_path, sink=ObjectSink(bucket, "run-7"))
    for sink in (ObjectSink(bucket, "run-8"), FolderSink(tmp_path), None):
        with pytest.raises(JournalError, match=r"are in s3://images-\d+/run-7, not in") as caught:
            await run_batch(client, make_jobs(2), tmp_path, sink=sink)

        assert "sink=" in caught.value.advice

    assert 1 == sandbox.ledger.billed_images
    assert 1 == len(contents(bucket))


async def test_a_folder_with_images_takes_no_sink(client: Ideogram, bucket: Any, tmp_path: Path) -> None:
    """Its images would be in two places."""
    await run_batch(client, make_jobs(1), tmp_path)
    with pytest.raises(JournalError, match="are in the folder, not in s3://"):
        await run_batch(client, make_jobs(2), tmp_path, sink=ObjectSink(bucket))


async def test_a_sink_may_change_before_an_image_is_stored(
    client: Ideogram, sandbox: Sandbox, bucket: Any, tmp_path: Path
) -> None:
    """What was paid for is then collected by the other one."""
    sandbox.fail("images", fault=Fault.expired, times=3)
    await run_batch(client, make_jobs(1), tmp_path, sink=ObjectSink(bucket, "wrong"))
    report = await run_batch(client, make_jobs(1), tmp_path, sink=ObjectSink(bucket, "right"))

    assert 1 == report.images_stored
    assert ["right/fox-0-0.png"] == list(contents(bucket))


async def test_a_sink_that_cannot_be_used_is_noticed_before_anything_is_sent(
    client: Ideogram, sandbox: Sandbox, bucket: Any, tmp_path: Path
) -> None:
    """Entering the block raises the sink's error, and the folder is free again."""

    class Unreachable(ObjectSink):
        async def head(self, name: str, /) -> Stored | None:
            raise PermissionError("no permission")

    with pytest.raises(PermissionError, match="no permission"):
        await run_batch(client, make_jobs(1), tmp_path, sink=Unreachable(bucket))

    assert [] == sandbox.requests
    assert 1 == (await run_batch(client, make_jobs(1), tmp_path, sink=ObjectSink(bucket))).images_stored


async def test_names_that_cannot_be_checked(client: Ideogram, sandbox: Sandbox, bucket: Any, tmp_path: Path) -> None:
    """While the sink cannot be read, nothing is sent; the jobs stay pending for the next run."""

    class Unreadable(ObjectSink):
        async def head(self, name: str, /) -> Stored | None:
            if name.startswith("fox"):
                raise PermissionError("no permission")

            return None

    results = await collect(client, make_jobs(2), tmp_path, sink=Unreadable(bucket))

    assert {"s3://" + bucket.config["bucket"] + " cannot be read: no permission"} == {
        str(result.error) for result in results
    }
    assert ([], {JobState.PENDING: 2}) == (sandbox.requests, Folder(tmp_path).report().by_state)


class Refusing(ObjectSink):
    """A sink that stores nothing while `refuses` is true."""

    refuses = True

    async def put(self, name: str, image: AsyncIterator[bytes], facts: Facts, /) -> Stored:
        if self.refuses:
            raise PermissionError("the quota is used up")

        return await super().put(name, image, facts)


async def test_a_batch_stops_when_its_sink_fails(
    sandbox: Sandbox, bucket: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """After five images in a row. All images stay linked, and the next run collects them."""
    sink = Refusing(bucket, "run-7")
    async with connected(sandbox.url, max_in_flight=1) as client:
        report = await run_batch(client, make_jobs(40), tmp_path, sink=sink)
        billed = sandbox.ledger.billed_images

        assert f"{sink.uri} does not store images: the quota is used up" == report.stopped
        assert 5 <= billed < 40
        assert (billed, {}) == (report.images_linked, contents(bucket))
        assert {"unreachable"} == {each.problem for result in report.failures for each in result.images}
        assert "the quota is used up" in caplog.text

        sink.refuses = False
        report = await Folder(tmp_path).collect(client, sink=sink)

    assert (billed, 0, None) == (report.images_stored, report.images_linked, report.stopped)
    assert billed == sandbox.ledger.billed_images


async def test_a_stored_image_resets_the_count(client: Ideogram, bucket: Any, tmp_path: Path) -> None:
    """A sink that fails now and then does not stop the batch."""

    class Flaky(Refusing):
        puts = 0

        async def put(self, name: str, image: AsyncIterator[bytes], facts: Facts, /) -> Stored:
            self.puts += 1
            self.refuses = self.puts % 4 > 0
            return await super().put(name, image, facts)

    report = await run_batch(client, make_jobs(16), tmp_path, max_downloads=1, sink=Flaky(bucket))

    assert (None, 4, 12) == (report.stopped, report.images_stored, report.images_linked)


async def test_a_chained_job_reads_the_sink(client: Ideogram, sandbox: Sandbox, store: Any, tmp_path: Path) -> None:
    """Its source is sent with the object's bytes and name, also in a later run."""
    sink = ObjectSink(store, "run-7")
    chain = [Job(Generate("a fox"), id="fox"), Job(Upscale(image=FromJob("fox")), id="large")]
    await run_batch(client, chain[:1], tmp_path, sink=sink)
    report = await run_batch(client, chain, tmp_path, sink=sink)
    [part] = [part for part in sandbox.requests[-1].parts if part.filename]

    assert {JobState.DONE: 2} == report.by_state
    assert ("fox-0.png", contents(store)["run-7/fox-0.png"]) == (part.filename, part.body)
    assert ["run-7/fox-0.png", "run-7/large-0.png"] == list(contents(store))
    assert [] == local_files(tmp_path)


@pytest.mark.parametrize("change", ["deleted", "replaced"])
async def test_a_chained_job_without_its_source_is_not_sent(
    client: Ideogram, sandbox: Sandbox, bucket: Any, tmp_path: Path, change: str
) -> None:
    """It stays pending, and the error says why."""
    sink = ObjectSink(bucket, "run-7")
    chain = [Job(Generate("a fox"), id="fox"), Job(Upscale(image=FromJob("fox")), id="large")]
    await run_batch(client, chain[:1], tmp_path, sink=sink)
    bucket.delete("run-7/fox-0.png")
    if change == "replaced":
        bucket.put("run-7/fox-0.png", b"another image")

    results = by_id(await collect(client, chain, tmp_path, sink=sink))

    assert 1 == sandbox.ledger.billed_images
    if change == "deleted":
        assert isinstance(results["large"].error, NotSentError)
        assert "run-7/fox-0.png cannot be read" in str(results["large"].error)
    else:
        assert JobState.REJECTED is results["large"].state


async def test_exports_and_sidecars_name_the_objects(client: Ideogram, bucket: Any, tmp_path: Path) -> None:
    """Tables and lines have the URI in place of a path, and so has the sidecar, which stays in the folder."""
    sink = ObjectSink(bucket, "run-7")
    await run_batch(client, make_jobs(1), tmp_path, sink=sink, sidecars=True)
    with Folder(tmp_path).export_csv(tmp_path / "out.csv").open(encoding="utf-8-sig", newline="") as file:
        [row] = csv.DictReader(file)

    line = json.loads(Folder(tmp_path).export_jsonl(tmp_path / "out.jsonl").read_text())
    sidecar = json.loads((tmp_path / "fox-0-0.png.json").read_text())
    uri = f"{sink.uri}/fox-0-0.png"

    assert ("", uri) == (row["result_path"], row["result_uri"])
    assert (None, uri) == (line["result"]["images"][0]["path"], line["result"]["images"][0]["uri"])
    assert uri == sidecar["uri"]


async def test_a_sink_may_choose_another_name(client: Ideogram, bucket: Any, tmp_path: Path) -> None:
    """Also one with folders, which is read again for a chained job and has no path here."""

    class Dated(ObjectSink):
        async def put(self, name: str, image: AsyncIterator[bytes], facts: Facts, /) -> Stored:
            return await super().put(f"2026/{name}", image, facts)

    chain = [Job(Generate("a fox"), id="fox"), Job(Upscale(image=FromJob("fox")), id="large")]
    sink = Dated(bucket)
    await run_batch(client, chain[:1], tmp_path, sink=sink, sidecars=True)
    report = await run_batch(client, chain, tmp_path, sink=sink, sidecars=True)

    assert {JobState.DONE: 2} == report.by_state
    assert ["2026/fox-0.png", "2026/large-0.png"] == list(contents(bucket))
    assert ["fox-0.png.json", "large-0.png.json"] == local_files(tmp_path)
    assert [None, None] == [result.images[0].path for result in Folder(tmp_path).results()]


async def test_no_object_of_a_batch_contains_the_key(client: Ideogram, bucket: Any, tmp_path: Path) -> None:
    """Neither its name, nor its content, nor its metadata."""
    await run_batch(client, make_jobs(2), tmp_path, sink=ObjectSink(bucket, "run-7"))
    objects = [bucket.get(entry["path"]) for entry in bucket.list().collect()]

    assert 3 == len(objects)
    assert CANARY not in repr([(each.meta, each.attributes, bytes(each.bytes())) for each in objects])


async def test_what_is_no_sink_is_refused(client: Ideogram, bucket: Any, tmp_path: Path) -> None:
    """A store is not a sink."""
    with pytest.raises(TypeError, match=r"sink must be a sink such as ObjectSink\(store\) .*, not S3Store"):
        client.batch([], tmp_path, sink=bucket)

    assert [] == list(tmp_path.iterdir())


def test_a_journal_of_the_version_before_has_no_sink(tmp_path: Path) -> None:
    """Its images are in the folder, and it is brought up to date."""
    done = job(0)
    write_folder(tmp_path, [done], [image(done)])
    with closing(sqlite3.connect(tmp_path / ".ideogram" / "journal.sqlite3")) as journal, journal:
        journal.execute("ALTER TABLE image DROP COLUMN uri")
        for column in ("generation_id", "poll", "failures"):
            journal.execute(f"ALTER TABLE job DROP COLUMN {column}")

        journal.execute("PRAGMA user_version = 2")

    write_folder(tmp_path, [])
    [result] = Folder(tmp_path).results()

    assert tmp_path / "row-0-0.png" == result.images[0].path
