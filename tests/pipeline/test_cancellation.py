"""Cancellation at any point of a call: it ends at once, releases its slots, is not retried, and reports its cost."""

from __future__ import annotations

import asyncio
import pickle
import re
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from attrs import define, field, frozen
from support.clients import Events, HangingResolver, connected, fast_limiter, session_factory_with
from support.leaks import files_below, other_tasks
from support.paths import DATA
from support.rawserver import GOOD, OK, RawServer, Script, answer, raw_response, read, refused, reset, stall, whole

from ideogram_async import Billed, Generate, Ideogram, Retry
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async.errors import Phase
from ideogram_async.events import Event, Failed, Retrying, Throttled
from ideogram_async.files import ImageFile

PROMPTLY = 20.0
"""Seconds within which a cancellation has to end, with room for a busy machine."""
MAY_BE_BILLED = "sent: it may have been billed"
LONG = Retry(base=1000.0, cap=1000.0)


@define
class Scene:
    """A call that is held at one stage."""

    client: Ideogram
    server: RawServer
    events: Events
    reached: Callable[[], Awaitable[None]]
    work: Callable[[], Awaitable[Any]]
    helpers: list[asyncio.Task[Any]] = field(factory=list)
    cancellation: BaseException | None = None


@frozen
class Stage:
    """A point of a call: the script that leads to it, and what a cancellation there reports."""

    script: tuple[Script, ...]
    billed: Billed
    phase: Phase
    posts: int
    until: str = "arrived"
    options: dict[str, Any] = field(factory=dict)


def gated() -> ImageLimiter:
    """Return a limiter whose back-off gate has just closed."""
    limiter = ImageLimiter(10)
    limiter.note_rejected(None, 100.0)
    return limiter


async def no_key() -> str:
    """Never return a key."""
    await asyncio.Event().wait()
    return ""


HEAD = raw_response(200, GOOD[:20], {"Content-Length": str(len(GOOD))})
STAGES = {
    "queued": Stage(((whole, stall),), Billed.NO, Phase.QUEUED, 1, "waiting", {"limiter": lambda: fast_limiter(1)}),
    "at the gate": Stage((OK,), Billed.NO, Phase.QUEUED, 0, "gate", {"limiter": gated}),
    "after a 429": Stage((refused(429, retry_after="100"),), Billed.NO, Phase.QUEUED, 1, "Throttled", {"retry": LONG}),
    "in back-off": Stage((OK,), Billed.NO, Phase.QUEUED, 0, "Retrying", {"retry": LONG, "is_refused": True}),
    "in back-off, ambiguous": Stage(
        ((whole, reset),),
        Billed.UNKNOWN,
        Phase.QUEUED,
        1,
        "Retrying",
        {"retry": Retry(base=1000.0, cap=1000.0, ambiguous=True)},
    ),
    "connecting": Stage(
        (OK,), Billed.NO, Phase.CONNECTING, 0, "Sending", {"session_factory": session_factory_with(HangingResolver)}
    ),
    "TLS handshake": Stage(((stall,),), Billed.NO, Phase.CONNECTING, 0, "connected", {"is_tls": True}),
    "waiting for the key": Stage((OK,), Billed.NO, Phase.CONNECTING, 0, "Sending", {"api_key": no_key}),
    "sending": Stage(((read(100), stall),), Billed.UNKNOWN, Phase.SENT, 0, "read"),
    "waiting for the answer": Stage(((whole, stall),), Billed.UNKNOWN, Phase.SENT, 1),
    "reading the answer": Stage(
        ((whole, answer(HEAD), stall),), Billed.UNKNOWN, Phase.ANSWERING, 1, "head", {"is_traced": True}
    ),
}


