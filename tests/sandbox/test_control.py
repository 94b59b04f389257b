"""The sandbox is controlled from any thread and loop, and leaves nothing open."""

from __future__ import annotations

import asyncio
import threading

import pytest
from support.programs import run_quietly

from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox.thread import running_in_thread

LEFTOVERS = """
import aiohttp

async def call(session, url, **options):
    try:
        async with session.request("POST", url, headers={"Api-Key": "key"}, **options) as reply:
            await reply.read()
    except aiohttp.ClientError:
        pass

async def main():
    sandbox = Sandbox()
    await sandbox.start()
    body = {"image_request": {"prompt": "a fox"}}
    async with aiohttp.ClientSession() as session:
        async with session.post(sandbox.url + "/generate", json=body, headers={"Api-Key": "key"}) as reply:
            link = (await reply.json())["data"][0]["url"]
        sandbox.fail(fault=Fault.hang)
        sandbox.fail(after=1, fault=Fault.drip(0.5))
        sandbox.fail("images", fault=Fault.endless)
        tasks = [asyncio.create_task(call(session, sandbox.url + "/generate", json=body)) for _ in range(2)]
        await sandbox.wait_for_requests(3)
        sandbox.hold()
        tasks.append(asyncio.create_task(call(session, sandbox.url + "/generate", json=body)))
        await sandbox.wait_for_requests(4)
        endless = await session.get(link)
        await endless.content.readany()
        await sandbox.aclose()
        await sandbox.aclose()
        await asyncio.gather(*tasks)
        endless.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}

asyncio.run(main())
"""


def test_closing_leaves_nothing_open():
    """Closing during held, hanging and endless replies leaves no task, socket or warning."""
    run_quietly(LEFTOVERS)


def test_three_loops_and_another_thread():
    """A sandbox in a thread serves one event loop after another, and applies commands of this thread at once."""
    import aiohttp

    async def generate(sandbox: Sandbox) -> int:
        form = aiohttp.FormData({"prompt": "a fox"}, default_to_multipart=True)
        url = f"{sandbox.url}/v1/ideogram-v3/generate"
        async with aiohttp.ClientSession() as session, session.post(url, data=form, headers={"Api-Key": "k"}) as reply:
            await sandbox.wait_for_requests(1)
            await sandbox.wait_idle()
            return reply.status

    with running_in_thread(Sandbox()) as sandbox:
        statuses = [asyncio.run(generate(sandbox))]
        sandbox.fail(fault=Fault.status(500))
        statuses.append(asyncio.run(generate(sandbox)))
        sandbox.fail(fault=Fault.refuse)
        with pytest.raises(aiohttp.ClientConnectorError):
            asyncio.run(generate(sandbox))
        sandbox.release()
        statuses.append(asyncio.run(generate(sandbox)))
        billed = sandbox.ledger.billed_images
        sandbox.reset()

        assert [200, 500, 200] == statuses
        assert 2 == billed
        assert ([], 0) == (sandbox.requests, sandbox.ledger.billed_images)

    assert "ideogram-sandbox" not in [thread.name for thread in threading.enumerate()]


def test_hold_from_another_thread():
    """A call held from this thread finishes when this thread releases it."""
    import aiohttp

    async def generate(sandbox: Sandbox) -> int:
        body = {"image_request": {"prompt": "a fox"}}
        url = f"{sandbox.url}/generate"
        async with aiohttp.ClientSession() as session:
            running = asyncio.create_task(session.post(url, json=body, headers={"Api-Key": "k"}))
            await sandbox.wait_for_requests(1)
            waiting = not running.done()
            await asyncio.to_thread(sandbox.release)
            async with await running as reply:
                return reply.status if waiting else 0

    with running_in_thread(Sandbox()) as sandbox:
        sandbox.hold()

        assert 200 == asyncio.run(generate(sandbox))


