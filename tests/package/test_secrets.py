"""Secrecy of the API key: it is in the header of a request to the service only."""

from __future__ import annotations

import asyncio
import copy
import gzip
import json
import logging
import math
import os
import pickle
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
from support.batches import collect
from support.clients import CANARY, Events, FailingResolver, connected, session_factory_with
from support.leaks import files_below
from support.paths import DATA
from support.rawserver import (
    GOOD,
    OK,
    RawServer,
    Script,
    answer,
    page,
    raw_response,
    refused,
    reset,
    stall,
    status,
    whole,
)

from ideogram_async import (
    AuthenticationError,
    BadRequestError,
    DecodeError,
    Generate,
    Ideogram,
    IdeogramError,
    Retry,
    Timeout,
)
from ideogram_async._redaction import HeaderSecret, Secret
from ideogram_async.batch import Folder

BAD = f"{CANARY}\nX-Evil: 1"
ECHO = f'{{"error": "invalid key {CANARY}", "reject_reason": "{CANARY}"}}'.encode()


def crash_report(error: BaseException) -> str:
    """Return all that a crash reporter could show of an error, including the locals of the library's frames.

    The test's own frames are left out: they contain the key.
    """
    pages = [repr(error), str(error), repr(error.__dict__), repr(error.args)]
    seen: set[int] = set()

    def visit(each: BaseException | None) -> None:
        if each is None or id(each) in seen:
            return

        seen.add(id(each))
        trace = traceback.TracebackException.from_exception(each, capture_locals=True)
        for frame in trace.stack:
            if not frame.filename.startswith(str(Path(__file__).parent)):
                pages.append(f"{frame.filename}:{frame.lineno} {frame.locals}")

        pages.append(repr(each))
        visit(each.__cause__)
        visit(each.__context__)
        for other in getattr(each, "exceptions", ()):
            visit(other)

    visit(error)
    return "\n".join(pages)


@asynccontextmanager
async def watched(caplog: pytest.LogCaptureFixture) -> AsyncGenerator[None]:
    """Log at the lowest level with asyncio's debug mode; assert that the key is not in the log."""
    caplog.set_level(logging.DEBUG)
    loop = asyncio.get_running_loop()
    loop.set_debug(True)
    loop.slow_callback_duration = 0.0
    yield
    loop.set_debug(False)

    assert caplog.records
    assert CANARY not in caplog.text


FAILURES: dict[str, tuple[Script, dict[str, Any]]] = {
    "not sent": (OK, {"session_factory": session_factory_with(FailingResolver)}),
    "lost": ((whole, reset), {}),
    "cut head": ((whole, answer(b"HTTP/1.1 200 O")), {}),
    "no HTTP": ((whole, answer(b"no\r\n\r\n")), {}),
    "silent": ((whole, stall), {"timeout": 0.05}),
    "slow body": ((whole, answer(raw_response(200, b"{", {"Content-Length": "9"})), stall), {"timeout": 0.05}),
    "cut": ((whole, answer(raw_response(200, b"{", {"Content-Length": "9"}))), {}),
    "no JSON": (status(200, b"<html>"), {}),
    "redirected": (status(302, b"", {"Location": "http://127.0.0.1:9/"}), {}),
    **{str(code): (refused(code), {}) for code in (400, 401, 402, 403, 404, 409, 422)},
    "429": (refused(429), {"retry": Retry(base=0.0, throttle_wait=0.0)}),
    "500": (page(500), {}),
    "echoed in a refusal": (status(401, ECHO, {"X-Key": f"is {CANARY}"}), {}),
    "echoed in text": (status(400, f"no such key: {CANARY}".encode()), {}),
    "echoed in a link": (status(403, f'{{"error": "see https://x.test/?key={CANARY}"}}'.encode()), {}),
    "echoed and compressed": (status(500, gzip.compress(ECHO), {"Content-Encoding": "gzip"}), {}),
    "echoed in a 429": (status(429, ECHO), {"retry": Retry(base=0.0, throttle_wait=0.0)}),
    "echoed in a status line": ((whole, answer(f"HTTP/1.1 {CANARY}\r\n\r\n".encode())), {}),
    "echoed in a bad header": ((whole, answer(f"HTTP/1.1 200 OK\r\n{CANARY} \0\r\n\r\n".encode())), {}),
    "echoed in a success": (status(200, ECHO, {"X-Key": CANARY}), {}),
    "echoed and cut": ((whole, answer(raw_response(200, ECHO, {"Content-Length": "999"}))), {}),
}


