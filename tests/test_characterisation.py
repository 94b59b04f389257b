"""Behavior of aiohttp, anyio, tenacity and the system that the design depends on.

A test that fails after an upgrade shows that the reason for a part of this library has changed.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import gzip
import os
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import pytest
from anyio import to_thread
from support.clients import CANARY, FailingResolver
from support.rawserver import GOOD, OK, RawServer, Script, answer, raw_response, refused, reset, stall, status, whole
from tenacity import (
    AsyncRetrying,
    retry_if_exception,
    retry_if_exception_type,
    retry_if_not_exception_type,
    retry_unless_exception_type,
    stop_after_attempt,
)

KEY = {"Api-Key": CANARY}
WITHOUT_LENGTH = raw_response(200).replace(b"Content-Length: 0\r\n", b"")


async def read(url: str, method: str = "GET", **options: Any) -> bytes:
    """Read a page with plain aiohttp."""
    async with aiohttp.ClientSession() as session, session.request(method, url, headers=KEY, **options) as response:
        return await response.read()


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_redirects_carry_the_key(code: int) -> None:
    """On a redirect to another origin aiohttp sends the key, and with 307 and 308 the body."""
    async with RawServer(OK) as elsewhere, RawServer(status(code, b"", {"Location": elsewhere.url})) as server:
        await read(server.url, "POST", data=b"a prompt")
        request = elsewhere.requests[0]

        assert CANARY == request.headers["api-key"]
        assert (b"a prompt" if code in (307, 308) else b"") == request.body


async def test_redirects_drop_authorization() -> None:
    """On a redirect aiohttp drops only `Authorization` and cookies."""
    async with RawServer(OK) as elsewhere, RawServer(status(302, b"", {"Location": elsewhere.url})) as server:
        async with aiohttp.ClientSession() as session:
            await session.get(server.url, headers={"Authorization": "x", "Cookie": "a=b"})

        assert set() == {"authorization", "cookie"} & elsewhere.requests[0].headers.keys()


@pytest.mark.parametrize("force_close", [False, True])
@pytest.mark.parametrize("ending", [(whole,), (whole, reset)])
@pytest.mark.parametrize(
    ("method", "times"),
    [("GET", 2), ("HEAD", 2), ("PUT", 2), ("DELETE", 2), ("OPTIONS", 2), ("POST", 1), ("PATCH", 1)],
)
async def test_broken_connections_are_retried_silently(
    method: str, times: int, ending: Script, force_close: bool
) -> None:
    """After a broken connection, aiohttp sends each request again, PUT and DELETE too, except POST and PATCH."""
    async with RawServer(ending) as server:
        connector = aiohttp.TCPConnector(force_close=force_close)
        async with aiohttp.ClientSession(connector=connector) as session:
            with pytest.raises(aiohttp.ClientConnectionError):
                await session.request(method, server.url)

        assert times == server.connections


async def post_outcome(url: str, timeout: aiohttp.ClientTimeout, **options: Any) -> tuple[type[Exception], bool]:
    """Return the error of a POST, and whether aiohttp reported its headers as sent."""
    events: list[str] = []

    async def mark(*_: object) -> None:
        events.append("sent")

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(mark)
    try:
        async with aiohttp.ClientSession(trace_configs=[trace], timeout=timeout, **options) as session:
            await session.post(url, data=b"x")
    except Exception as error:
        return type(error), bool(events)

    raise AssertionError


async def test_a_timeout_is_the_same_error_before_and_after_sending() -> None:
    """A timeout is the same error before and after the request was sent; only the trace event differs."""
    brief = aiohttp.ClientTimeout(total=0.05)
    async with RawServer((whole, stall)) as server:
        after = await post_outcome(server.url, brief)

    async with RawServer((stall,)) as server:
        before = await post_outcome(server.url.replace("http:", "https:"), brief)

    assert (TimeoutError, TimeoutError) == (before[0], after[0])
    assert (False, True) == (before[1], after[1])


async def test_no_trace_event_without_a_connection() -> None:
    """A lookup or a connection that fails produces no trace event."""
    forever = aiohttp.ClientTimeout()
    async with RawServer(OK, is_listening=False) as server:
        refusal = await post_outcome(server.url, forever)

    lookup = await post_outcome("http://api.test", forever, connector=aiohttp.TCPConnector(resolver=FailingResolver()))

    assert (aiohttp.ClientConnectorError, False) == refusal
    assert (aiohttp.ClientConnectorDNSError, False) == lookup


async def test_the_trace_event_precedes_the_first_byte() -> None:
    """A trace event that raises prevents every byte from being sent."""

    async def fail(*_: object) -> None:
        raise KeyError

    trace = aiohttp.TraceConfig()
    trace.on_request_headers_sent.append(fail)
    async with RawServer((whole,)) as server:
        async with aiohttp.ClientSession(trace_configs=[trace]) as session:
            with pytest.raises(KeyError):
                await session.post(server.url, data=b"x")

        assert [] == server.requests


@pytest.mark.parametrize("ending", [(), (reset,)])
async def test_silent_truncation(ending: Script) -> None:
    """A truncated body of unknown length, even one ended by RST, is read as a success."""
    async with RawServer((whole, answer(WITHOUT_LENGTH + GOOD[:50]), *ending)) as server:
        body = await read(server.url)

    assert GOOD[:50] == body


async def test_silent_truncation_of_gzip() -> None:
    """A truncated compressed body whose announced length matches is read as a success."""
    packed = gzip.compress(os.urandom(10_000))
    async with RawServer(status(200, packed[:5_000], {"Content-Encoding": "gzip"})) as server:
        body = await read(server.url)

    assert len(body) < 10_000


@pytest.mark.parametrize(
    "cut",
    [
        raw_response(200, b"{", {"Content-Length": "9"}),
        raw_response(200, b"1\r\n{\r\n", {"Transfer-Encoding": "chunked"}),
        raw_response(200, b"9\r\n{", {"Transfer-Encoding": "chunked"}),
    ],
)
async def test_detected_truncation(cut: bytes) -> None:
    """A body that is shorter than announced raises an error."""
    async with RawServer((whole, answer(cut))) as server:
        with pytest.raises(aiohttp.ClientPayloadError):
            await read(server.url)


async def test_errors_show_the_key() -> None:
    """The `repr` of aiohttp's errors and of a request contains the key; their text contains the link."""
    text = status(200, b"x", {"Content-Type": "text/plain"})
    async with RawServer(refused(400), text) as server, aiohttp.ClientSession(headers=KEY) as session:
        with pytest.raises(aiohttp.ClientResponseError) as status_error:
            await session.get(f"{server.url}/?sig=x", raise_for_status=True)

        async with session.get(f"{server.url}/?sig=x") as response:
            shown = repr(response.request_info)
            with pytest.raises(aiohttp.ContentTypeError) as type_error:
                await response.json()

    assert [True] * 3 == [CANARY in text for text in (repr(status_error.value), repr(type_error.value), shown)]
    assert "sig=x" in str(status_error.value)