def test_thread_raises_start_errors(port_in_use):
    """A sandbox that cannot start in its thread raises in the caller."""
    with pytest.raises(OSError, match="in use"), running_in_thread(Sandbox(port=port_in_use)):
        pass


@pytest.fixture
def port_in_use():
    """Return a port in use."""
    with running_in_thread(Sandbox()) as sandbox:
        yield int(sandbox.url.rpartition(":")[2])


async def test_reset_clears_everything(sandbox, api):
    """A reset clears every record, and a call in flight does not appear in the new state."""
    await api.post("/datasets", {"name": "Foxes"})
    sandbox.hold()
    running = asyncio.create_task(api.generate())
    await sandbox.wait_for_requests(2)

    sandbox.reset()
    answer = await running

    assert 200 == answer.status
    assert ([], [], [], 0, 0) == (
        sandbox.requests,
        sandbox.image_requests,
        sandbox.leaked_keys,
        sandbox.peak_in_flight,
        sandbox.ledger.billed_images,
    )
    assert [] == (await api.get("/datasets")).json["datasets"]


async def test_records(sandbox, api, png):
    """A record contains the operation, the exact parts, case-insensitive headers, and the query."""
    await api.form("/v1/remove-background", [("image", ("a fox.png", png))])
    await api.get("/models", [("status", "DRAFT"), ("status", "ERRORED")])
    await api.post("/datasets", {"name": "Foxes"})

    form, query, body = sandbox.requests

    assert "POST /v1/remove-background" == form.operation
    assert [("image", "a fox.png", "image/png", png)] == [
        (part.name, part.filename, part.content_type, part.body) for part in form.parts
    ]
    assert "key" == form.headers["api-key"]
    assert [("status", "DRAFT"), ("status", "ERRORED")] == query.query
    assert {"name": "Foxes"} == body.json


async def test_a_cancelled_wait_leaves_nothing(sandbox):
    """A cancelled wait is removed from the condition."""
    waiting = asyncio.create_task(sandbox.wait_for_requests(1))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)

    assert {} == sandbox._condition._waiting


def test_a_closed_loop_is_not_woken(sandbox_in_thread):
    """A wait of a closed loop is dropped."""
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(sandbox_in_thread.wait_for_requests(1))
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    sandbox_in_thread._state.requests.append(None)

    sandbox_in_thread._condition.notify()

    assert {} == sandbox_in_thread._condition._waiting
    waiting._log_destroy_pending = False


@pytest.fixture
def sandbox_in_thread():
    """Run a sandbox in a thread."""
    with running_in_thread(Sandbox()) as sandbox:
        yield sandbox


async def test_incomplete_request(sandbox, api):
    """A request that is not received completely is not recorded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(sandbox.url.rpartition(":")[2]))
    writer.write(b"POST /generate HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nExpect: 100-continue\r\n\r\n")
    first = await reader.readline()
    writer.write(b"{")
    writer.close()
    await writer.wait_closed()
    await api.get("/models")

    assert b"HTTP/1.1 100 Continue\r\n" == first
    assert ["GET /models"] == [arrival.operation for arrival in sandbox.requests]


async def test_faults_before_the_start(make_api):
    """Faults injected before the start apply from the start."""
    sandbox = Sandbox()
    sandbox.fail(fault=Fault.refuse)
    closed = repr(sandbox)
    async with sandbox:
        import aiohttp

        with pytest.raises(aiohttp.ClientConnectorError):
            await make_api(sandbox).generate()
        sandbox.release()
        answer = await make_api(sandbox).generate()

    assert "closed" in closed
    assert 200 == answer.status
    with pytest.raises(RuntimeError, match="not running"):
        sandbox.url  # noqa: B018


def test_public_names():
    """The package exports two names."""
    import ideogram_async.sandbox as package

    assert {"Fault", "Sandbox"} <= set(dir(package))
    with pytest.raises(AttributeError, match="Box"):
        package.Box  # noqa: B018
