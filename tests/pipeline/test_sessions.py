"""One client in one event loop after another: no warnings, and no leaks."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from support.clients import AT_ONCE, Events, connected
from support.leaks import descriptors, other_tasks
from support.programs import run_quietly
from support.rawserver import OK, RawServer, page, refused, reset, stall, whole

from ideogram_async import AmbiguousError, Ideogram
from ideogram_async.events import Event, Retrying
from ideogram_async.sandbox import Sandbox

PROGRAMS = {
    "three loops, each with its block": """
        async def work():
            async with client:
                image = (await client.generate("a fox")).data[0]
                await client.fetch(image)

        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url)
            for _ in range(3):
                asyncio.run(work())
    """,
    "three loops, never closed": """
        async def work():
            image = (await client.generate("a fox")).data[0]
            await client.fetch(image)

        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url)
            for _ in range(3):
                asyncio.run(work())
    """,
    "three loops, kept connections": """
        async def work():
            await asyncio.gather(*(client.generate("a fox") for _ in range(5)))

        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url, reuse_connections=True)
            for _ in range(3):
                asyncio.run(work())
    """,
    "three loops, a stream left open in each": """
        streams = []

        async def work():
            image = (await client.generate("a fox")).data[0]
            opened = client.stream(image)
            streams.append((opened, await opened.__aenter__()))
            await anext(streams[-1][1])

        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url)
            for _ in range(3):
                asyncio.run(work())
    """,
    "a client dropped in a running loop": """
        async def work():
            for _ in range(3):
                await Ideogram("sandbox", base_url=sandbox.url, reuse_connections=True).generate("a fox")
                gc.collect()

        with running_in_thread(Sandbox()) as sandbox:
            asyncio.run(work())
    """,
    "calls left running": """
        async def work():
            tasks.extend(asyncio.create_task(client.generate("a fox")) for _ in range(5))
            await sandbox.wait_for_requests(3 * (len(tasks) // 5))

        tasks = []
        with running_in_thread(Sandbox()) as sandbox:
            sandbox.hold()
            client = Ideogram("sandbox", base_url=sandbox.url, max_in_flight=3)
            for _ in range(3):
                asyncio.run(work())
            sandbox.release()
    """,
    "closed with calls in flight": """
        async def work():
            async with client:
                tasks = [asyncio.create_task(client.generate("a fox")) for _ in range(5)]
                await sandbox.wait_for_requests(3)
            errors = await asyncio.gather(*tasks, return_exceptions=True)
            names = sorted(type(error).__name__ for error in errors)
            assert ["AmbiguousError"] * 3 + ["NotSentError"] * 2 == names, names
            assert {asyncio.current_task()} == asyncio.all_tasks()
            sandbox.reset()
            sandbox.hold()

        with running_in_thread(Sandbox()) as sandbox:
            sandbox.hold()
            client = Ideogram("sandbox", base_url=sandbox.url, max_in_flight=3)
            for _ in range(3):
                asyncio.run(work())
            sandbox.release()
    """,
    "an async listener": """
        async def on_event(event):
            await asyncio.sleep(0.01)
            events.append(event)

        async def work():
            async with client:
                await client.generate("a fox")

        events = []
        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url, on_event=on_event)
            for _ in range(3):
                asyncio.run(work())

        assert ["Waiting", "Sending", "Answered"] * 3 == [type(event).__name__ for event in events]
    """,
    "a factory that fails": """
        async def coroutine(purpose, **settings):
            pass

        async def work():
            async with client:
                try:
                    await client.generate("a fox")
                except TypeError:
                    return
            assert False

        async def on_event(event):
            pass

        def half(purpose, **settings):
            return aiohttp.ClientSession(**settings) if purpose == "api" else None

        import aiohttp
        for factory in (coroutine, lambda *_, **__: None, half):
            client = Ideogram("sandbox", base_url="http://127.0.0.1:9", session_factory=factory, on_event=on_event)
            for _ in range(3):
                asyncio.run(work())
        gc.collect()
    """,
    "cancelled while closing": """
        async def on_event(event):
            await asyncio.sleep(0.2)

        async def work():
            await client.generate("a fox")
            try:
                async with asyncio.timeout(0.01):
                    await client.aclose()
            except TimeoutError:
                pass
            gc.collect()

        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url, on_event=on_event)
            for _ in range(3):
                asyncio.run(work())
        del client
        gc.collect()
    """,
    "two loops at a time": """
        async def work():
            async with client:
                answers = await asyncio.gather(*(client.generate("a fox") for _ in range(5)))
                await client.fetch(answers[0].data[0])
                assert 5 == len(answers)

        with running_in_thread(Sandbox(max_in_flight=100)) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url)
            for _ in range(3):
                threads = [threading.Thread(target=asyncio.run, args=(work(),)) for _ in range(2)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
    """,
    "never used": """
        async def work():
            async with Ideogram("sandbox") as client:
                pass
            await client.aclose()

        asyncio.run(work())
        Ideogram()
    """,
    "a loop that is closed without shutdown": """
        async def work():
            await client.generate("a fox")

        with running_in_thread(Sandbox()) as sandbox:
            client = Ideogram("sandbox", base_url=sandbox.url)
            for _ in range(3):
                loop = asyncio.new_event_loop()
                loop.run_until_complete(work())
                loop.close()
            asyncio.run(work())
            gc.collect()
    """,
}


@pytest.mark.parametrize("program", [pytest.param(program, id=name) for name, program in PROGRAMS.items()])
def test_no_warnings(program: str) -> None:
    """However a client is used and dropped, it prints nothing and warns of nothing."""
    run_quietly(program)


async def test_used_after_it_was_closed() -> None:
    """A closed client opens again at the next call, and closes again."""
    async with RawServer(OK) as server:
        client = Ideogram("key", base_url=server.url, retry=AT_ONCE)
        for _ in range(3):
            await client.generate("a fox")
            await client.aclose()
            await client.aclose()

        assert 3 == server.posts


async def test_a_slow_listener_gets_all_events() -> None:
    """Closing waits for async listeners, including the events of the calls that it ends."""
    names: list[str] = []

    async def on_event(event: Event) -> None:
        await asyncio.sleep(0)
        names.append(type(event).__name__)

    async with RawServer((whole, stall)) as server:
        client = Ideogram("key", base_url=server.url, on_event=on_event)
        task = asyncio.create_task(client.generate("a fox"))
        await server.wait_for_requests(1)
        await client.aclose()
        with pytest.raises(AmbiguousError):
            await task

    assert ["Waiting", "Sending", "Failed"] == names


def failing(event: Event) -> None:
    raise KeyError(event.call_id)


async def failing_later(event: Event) -> None:
    await asyncio.sleep(0)
    raise KeyError(event.call_id)


@pytest.mark.parametrize("on_event", [failing, failing_later])
async def test_failing_listener(on_event: Callable[[Event], Awaitable[None] | None], caplog: Any) -> None:
    """A listener that fails never affects a call, and is logged once."""
    async with RawServer(OK) as server, connected(server.url, on_event=on_event) as client:
        await client.generate("a fox")
        await client.generate("a fox")

    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert ["on_event failed; its further failures are not reported"] == [each.message for each in errors]


async def test_nothing_leaks(tmp_path: Path) -> None:
    """After calls with all kinds of outcomes, tasks, files and sockets are as before."""
    scripts = [OK, (whole, reset), page(500), refused(400), (whole,), refused(429), OK]
    image = tmp_path / "fox.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2**20))
    async with RawServer(*scripts * 3) as server:
        tasks, files, threads = other_tasks(), sorted(descriptors()), threading.active_count()
        for _ in range(3):
            async with connected(server.url) as client:
                calls = (client.remove_background(image) for _ in range(len(scripts) - 1))
                await asyncio.gather(*calls, return_exceptions=True)

        async with asyncio.timeout(30):
            while server._tasks:
                await asyncio.sleep(0)

        assert tasks == other_tasks()
        assert files == sorted(descriptors())
        assert threading.active_count() <= threads + 16


async def test_a_sandbox_in_the_same_loop() -> None:
    """A sandbox in the same loop answers, bills once, and its image host receives no key."""
    async with Sandbox() as sandbox, connected(sandbox.url) as client:
        images = await client.generate("a fox", num_images=2)
        for image in images:
            await client.fetch(image)

        assert (2, 0, []) == (sandbox.ledger.billed_images, len(sandbox.ledger.duplicates), sandbox.leaked_keys)


async def test_views_share_the_client() -> None:
    """A view shares the sessions of its client, and reports to its own listener."""
    ours, theirs = Events(), Events()
    async with RawServer(OK, (whole, stall)) as server, connected(server.url, on_event=ours) as client:
        view = client.with_options(on_event=theirs, timeout=1)
        await view.generate("a fox")
        task = asyncio.create_task(view.generate("a fox"))
        await server.wait_for_requests(2)
        await client.aclose()
        with pytest.raises(AmbiguousError):
            await task

        assert ([], ["Failed"]) == (ours.names, theirs.names[-1:])
        assert [] == theirs.of(Retrying)


def test_statistics_without_a_loop() -> None:
    """The statistics of a client can be read outside an event loop."""
    client = Ideogram("key")

    assert (10.0, 0) == (client.limiter.statistics().limit, client.limiter.statistics().in_flight)