@asynccontextmanager
async def hold_at(stage: Stage, tmp_path: Path) -> AsyncGenerator[Scene]:
    """Hold a call at a stage."""
    options, events, reached = dict(stage.options), Events(), asyncio.Event()
    is_refused, is_tls = options.pop("is_refused", False), options.pop("is_tls", False)
    is_traced = options.pop("is_traced", False)

    def on_event(event: Event) -> None:
        events(event)
        if type(event).__name__ == stage.until:
            reached.set()

    async def on_head(*_: object) -> None:
        reached.set()

    def traced(purpose: str, **settings: Any) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_response_chunk_received.append(on_head)
        trace.on_request_end.append(on_head)
        return aiohttp.ClientSession(**settings, trace_configs=[trace])

    if is_traced:
        options["session_factory"] = traced

    if callable(options.get("limiter")):
        options["limiter"] = options["limiter"]()

    image = tmp_path / "fox.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(8 * 2**20))
    async with RawServer(*stage.script, is_listening=not is_refused) as server:
        url = server.url.replace("http:", "https:") if is_tls else server.url
        url = "https://api.test" if stage.until == "Sending" and "session_factory" in options else url
        async with connected(url, on_event=on_event, **options) as client:
            scene = Scene(client, server, events, reached.wait, lambda: client.remove_background(image))
            work, scene.work = scene.work, lambda: _noting(scene, work)
            match stage.until:
                case "arrived":
                    scene.reached = lambda: server.wait_for_requests(1)
                case "connected":
                    scene.reached = lambda: server.until(lambda: server.connections == 1)
                case "read":
                    scene.reached = lambda: server.until(lambda: server.bytes > 0)
                case "waiting":
                    scene.helpers.append(asyncio.create_task(client.generate("first")))  # type: ignore[arg-type]
                    await server.wait_for_requests(1)
                    events.clear()
                    scene.reached = lambda: _waits(client)
                case "gate":
                    scene.reached = lambda: _waits(client)
                case _:
                    pass

            yield scene
            for helper in scene.helpers:
                helper.cancel()

            await asyncio.gather(*scene.helpers, return_exceptions=True)


async def _noting(scene: Scene, work: Callable[[], Awaitable[Any]]) -> None:
    """Run the call, and keep the cancellation that ends it."""
    try:
        await work()
    except asyncio.CancelledError as error:
        scene.cancellation = error
        raise


def notes_of(error: BaseException | None) -> list[str]:
    return getattr(error, "__notes__", [])


async def _waits(client: Ideogram) -> None:
    while client.limiter.statistics().waiting == 0:
        await asyncio.sleep(0)


async def by_cancel(scene: Scene) -> None:
    task = asyncio.ensure_future(scene.work())
    await scene.reached()
    task.cancel()
    async with asyncio.timeout(PROMPTLY):
        await asyncio.wait([task])

    assert task.cancelled()


async def by_timeout(scene: Scene) -> None:
    scope = asyncio.timeout(None)

    async def work() -> None:
        async with scope:
            await scene.work()

    task = asyncio.create_task(work())
    await scene.reached()
    scope.reschedule(0)
    async with asyncio.timeout(PROMPTLY):
        await asyncio.wait([task])

    assert TimeoutError is type(task.exception())


async def by_scope(scene: Scene) -> None:
    with anyio.fail_after(PROMPTLY):
        async with anyio.create_task_group() as group:
            group.start_soon(scene.work)
            await scene.reached()
            group.cancel_scope.cancel()

    assert group.cancel_scope.cancelled_caught