@pytest.mark.parametrize(("script", "options"), FAILURES.values(), ids=FAILURES)
async def test_errors(script: Script, options: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    """No error, pickle, traceback with locals, event or log contains the key."""
    events = Events()
    async with watched(caplog), RawServer(script) as server:
        url = "https://api.test" if "session_factory" in options else server.url
        async with connected(url, on_event=events, **options) as client:
            with pytest.raises(IdeogramError) as caught:
                await client.generate("a fox")

            await asyncio.sleep(0)

    assert CANARY not in crash_report(caught.value)
    assert CANARY.encode() not in pickle.dumps(caught.value)
    assert CANARY not in repr(events)


async def test_an_echoed_key_is_masked() -> None:
    """A key that the service echoes is masked in the message, the body, the reason and the headers of an error."""
    async with RawServer(status(401, ECHO, {"X-Key": f"is {CANARY}"})) as server, connected(server.url) as client:
        with pytest.raises(AuthenticationError) as caught:
            await client.generate("a fox")

    error = caught.value

    assert "POST /v1/ideogram-v3/generate: 401 invalid key ***" == str(error)
    assert ({"error": "invalid key ***", "reject_reason": "***"}, "***") == (error.body, error.reason)
    assert "is ***" == error.headers["x-key"]


async def test_links_stay_as_they_came() -> None:
    """A key in an answer is masked outside links only: a changed link could not be downloaded."""
    url = f"https://x.test/a.png?key={CANARY}&sig=1"
    body = GOOD.replace(b"a fox", CANARY.encode()).replace(json.loads(GOOD)["data"][0]["url"].encode(), url.encode())
    escaped = body.replace(b"/", b"\\/")
    async with RawServer(status(200, body), status(200, escaped)) as server, connected(server.url) as client:
        answers = [await client.generate("a fox") for _ in range(2)]

    assert [("***", url)] * 2 == [(images[0].prompt, images[0].url) for images in answers]
    assert [body.replace(f'"{CANARY}"'.encode(), b'"***"')] == [answers[0].meta.raw]


KEY = "abc/def+ghi=jkl/mno"
ESCAPED = {
    "slashes": KEY.replace("/", "\\/").encode(),
    "JSON": "".join(f"\\u{ord(character):04X}" for character in KEY).encode(),
    "URL": quote(KEY, safe="").encode(),
    "HTML": KEY.replace("/", "&#x2F;").replace("+", "&#43;").encode(),
}


@pytest.mark.parametrize("escaped", ESCAPED.values(), ids=ESCAPED)
@pytest.mark.parametrize("code", [400, 200])
async def test_an_escaped_key_is_masked(code: int, escaped: bytes) -> None:
    """A key is found with its characters escaped as in JSON, a URL or HTML."""
    reply = b'{"error": "' + escaped + b'"}'
    async with RawServer(status(code, reply)) as server, connected(server.url, api_key=KEY) as client:
        with pytest.raises((BadRequestError, DecodeError)) as caught:
            await client.generate("a fox")

    error = caught.value
    body = json.loads(error.raw) if isinstance(error, DecodeError) else error.body

    assert {"error": "***"} == body


async def test_a_key_in_utf_16_is_masked() -> None:
    """The rest of the body stays as it is."""
    body = json.dumps({"error": KEY}).encode("utf-16")
    async with RawServer(status(400, body)) as server, connected(server.url, api_key=KEY) as client:
        with pytest.raises(BadRequestError) as caught:
            await client.generate("a fox")

    assert {"error": "***"} == caught.value.body


async def test_a_short_key_is_not_searched_for() -> None:
    """A key under 16 characters may be a word of the text."""
    async with RawServer(OK) as server, connected(server.url, api_key="fox") as client:
        images = await client.generate("a fox")

    assert ("a fox", GOOD) == (images[0].prompt, images.meta.raw)


@pytest.mark.parametrize("code", [200, 400, 502])
async def test_an_echoed_key_in_a_batch(code: int, tmp_path: Path) -> None:
    """No file of a batch contains a key that the service echoes."""
    async with RawServer(status(code, ECHO, {"X-Key": CANARY})) as server, connected(server.url) as client:
        results = await collect(client, [Generate("a fox")], tmp_path)

    folder = Folder(tmp_path)
    folder.export_csv(tmp_path / "jobs.csv")
    folder.export_jsonl(tmp_path / "jobs.jsonl")
    folder.gallery()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]

    assert {"jobs.csv", "jobs.jsonl", "journal.sqlite3"} <= {path.name for path in files}
    assert [] == [path for path in files if CANARY.encode() in path.read_bytes()]
    assert CANARY not in repr([(result, result.error, vars(result.error)) for result in results])


