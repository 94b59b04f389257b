"""Every way to leave a batch: what is in flight finishes, or is listed as ambiguous, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import anyio
import pytest
from attrs import define, field
from support.batches import TIMEOUT, collect, count_images, make_jobs, run_batch
from support.clients import connected
from support.leaks import files_below
from support.pictures import picture

from ideogram_async import (
    AmbiguousError,
    Batch,
    Generate,
    Ideogram,
    Job,
    JobResult,
    JobState,
    NotSentError,
    Remix,
    Retry,
)
from ideogram_async._batch import batch as batch_module
from ideogram_async._batch.folder import Folder
from ideogram_async._batch.workspace import Workspace
from ideogram_async.events import BatchStopped, Event
from ideogram_async.sandbox import Fault, Sandbox

LIMIT = 10
LONG = 1000.0
"""A grace period that no test waits for."""


@define
class Scene:
    """A batch whose first ten calls are held, and which stores them once it is stopped."""

    client: Ideogram
    sandbox: Sandbox
    folder: Path
    releases: bool = True
    """Whether the stop of the batch releases the calls."""
    batches: list[Batch] = field(factory=list)

    def batch(self, **options: Any) -> Batch:
        self.sandbox.hold()
        batch = self.client.batch(make_jobs(30), self.folder, on_event=self._on_event, **{"grace": LONG} | options)
        self.batches.append(batch)
        return batch

    async def run(self, **options: Any) -> None:
        """Run a batch until its task is cancelled."""
        async with self.batch(**options) as batch:
            async for _ in batch:
                pass

    async def sent(self) -> None:
        await self.sandbox.wait_for_requests(LIMIT)

    def _on_event(self, event: Event) -> None:
        if isinstance(event, BatchStopped) and self.releases:
            self.sandbox.release()


@pytest.fixture
def scene(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> Scene:
    return Scene(client, sandbox, tmp_path)


def unfinished_tasks() -> list[str]:
    """Return the tasks of batches. `asyncio.all_tasks` does not list them."""
    tasks = [item for item in gc.get_objects() if isinstance(item, asyncio.Task) and not item.done()]
    codes = [getattr(task.get_coro(), "cr_code", None) for task in tasks]
    return [code.co_qualname for code in codes if code is not None and "/_batch/" in code.co_filename]


def journal_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if "journal" in thread.name]


async def by_cancel(scene: Scene) -> None:
    running = asyncio.create_task(scene.run())
    await scene.sent()
    running.cancel()
    await running


async def by_timeout(scene: Scene) -> None:
    async with asyncio.timeout(None) as timeout, scene.batch():
        await scene.sent()
        timeout.reschedule(0)
        await asyncio.Event().wait()


async def by_move_on_after(scene: Scene) -> None:
    with anyio.move_on_after(LONG) as scope:
        async with scene.batch():
            await scene.sent()
            scope.deadline = 0
            await asyncio.Event().wait()


async def by_fail_after(scene: Scene) -> None:
    with anyio.fail_after(LONG) as scope:
        async with scene.batch():
            await scene.sent()
            scope.deadline = 0
            await asyncio.Event().wait()


async def fail_once_sent(scene: Scene) -> None:
    await scene.sent()
    raise KeyError


async def by_a_failing_sibling(scene: Scene) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(scene.run())
        group.create_task(fail_once_sent(scene))


async def by_a_failing_anyio_sibling(scene: Scene) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(scene.run)
        group.start_soon(fail_once_sent, scene)


async def by_an_anyio_group_without_a_wait(scene: Scene) -> None:
    """Cancel the scope, and leave the block without a wait in it: the first wait is that of the batch."""
    async with anyio.create_task_group() as group, scene.batch():
        await scene.sent()
        group.cancel_scope.cancel()


async def by_error(scene: Scene) -> None:
    async with scene.batch(grace=0):
        await scene.sent()
        raise KeyError


async def by_leaving(scene: Scene) -> None:
    async with scene.batch(grace=0):
        await scene.sent()


async def by_closing_a_generator_in_another_task(scene: Scene) -> None:
    async def read() -> AsyncGenerator[JobResult | None]:
        async with scene.batch(grace=0) as batch:
            yield None
            async for result in batch:
                yield result

    results = read()
    await anext(results)
    await scene.sent()
    await asyncio.create_task(results.aclose())  # type: ignore[arg-type]


async def by_stop(scene: Scene) -> None:
    async with scene.batch(grace=0) as batch:
        await scene.sent()
        for _ in range(3):
            batch.stop()

        async for _ in batch:
            pass


async def by_closing_the_client(scene: Scene) -> None:
    running = asyncio.create_task(scene.run(grace=0))
    await scene.sent()
    await scene.client.aclose(grace=LONG)
    await running


WAYS: dict[Callable[[Scene], Awaitable[None]], type[BaseException] | None] = {
    by_cancel: asyncio.CancelledError,
    by_timeout: TimeoutError,
    by_move_on_after: None,
    by_fail_after: TimeoutError,
    by_a_failing_sibling: ExceptionGroup,
    by_a_failing_anyio_sibling: ExceptionGroup,
    by_an_anyio_group_without_a_wait: None,
    by_error: KeyError,
    by_leaving: None,
    by_closing_a_generator_in_another_task: None,
    by_stop: None,
    by_closing_the_client: None,
}


@pytest.mark.parametrize("leave", WAYS)
async def test_a_batch_finishes_what_is_in_flight(scene: Scene, leave: Callable[[Scene], Awaitable[None]]):
    """However it is left, nothing new is sent, the images in flight are stored, and nothing is in doubt."""
    raised: BaseException | None = None
    try:
        async with asyncio.timeout(TIMEOUT):
            await leave(scene)
    except BaseException as error:
        raised = error

    report = scene.batches[0].report()

    assert WAYS[leave] is (None if raised is None else type(raised))
    assert LIMIT == len(scene.sandbox.requests) == len(scene.sandbox.ledger.entries) == count_images(scene.folder)
    assert ({JobState.DONE: LIMIT}, Decimal(0)) == (report.by_state, report.in_doubt_usd)
    assert ([], [], []) == (files_below(scene.folder), journal_threads(), unfinished_tasks())
    assert LIMIT == Folder(scene.folder).report().by_state[JobState.DONE]


async def assert_given_up(scene: Scene) -> None:
    """Check that the calls in flight are listed, once, and that the batch resumes."""
    report = scene.batches[0].report()

    assert ({JobState.AMBIGUOUS: LIMIT}, LIMIT) == (report.by_state, len(report.ambiguous))
    assert ([], [], []) == (files_below(scene.folder), journal_threads(), unfinished_tasks())

    scene.sandbox.release()
    resumed = await run_batch(scene.client, make_jobs(30), scene.folder)

    assert {JobState.DONE: 20, JobState.AMBIGUOUS: LIMIT} == resumed.by_state
    assert (Decimal("0.60"), []) == (resumed.in_doubt_usd, scene.sandbox.ledger.duplicates)


@pytest.mark.parametrize("grace", [0, 0.01])
async def test_the_end_of_the_grace_period_gives_up(scene: Scene, grace: float):
    """The calls in flight are ambiguous, and listed with their price. No file, lock, thread or task is left."""
    scene.releases = False
    running = asyncio.create_task(scene.run(grace=grace))
    await scene.sent()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await assert_given_up(scene)


@pytest.mark.parametrize("grace", [0, 0.01])
async def test_the_end_of_the_grace_period_gives_up_in_a_scope(scene: Scene, grace: float):
    """A scope of anyio cancels each wait, and leaves the same time."""
    scene.releases = False
    with anyio.CancelScope() as scope:
        async with scene.batch(grace=grace):
            await scene.sent()
            scope.cancel()
            await asyncio.Event().wait()

    assert scope.cancelled_caught
    await assert_given_up(scene)


@pytest.mark.parametrize("times", [2, 3])
async def test_a_second_cancellation_gives_up(scene: Scene, times: int):
    """It ends the grace period; a third one changes nothing."""
    scene.releases = False
    running = asyncio.create_task(scene.run())
    await scene.sent()
    for _ in range(times):
        running.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        await running

    await scene.client.aclose()
    await assert_given_up(scene)


async def test_any_number_of_cancellations_of_its_tasks_lists_what_is_in_flight(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
):
    """An interpreter that lists all tasks may cancel each of them at every step."""
    monkeypatch.setattr("ideogram_async._transport.tasks._unregister", lambda _: None)
    scene.releases = False
    running = asyncio.create_task(scene.run())
    await scene.sent()
    while not running.done():
        for task in asyncio.all_tasks():
            if "/_batch/" in getattr(getattr(task.get_coro(), "cr_code", None), "co_filename", ""):
                task.cancel()

        await asyncio.sleep(0)

    await asyncio.wait({running})
    await assert_given_up(scene)


async def test_a_cancellation_after_that_of_a_scope_gives_up(scene: Scene):
    """The drain is shielded from the scope, and not from the task."""
    scene.releases = False

    async def run() -> None:
        with anyio.CancelScope() as scope:
            async with scene.batch():
                await scene.sent()
                scope.cancel()
                await asyncio.Event().wait()

    running = asyncio.create_task(run())
    await scene.sent()
    await until(lambda: scene.batches[0].report().stopped is not None)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await assert_given_up(scene)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("leave", [by_error, by_leaving])
async def test_a_cancellation_of_the_drain_is_the_first(scene: Scene, leave: Callable[[Scene], Awaitable[None]]):
    """After an error or the end of the block a cancellation leaves `grace` seconds: none here."""
    scene.releases = False
    running = asyncio.create_task(leave(scene))
    await until(lambda: bool(scene.batches) and scene.batches[0].report().stopped is not None)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    await assert_given_up(scene)


@pytest.mark.parametrize("is_stopped", [False, True])
async def test_a_stop_before_does_not_count(scene: Scene, is_stopped: bool):
    """After `stop`, or the end of the block, one cancellation still lets the calls in flight finish."""
    scene.releases = False

    async def run() -> None:
        async with scene.batch() as batch:
            await scene.sent()
            if is_stopped:
                batch.stop()
                await asyncio.Event().wait()

    running = asyncio.create_task(run())
    await until(lambda: bool(scene.batches) and scene.batches[0].report().stopped is not None)
    running.cancel()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    scene.sandbox.release()
    with pytest.raises(asyncio.CancelledError):
        await running

    assert {JobState.DONE: LIMIT} == scene.batches[0].report().by_state


async def test_answers_that_are_given_up_are_downloaded_later(scene: Scene):
    """A job whose images were not downloaded yet counts as spent, and is not in doubt."""
    scene.sandbox.fail("images", fault=Fault.hang, times=3)
    batch = scene.client.batch(make_jobs(3), scene.folder, grace=0)
    with anyio.CancelScope() as scope:
        async with batch:
            await until(lambda: len(scene.sandbox.image_requests) == 3)
            scope.cancel()
            await asyncio.Event().wait()

    report = batch.report()
    scene.sandbox.release()

    assert ({JobState.ANSWERED: 3}, 0) == (report.by_state, report.in_doubt_usd)
    assert {JobState.DONE: 3} == (await run_batch(scene.client, make_jobs(3), scene.folder)).by_state
    assert 3 == len(scene.sandbox.ledger.entries)


async def test_a_drain_does_not_wait_for_the_consumer(scene: Scene):
    """Closing the client finishes a batch whose results are not taken, and whose block is not left."""
    leaving = asyncio.Event()

    async def run() -> list[JobResult]:
        async with scene.batch() as batch:
            await leaving.wait()
            return [result async for result in batch]

    running = asyncio.create_task(run())
    await scene.sent()
    async with asyncio.timeout(TIMEOUT):
        await scene.client.aclose(grace=LONG)

    assert (LIMIT, [], False) == (count_images(scene.folder), files_below(scene.folder), running.done())

    leaving.set()

    assert [JobState.DONE] * LIMIT == [result.state for result in await running]


async def test_closing_the_client_drains_batches_and_started_calls(scene: Scene):
    """Two batches and a started call have the same grace period, also if the client is closed twice at once."""
    other = scene.folder / "other"
    scene.sandbox.hold()
    call = await scene.client.start(Generate("a fox"))
    await scene.sandbox.wait_for_requests(1)
    second = asyncio.create_task(collect(scene.client, make_jobs(1), other))
    first = asyncio.create_task(scene.run())
    await scene.sent()
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(scene.client.aclose(grace=LONG), scene.client.aclose(grace=2 * LONG))

    await asyncio.gather(first, second)

    assert (None, LIMIT) == (call.error, len(scene.sandbox.ledger.entries))
    assert LIMIT - 1 == count_images(scene.folder) + count_images(other)


@pytest.mark.parametrize("graces", [(0, LONG), (LONG, 0.01)])
async def test_the_shorter_grace_period_wins(scene: Scene, graces: tuple[float, float]):
    """If the client is closed twice, the batch and the call are given up at the end of the shorter period."""
    scene.releases = False
    running = asyncio.create_task(scene.run())
    await scene.sent()
    call = await scene.client.start(Generate("a fox"))
    async with asyncio.timeout(TIMEOUT):
        await asyncio.gather(*(scene.client.aclose(grace=grace) for grace in graces))

    await running

    assert NotSentError is type(call.error)
    await assert_given_up(scene)


async def test_given_up_results_are_returned(scene: Scene):
    """A consumer gets the ambiguous jobs of a client that is closed."""
    scene.releases = False
    async with asyncio.timeout(TIMEOUT), scene.batch() as batch:
        await scene.sent()
        await scene.client.aclose(grace=0)
        states = [result.state async for result in batch]

    scene.sandbox.release()

    assert [JobState.AMBIGUOUS] * LIMIT == states


async def test_closing_the_client_in_a_cancelled_scope_drains(scene: Scene):
    """A scope of anyio does not cut the grace period of `aclose`, which `async with` calls."""
    running = asyncio.create_task(scene.run())
    await scene.sent()
    with anyio.CancelScope() as scope:
        async with scene.client:
            scope.cancel()
            await asyncio.Event().wait()

    await running

    assert {JobState.DONE: LIMIT} == scene.batches[0].report().by_state


async def test_a_second_cancellation_ends_the_drain_of_the_client(scene: Scene):
    """The first one of a task that closes the client changes nothing."""
    scene.releases = False
    running = asyncio.create_task(scene.run())
    await scene.sent()
    call = await scene.client.start(Generate("a fox"))
    closing = asyncio.create_task(scene.client.aclose(grace=LONG))
    await until(lambda: scene.batches[0].report().stopped is not None)
    closing.cancel()
    for _ in range(10):
        await asyncio.sleep(0)

    was_done = closing.done()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    await running

    assert (False, NotSentError) == (was_done, type(call.error))
    await assert_given_up(scene)


async def test_a_batch_that_begins_while_the_client_closes_sends_nothing(scene: Scene):
    """It is stopped at once, so the client does not wait for it."""
    scene.sandbox.hold()
    call = await scene.client.start(Generate("a fox"))
    await scene.sandbox.wait_for_requests(1)
    closing = asyncio.create_task(scene.client.aclose(grace=LONG))
    await asyncio.sleep(0)
    results = await collect(scene.client, make_jobs(3), scene.folder)
    scene.sandbox.release()
    await closing

    assert ([], None, 1) == (results, call.error, len(scene.sandbox.requests))


class SlowOpening:
    """Holds the thread that opens a folder."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.begun = asyncio.Event()
        self.gate = threading.Event()
        loop, open_workspace = asyncio.get_running_loop(), Workspace.open

        class Slow:
            @staticmethod
            def open(*args: Any, **options: Any) -> Workspace:
                loop.call_soon_threadsafe(self.begun.set)
                self.gate.wait(TIMEOUT)
                return open_workspace(*args, **options)

        monkeypatch.setattr(batch_module, "Workspace", Slow)