async def attempts_when_cancelled(predicate: Any) -> tuple[int, bool]:
    """Cancel a call at each of its attempts; return how many there were, and whether the task was cancelled."""
    calls = 0

    async def pay() -> None:
        nonlocal calls
        calls += 1
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    controller = AsyncRetrying(retry=predicate, stop=stop_after_attempt(3), reraise=True)
    task = asyncio.create_task(controller(pay))
    await asyncio.wait([task])
    return calls, task.cancelled()


@pytest.mark.parametrize(
    ("predicate", "calls"),
    [
        (retry_if_not_exception_type(ValueError), 3),
        (retry_unless_exception_type(ValueError), 3),
        (retry_if_exception(lambda _: True), 3),
        (retry_if_exception_type(Exception), 1),
    ],
)
async def test_a_predicate_by_exclusion_retries_cancelled_calls(predicate: Any, calls: int) -> None:
    """A tenacity predicate by exclusion retries a cancelled call; one that names the exceptions to retry does not."""
    assert (calls, True) == await attempts_when_cancelled(predicate)


async def attempt_numbers(make: Callable[[], AsyncRetrying]) -> list[list[int]]:
    """Run two tasks that alternate and fail twice each; return the numbers of their attempts."""
    seen: list[list[int]] = [[], []]

    async def work(index: int) -> None:
        async for attempt in make():
            with attempt:
                seen[index].append(attempt.retry_state.attempt_number)
                await asyncio.sleep(0)
                if len(seen[index]) < 3:
                    raise ValueError

    await asyncio.gather(work(0), work(1), return_exceptions=True)
    return seen