def test_a_client_cannot_be_pickled() -> None:
    """A client is neither pickled nor deep-copied, and the error states what to do instead."""
    client = Ideogram(CANARY)
    for duplicate in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match=r"create one in each process, with Ideogram\(\)"):
            duplicate(client)

    assert client.limiter is copy.copy(client).limiter


async def by_timeout(work: Coroutine[Any, Any, Any], ready: Coroutine[Any, Any, None]) -> None:
    async def expire() -> None:
        await ready
        scope.reschedule(0)

    scope = asyncio.timeout(None)
    task = asyncio.create_task(expire())
    try:
        async with scope:
            await work
    finally:
        await task


async def by_cancel(work: Coroutine[Any, Any, Any], ready: Coroutine[Any, Any, None]) -> None:
    async def cancel() -> None:
        await ready
        own.cancel()

    own = asyncio.current_task()
    assert own is not None
    task = asyncio.create_task(cancel())
    try:
        await work
    except asyncio.CancelledError:
        own.uncancel()
        raise
    finally:
        await task


async def by_group(work: Coroutine[Any, Any, Any], ready: Coroutine[Any, Any, None]) -> None:
    async def fail() -> None:
        await ready
        raise KeyError

    async with asyncio.TaskGroup() as group:
        group.create_task(fail())
        await work


async def by_scope(work: Coroutine[Any, Any, Any], ready: Coroutine[Any, Any, None]) -> None:
    async def expire() -> None:
        await ready
        scope.deadline = -math.inf

    task = asyncio.create_task(expire())
    try:
        with anyio.fail_after(10) as scope:
            await work
    finally:
        await task


@pytest.mark.parametrize("head", [b"", raw_response(200, b"{", {"Content-Length": "9"})])
@pytest.mark.parametrize("cancel", [by_timeout, by_cancel, by_group, by_scope])
async def test_cancellations(cancel: Callable[..., Awaitable[None]], head: bytes, tmp_path: Path) -> None:
    """No cancellation exposes the key: the frames of aiohttp, which contain the request, are gone."""
    image = tmp_path / "fox.png"
    image.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2**16))
    async with RawServer((whole, answer(head), stall)) as server, connected(server.url) as client:
        with pytest.raises(BaseException) as caught:  # noqa: PT011
            await cancel(client.remove_background(image), server.wait_for_requests(1))

        shown = crash_report(caught.value)

        assert "pipeline.py" in shown
        assert "aiohttp/client.py" not in shown
        assert CANARY not in shown


async def test_repr() -> None:
    """The repr of the client, of its views and of their parts does not show the key."""
    client = Ideogram(CANARY, extra_headers={"X-Token": CANARY}, proxy=f"http://user:{CANARY}@proxy")
    view = client.with_options(timeout=1)
    pipeline = client._pipeline
    values = (client, view, pipeline, pipeline.config, pipeline.options, client.limiter)
    shown = "\n".join(f"{value!r} {value}" for value in values)
    shown += repr(vars(client)) + repr(vars(pipeline)) + repr(vars(pipeline.transport))
    shown += repr(vars(pipeline.config.sessions))

    assert CANARY not in shown