@pytest.mark.parametrize("way", [by_cancel, by_timeout, by_scope])
@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
async def test_cancelled(
    stage: Stage, way: Callable[[Scene], Awaitable[None]], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Wherever and however it is cancelled, a call ends at once, and reports what it may have cost."""
    before = other_tasks()
    async with hold_at(stage, tmp_path) as scene:
        await way(scene)
        held = 1 if scene.helpers else 0
        statistics = scene.client.limiter.statistics()
        failed = [(event.billed, event.phase) for event in scene.events.of(Failed)]

        warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        is_sent = stage.billed is Billed.UNKNOWN

        assert [(stage.billed, stage.phase)] == failed
        assert is_sent == (MAY_BE_BILLED in notes_of(scene.cancellation))
        assert is_sent == any(re.search(r"^POST .* after \d+\.\d s; sent: it may have", text) for text in warnings)
        assert is_sent == len(warnings)
        assert (held, 0) == (statistics.in_flight, statistics.waiting)
        assert [] == files_below(tmp_path)
        assert stage.posts == scene.server.posts

    assert set() == other_tasks() - before


async def test_a_cancelled_free_call_is_not_reported(caplog: pytest.LogCaptureFixture) -> None:
    """A call that costs nothing, or was answered before, gets no note and no warning."""
    async with RawServer(OK, (whole, stall)) as server, connected(server.url) as client:
        await client.generate("a fox")
        task = asyncio.create_task(client.models.list())
        await server.wait_for_requests(2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task

    assert ([], []) == (notes_of(caught.value), caplog.records)


async def test_the_note_reaches_whoever_awaits_the_task() -> None:
    """The note is on the cancellation that a program sees."""
    async with RawServer((whole, stall)) as server, connected(server.url) as client:
        task = asyncio.create_task(client.generate("a fox"))
        await server.wait_for_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task

    assert [MAY_BE_BILLED] == notes_of(caught.value)


@pytest.mark.parametrize("is_given_up", [False, True])
async def test_a_started_call(is_given_up: bool, caplog: pytest.LogCaptureFixture) -> None:
    """A cancelled wait for a started call is not reported, because the call goes on; one that is given up is, once."""
    async with RawServer((whole, stall, answer(raw_response(200, GOOD)))) as server, connected(server.url) as client:
        running = await client.start(Generate("a fox"))
        with pytest.raises(TypeError, match="await it, and pass on its answer"):
            pickle.dumps(running)

        async def wait() -> None:
            await running

        task = asyncio.create_task(wait())
        await server.wait_for_requests(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task

        if is_given_up:
            await client.aclose(grace=0)
        else:
            server.released.set()
            await running

    assert [] == notes_of(caught.value)
    assert is_given_up == len(caplog.records)
    assert is_given_up == (MAY_BE_BILLED in caplog.text)


async def test_slots_are_released() -> None:
    """After many cancellations all slots are free, and the next call is sent."""
    async with RawServer(*[(whole, stall)] * 20, OK) as server:
        limiter = ImageLimiter(4)
        async with connected(server.url, limiter=limiter) as client:
            for count in range(1, 6):
                tasks = [asyncio.create_task(client.generate("a fox")) for _ in range(8)]
                await server.wait_for_requests(4 * count)
                for task in tasks:
                    task.cancel()

                await asyncio.wait(tasks)

            images = await client.generate("a fox")

        assert (1, 0, 0) == (len(images.data), limiter.statistics().in_flight, limiter.statistics().waiting)
        assert 21 == server.posts


async def test_a_file_that_opens_after_the_cancellation(tmp_path: Path) -> None:
    """A file that a thread opens after the call was cancelled is closed by that thread."""
    opening, gate, done = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    handles: list[Any] = []

    class Slow(ImageFile):
        def open(self) -> Any:
            loop.call_soon_threadsafe(opening.set)
            gate.wait(10)
            handles.append(super().open())
            handles[0].close, close = (lambda: (close(), done.set())), handles[0].close
            return handles[0]

    async with RawServer(OK) as server, connected(server.url) as client:
        task = asyncio.create_task(client.raw("POST", "/x", fields={"image": Slow(b"a fox")}))  # type: ignore[arg-type]
        await opening.wait()
        task.cancel()
        await asyncio.wait([task])
        gate.set()
        closed = await asyncio.to_thread(done.wait, 10)

        assert closed
        assert handles[0].closed
        assert 0 == server.connections


async def test_cancelled_while_copying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cancellation while a source is copied leaves no copy, and nothing is sent."""

    class Slow:
        begun = asyncio.Event()

        async def read(self, size: int = -1, /) -> bytes:
            if not self.begun.is_set():
                self.begun.set()
                return b"\x89PNG"

            await asyncio.Event().wait()
            return b""

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with RawServer(OK) as server, connected(server.url) as client:
        task = asyncio.create_task(client.remove_background(Slow()))  # type: ignore[arg-type]
        await Slow.begun.wait()
        task.cancel()
        await asyncio.wait([task])

        assert task.cancelled()
        assert ([], [], 0) == (list(tmp_path.iterdir()), files_below(tmp_path), server.connections)


async def test_cancelled_in_any_step_of_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No step of the copying leaves a file when it is cancelled."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with RawServer(OK) as server, connected(server.url, api_key=no_key) as client:
        for steps in range(40):
            with (DATA / "selfsigned.pem").open("rb") as handle:
                task = asyncio.create_task(client.with_options(validate=False).remove_background(handle))  # type: ignore[arg-type]
                for _ in range(steps):
                    await asyncio.sleep(0)

                task.cancel()
                await asyncio.wait([task])

        await asyncio.to_thread(lambda: None)

        assert ([], 0) == (list(tmp_path.iterdir()), server.connections)


async def test_second_cancellation() -> None:
    """A second cancellation has no effect; nothing hangs."""
    async with RawServer((whole, stall)) as server, connected(server.url) as client:
        task = asyncio.create_task(client.generate("a fox"))
        await server.wait_for_requests(1)
        task.cancel()
        task.cancel()
        async with asyncio.timeout(PROMPTLY):
            await asyncio.wait([task])

        assert task.cancelled()


async def test_other_calls_continue() -> None:
    """The cancellation of one call does not affect the others."""
    async with RawServer((whole, stall, answer(raw_response(200, GOOD)))) as server, connected(server.url) as client:
        tasks = [asyncio.create_task(client.generate("a fox")) for _ in range(3)]
        await server.wait_for_requests(3)
        tasks[1].cancel()
        await asyncio.wait([tasks[1]])
        server.released.set()
        answers = await asyncio.gather(tasks[0], tasks[2])

        assert [1, 1] == [len(images.data) for images in answers]
        assert 3 == server.posts


async def test_cancelled_download(tmp_path: Path) -> None:
    """A download that is cancelled leaves no file and no connection."""
    image = b"\x89PNG\r\n\x1a\n" + bytes(100)
    server = RawServer((whole, answer(raw_response(200, image, {"Content-Length": "1000"})), stall))
    async with server, connected(server.url) as client:
        task = asyncio.create_task(client.download(f"{server.url}/fox.png", tmp_path / "fox.png"))
        await server.wait_for_requests(1)
        task.cancel()
        async with asyncio.timeout(PROMPTLY):
            await asyncio.wait([task])

        assert task.cancelled()

    assert ([], []) == (list(tmp_path.iterdir()), files_below(tmp_path))


@pytest.mark.parametrize("kind", [Retrying, Throttled])
async def test_cancelled_by_its_own_listener(kind: type[Event]) -> None:
    """A listener can cancel the call whose event it gets."""
    tasks: list[asyncio.Task[Any]] = []

    def on_event(event: Event) -> None:
        events(event)
        if isinstance(event, kind):
            tasks[0].cancel()

    events = Events()
    script = refused(429) if kind is Throttled else (whole, reset)
    async with RawServer(script, OK) as server:
        policy = Retry(base=1000.0, cap=1000.0, ambiguous=True)
        async with connected(server.url, on_event=on_event, retry=policy) as client:
            tasks.append(asyncio.create_task(client.generate("a fox")))
            await asyncio.wait(tasks)

        expected = Billed.NO if kind is Throttled else Billed.UNKNOWN

        assert tasks[0].cancelled()
        assert [expected] == [event.billed for event in events.of(Failed)]
        assert 1 == server.posts