@pytest.mark.parametrize("is_open", [False, True])
async def test_a_cancelled_start_leaves_nothing(
    client: Ideogram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_open: bool
):
    """The thread that opens the folder closes it if the start was cancelled; then the folder can be used again."""
    opening = SlowOpening(monkeypatch)
    entering = asyncio.create_task(client.batch([], tmp_path).__aenter__())
    await opening.begun.wait()
    if is_open:
        # The thread ends before the loop can take its result.
        opening.gate.set()
        while not journal_threads():
            pass

    entering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await entering

    opening.gate.set()
    await client.aclose()
    assert [] == files_below(tmp_path)
    assert 0 == (await client.run_batch([], tmp_path)).jobs


async def test_a_start_in_a_cancelled_scope_leaves_nothing(
    client: Ideogram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """A scope of anyio that ends while the folder is opened leaves no lock."""
    opening = SlowOpening(monkeypatch)
    async with asyncio.timeout(TIMEOUT), anyio.create_task_group() as group:
        group.start_soon(client.batch([], tmp_path).__aenter__)
        await opening.begun.wait()
        group.cancel_scope.cancel()

    opening.gate.set()
    await client.aclose()

    assert ([], []) == (files_below(tmp_path), journal_threads())


async def test_a_client_that_closes_while_a_folder_is_opened(
    client: Ideogram, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The batch is not started, and leaves no lock."""
    opening = SlowOpening(monkeypatch)
    entering = asyncio.create_task(client.batch(make_jobs(1), tmp_path).__aenter__())
    await opening.begun.wait()
    closing = asyncio.create_task(client.aclose(grace=0))
    await asyncio.sleep(0)
    opening.gate.set()
    with pytest.raises(NotSentError, match="the client was closed"):
        await entering

    await closing
    assert [] == files_below(tmp_path)


def test_a_loop_that_ends_while_a_folder_is_opened_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The next loop can use the folder at once."""
    client = Ideogram("key", base_url="http://127.0.0.1:9")

    async def start() -> None:
        opening = SlowOpening(monkeypatch)
        asyncio.get_running_loop().call_later(0, opening.gate.set)
        entering = asyncio.create_task(client.batch([], tmp_path).__aenter__())
        await opening.begun.wait()
        entering.add_done_callback(lambda task: task.cancelled())

    asyncio.run(start())
    monkeypatch.undo()
    report = asyncio.run(client.run_batch([], tmp_path))

    assert 0 == report.jobs


async def test_a_call_that_is_given_up_is_ambiguous(client: Ideogram, sandbox: Sandbox):
    """A started call that was sent ends with the grace period, like a batch."""
    sandbox.hold()
    call = await client.start(Generate("a fox"))
    await sandbox.wait_for_requests(1)
    await client.aclose(grace=0.01)
    sandbox.release()

    assert AmbiguousError is type(call.error)


CANCELLATIONS = int(os.environ.get("IDEOGRAM_ASYNC_CANCELLATIONS", "20"))
JOBS = 12


async def run_interrupted(client: Ideogram, folder: Path, random: Random) -> None:
    """Start a batch, and leave it at a random moment in a random way."""
    grace = random.choice((0, 0.001, 0.01, 0.05))
    scope = anyio.CancelScope()

    async def run() -> None:
        with scope, suppress(NotSentError):  # raised if the client is closed while the folder is opened
            async with client.batch(make_jobs(JOBS), folder, grace=grace) as batch:
                async for _ in batch:
                    pass

    running, closings = asyncio.create_task(run()), list[asyncio.Task[None]]()
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        await asyncio.sleep(random.choice((0, random.uniform(0, 0.06))))
        match random.randrange(4):
            case 0:
                scope.cancel()
            case 1:
                closings.append(asyncio.create_task(client.aclose(grace=grace)))
            case _:
                running.cancel()

    await asyncio.wait({running, *closings})
    await client.aclose(grace=grace)


@pytest.mark.parametrize("part", range(2))
async def test_random_cancellations(tmp_path: Path, part: int):
    """Whenever and however a batch is cancelled, nothing is paid twice or lost, and every doubt is listed."""
    async with Sandbox(latency=(0.001, 0.03), seed=part) as sandbox, connected(sandbox.url) as client:
        random = Random(part)
        for number in range(CANCELLATIONS // 2):
            folder = tmp_path / str(number)
            async with asyncio.timeout(TIMEOUT):
                await run_interrupted(client, folder, random)
                await sandbox.wait_idle()

            assert [] == files_below(folder)

            listed = {result.id for result in Folder(folder).report().ambiguous} if folder.exists() else set()
            report = await run_batch(client, make_jobs(JOBS), folder)
            billed = len(sandbox.ledger.entries)
            doubtful = {result.id for result in report.ambiguous}

            assert (JOBS, []) == (report.jobs, sandbox.ledger.duplicates)
            assert listed == doubtful
            assert {JobState.DONE, JobState.AMBIGUOUS} >= set(report.by_state)
            assert JOBS - len(doubtful) == count_images(folder) <= billed <= JOBS
            sandbox.reset()


async def test_a_run_registers_no_generator_with_the_event_loop(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """At its end, a loop closes those that it knows, and logs an error if one is running. The client has one."""
    sandbox.fail("images", fault=Fault.status(404), times=2)
    first = client.with_options(retry=Retry(attempts=1))

    def jobs() -> list[Job]:
        return [*make_jobs(1), Job(Remix(io.BytesIO(picture()), "a fox"), id="copied")]

    hooks, registered = sys.get_asyncgen_hooks(), list[str]()
    sys.set_asyncgen_hooks(firstiter=lambda generator: registered.append(generator.__qualname__))
    try:
        reports = [await run_batch(view, jobs(), tmp_path) for view in (first, client)]
    finally:
        sys.set_asyncgen_hooks(*hooks)

    assert [{JobState.ANSWERED: 2}, {JobState.DONE: 2}] == [report.by_state for report in reports]
    assert ["_finalize"] == registered