def test_secret() -> None:
    """Only `reveal` returns the characters of a secret; text, pickles and copies show a mask."""
    secret = Secret(f"  {CANARY}\n")
    texts = [repr(secret), str(secret), f"{secret}", f"{secret!r:>10}", repr([secret]), repr(secret.reveal())]

    assert CANARY not in "".join(texts)
    assert CANARY.encode() not in pickle.dumps([secret, secret.reveal()])
    assert ["***", "***"] == [str(pickle.loads(pickle.dumps(secret)).reveal()), copy.copy(secret.reveal())]
    assert CANARY == "".join(secret.reveal())
    assert HeaderSecret is type(secret.reveal())


@pytest.mark.parametrize(
    ("key", "kind"),
    [(BAD, ValueError), (f"{CANARY}\0", ValueError), (f"{CANARY}é", ValueError), (CANARY.encode(), TypeError)],
)
def test_bad_key(key: Any, kind: type[Exception]) -> None:
    """A key that is not allowed in a header is refused immediately and not shown."""
    with pytest.raises(kind) as caught:
        Ideogram(key)

    assert CANARY not in crash_report(caught.value)


async def asynchronously(key: Any) -> Any:
    await asyncio.sleep(0)
    return key


@pytest.mark.parametrize("as_returned", [lambda key: key, asynchronously])
@pytest.mark.parametrize(("key", "kind"), [(BAD, ValueError), (CANARY.encode(), TypeError), ([CANARY], TypeError)])
async def test_bad_key_of_a_function(as_returned: Callable[[Any], Any], key: Any, kind: type[Exception]) -> None:
    """A function that returns such a key fails the call, and nothing is sent."""
    async with RawServer(OK) as server, connected(server.url, api_key=lambda: as_returned(key)) as client:
        with pytest.raises(kind) as caught:
            await client.generate("a fox")

        assert 0 == server.connections
        assert CANARY not in crash_report(caught.value)


@pytest.mark.parametrize("as_returned", [lambda key: key, asynchronously])
@pytest.mark.parametrize("key", [None, "", "  "])
async def test_missing_key_of_a_function(as_returned: Callable[[Any], Any], key: str | None) -> None:
    """A function without a key returns `None` or an empty string: the call fails, and nothing is sent."""
    async with RawServer(OK) as server, connected(server.url, api_key=lambda: as_returned(key)) as client:
        with pytest.raises(AuthenticationError):
            await client.generate("a fox")

        assert 0 == server.connections


@pytest.mark.parametrize("as_returned", [lambda key: key, asynchronously])
async def test_function_is_called_for_each_attempt(as_returned: Callable[[Any], Any]) -> None:
    """A key can change between two attempts."""
    keys = iter(["first", "second", "third"])
    async with RawServer(page(500), page(500), status(200, b'{"models": []}')) as server:
        async with connected(server.url, api_key=lambda: as_returned(next(keys))) as client:
            await client.models.list()

        assert ["first", "second", "third"] == [request.headers["api-key"] for request in server.requests]


async def test_function_fails() -> None:
    """An error of the caller's function propagates, and nothing is sent."""

    def fail() -> str:
        raise LookupError("no vault")

    async with RawServer(OK) as server, connected(server.url, api_key=fail) as client:
        with pytest.raises(LookupError, match="no vault"):
            await client.generate("a fox")

        assert 0 == server.connections