async def test_shared_controller_mixes_tasks() -> None:
    """Tasks that iterate over one tenacity controller mix up their attempts; tasks with a copy each do not."""
    shared = AsyncRetrying(stop=stop_after_attempt(5), reraise=True)

    assert [[1, 2, 3], [1, 2, 3]] != await attempt_numbers(lambda: shared)
    assert [[1, 2, 3], [1, 2, 3]] == await attempt_numbers(shared.copy)


async def test_scope_inside_a_generator() -> None:
    """After `break`, a cancel scope in an async generator is exited in the wrong task or order."""

    async def numbers() -> AsyncGenerator[int]:
        async with anyio.create_task_group():
            yield 1
            yield 2

    generator = numbers()

    async def first() -> None:
        async for _ in generator:
            break

    await asyncio.create_task(first())
    with pytest.raises(RuntimeError, match="cancel scope"):
        await generator.aclose()


async def test_a_compression_bomb_is_read_in_pieces() -> None:
    """A compressed body is decompressed in pieces of the requested size, so that a size limit holds."""
    bomb = gzip.compress(bytes(64 * 2**20))
    sizes = []
    async with RawServer(status(200, bomb, {"Content-Encoding": "gzip"})) as server, aiohttp.ClientSession() as session:
        response = await session.get(server.url)
        async for chunk in response.content.iter_chunked(2**16):
            sizes.append(len(chunk))
            if sum(sizes) > 2**20:
                break

        response.close()

    assert max(sizes) <= 2**16


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")
def test_short_write_on_a_full_disk(tmp_path: Path) -> None:
    """`os.write` on a disk that fills up writes less without an error; only the next write fails."""
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "none", tmp_path], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs root")

    try:
        handle = os.open(tmp_path / "x", os.O_CREAT | os.O_WRONLY)
        written = os.write(handle, bytes(2**17))
        with pytest.raises(OSError, match="No space") as caught:
            os.write(handle, bytes(2**17))

        os.close(handle)
    finally:
        subprocess.run(["umount", tmp_path], check=True)

    assert (2**16, errno.ENOSPC) == (written, caught.value.errno)


LOCKER = """
import fcntl, os, signal, sys, time
handle = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR)
fcntl.flock(handle, fcntl.LOCK_EX)
child = os.fork() if sys.argv[2] == "fork" else -1
if child == 0:
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("mode", ["alone", "fork"])
def test_lock_after_kill(tmp_path: Path, mode: str) -> None:
    """A lock is released when its owner is killed, unless a forked child is still running."""
    with subprocess.Popen([sys.executable, "-c", LOCKER, tmp_path / "lock", mode], stdout=subprocess.PIPE) as owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline())
        owner.kill()
        owner.wait()
        with (tmp_path / "lock").open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                is_free = True
            except BlockingIOError:
                is_free = False

        if child > 0:
            os.kill(child, signal.SIGKILL)

    assert (mode == "alone") == is_free


async def test_a_thread_outlives_its_cancelled_caller() -> None:
    """On a native cancellation anyio's `to_thread` returns at once, while its thread continues."""
    begun, gate, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work() -> None:
        loop.call_soon_threadsafe(begun.set)
        gate.wait(10)
        ended.set()

    task = asyncio.create_task(to_thread.run_sync(work))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task], timeout=5)
    returned_first = task.cancelled() and not ended.is_set()
    gate.set()

    assert returned_first
    assert ended.wait(5)