async def test_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key, the URL and the timeout default to environment variables."""
    async with RawServer(OK) as server:
        monkeypatch.setenv("IDEOGRAM_API_KEY", f" {CANARY} ")
        monkeypatch.setenv("IDEOGRAM_BASE_URL", f"{server.url}/below/")
        monkeypatch.setenv("IDEOGRAM_TIMEOUT", "7.5")
        async with Ideogram() as client:
            await client.generate("a fox")

        assert [CANARY] == [request.headers["api-key"] for request in server.requests]
        assert "POST /below/v1/ideogram-v3/generate HTTP/1.1" == server.requests[0].line
        assert Timeout(total=7.5) == client._pipeline.options.timeout


def test_bad_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in the environment that is not allowed in a header is refused and not shown."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", BAD)
    with pytest.raises(ValueError, match="not allowed in an HTTP header") as caught:
        Ideogram()

    assert CANARY not in crash_report(caught.value)


@pytest.mark.parametrize(
    "proxy",
    [
        f"http://user:{CANARY}@127.0.0.1:9",
        f"http://user:p@{CANARY}@127.0.0.1:9",
    ],
)
async def test_proxy_password(proxy: str, caplog: pytest.LogCaptureFixture) -> None:
    """No error of a call contains the password of its proxy."""
    async with watched(caplog), connected("https://api.test", proxy=proxy, api_key="key") as client:
        with pytest.raises(IdeogramError) as caught:
            await client.generate("a fox")

    assert CANARY not in crash_report(caught.value)


@pytest.mark.parametrize(
    ("proxy", "settings"),
    [
        (f"user:{CANARY}@127.0.0.1:9", {}),
        (f"http://user:p/{CANARY}@127.0.0.1:9", {}),
        (f"http://user:{CANARY}@nowhere.test:port", {}),
        (f"socks9://user:{CANARY}@127.0.0.1:9", {}),
        (f"http://user:{CANARY}@127.0.0.1:9", {"max_in_flight": 0}),
    ],
)
def test_the_password_of_an_invalid_proxy(proxy: str, settings: dict[str, Any]) -> None:
    """No error of the constructor contains the password of a proxy, which may be malformed."""
    with pytest.raises(ValueError, match="must be") as caught:
        Ideogram("key", proxy=proxy, **settings)

    assert CANARY not in crash_report(caught.value)


async def test_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file that the library writes contains the key, and none remains."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with RawServer((whole, reset)) as server, connected(server.url) as client:
        with (DATA / "selfsigned.pem").open("rb") as handle, pytest.raises(IdeogramError):
            await client.with_options(validate=False).remove_background(handle)

    assert ([], []) == (os.listdir(tmp_path), files_below(tmp_path))


async def test_image_hosts_get_no_key(tmp_path: Path) -> None:
    """The image host receives neither the key nor the caller's headers, also after a redirect."""
    async with RawServer(refused(404)) as second:
        first_script = status(302, b"", {"Location": f"{second.url}/there.png"})
        async with RawServer(first_script) as first:
            headers = {"X-Token": CANARY}
            policy = Retry(attempts=1)
            async with connected(first.url, extra_headers=headers, retry=policy) as client:
                with pytest.raises(IdeogramError):
                    await client.download(f"{first.url}/here.png", tmp_path / "x.png")

            seen = first.requests + second.requests

        assert 2 == len(seen)
        assert CANARY not in repr([request.headers for request in seen])


@pytest.mark.parametrize(
    "headers",
    [
        {"Api-Key": "x"},
        {"API-KEY": "x"},
        {"X": "a\r\nY: b"},
        {"X": "a\x01"},
        {"X": "\x7f"},
        {"X\r\nY": "b"},
        {"Host": "x"},
        {"X ": "x"},
    ],
)
def test_headers_that_cannot_be_sent(headers: dict[str, str]) -> None:
    """`extra_headers` cannot replace the header of the key, or inject a header."""
    with pytest.raises(ValueError, match="extra_headers"):
        Ideogram("key", extra_headers=headers)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.test",
        "http://127.evil.test",
        "http://127.0.0.1.evil.test",
        "http://localhost.evil.test",
        "ftp://127.0.0.1",
        f"https://user:{CANARY}@api.test",
        "https://",
        "https://a.test?x=1",
    ],
)
def test_base_url(url: str) -> None:
    """The base URL must be https or loopback, and a refused URL is not shown."""
    with pytest.raises(ValueError, match="base_url must begin with https://") as caught:
        Ideogram("key", base_url=url)

    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("path", ["//evil.test/x", "https://evil.test/x", "x", "", "/\\evil.test", "/@evil.test/"])
async def test_raw_stays_at_its_origin(path: str) -> None:
    """No path sends a raw call, and the key with it, to another origin."""
    async with RawServer(OK) as server, connected(server.url) as client:
        try:
            await client.raw("GET", path)
        except IdeogramError:
            pass

        assert len(server.requests) == server.connections <= 1
