"""Purchases by `Idempotency-Key`: one for each key, despite failures of the client, the network and the server."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import aiohttp
import pytest
from attrs import frozen
from fastapi import Depends, FastAPI, Request
from starlette.responses import Response
from support.clients import CANARY
from support.ledgers import Store
from support.paths import SUPPORT
from support.pictures import picture
from support.postgres import PostgresServer, new_schema
from support.serving import SocketClient, serving

from ideogram_async import Generate, Ideogram, Upscale, v2
from ideogram_async._transport import polling
from ideogram_async.integrations.fastapi import Buy, get_client, idempotent, install_error_handlers, lifespan
from ideogram_async.ledger import CallState, SqliteLedger
from ideogram_async.sandbox import Fault, Sandbox

LEASE = 0.4
KEY = "order-4711"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of the ledger."""
    return tmp_path / "calls.sqlite3"


@frozen
class Reply:
    """A response."""

    status: int
    headers: dict[str, str]
    body: Any

    @property
    def is_replayed(self) -> bool:
        return self.headers["idempotent-replayed"] == "True"


def user_of(request: Request) -> str:
    return request.headers.get("X-User", "ann")


def make_app(sandbox: Sandbox, path: Path, scope: Callable[[Request], Any] = user_of, **options: Any) -> FastAPI:
    """Return an app with a client and a ledger of its own, as another process would have them."""
    ledger = SqliteLedger(path, lease=LEASE)
    app = FastAPI(lifespan=partial(lifespan, client=Ideogram(CANARY, base_url=sandbox.url, ledger=ledger)))
    install_error_handlers(app)
    buying = idempotent(scope=scope, **options)

    @app.post("/hero")
    @app.post("/thumbnail")
    async def hero(response: Response, buy: Annotated[Buy, Depends(buying)], prompt: str = "a fox") -> dict[str, Any]:
        answer = await buy(Generate(prompt))
        response.headers["Idempotent-Replayed"] = str(buy.replayed)
        return answer.to_dict()

    @app.post("/accepted")
    async def accepted(response: Response, buy: Annotated[Buy, Depends(buying)]) -> dict[str, Any]:
        answer = await buy(v2.Generate46("a fox"))
        response.headers["Idempotent-Replayed"] = str(buy.replayed)
        return answer.to_dict()

    @app.post("/two")
    async def two(response: Response, buy: Annotated[Buy, Depends(buying)], part: str) -> dict[str, Any]:
        await buy(Generate("a fox"))
        large = await buy(Upscale(("fox.png", picture())), part=part)
        response.headers["Idempotent-Replayed"] = str(buy.replayed)
        return large.to_dict()

    return app


async def post(url: str, key: str | None = KEY, path: str = "/hero", *more: tuple[str, str], **query: str) -> Reply:
    """Send a request over a new connection."""
    headers = [*more, *([] if key is None else [("Idempotency-Key", key)])]
    async with aiohttp.ClientSession() as http, http.post(url + path, params=query, headers=headers) as response:
        names = {name.lower(): value for name, value in response.headers.items()}
        return Reply(response.status, names, await response.json() if "json" in names["content-type"] else None)


async def test_the_same_key_has_the_same_answer(sandbox: Sandbox, path: Path) -> None:
    """One purchase is made, also if the app is started again, and the ledger has neither key nor user."""
    async with serving(make_app(sandbox, path)) as url:
        replies = [await post(url) for _ in range(2)]

    async with serving(make_app(sandbox, path)) as url:
        replies.append(await post(url))

    async with SqliteLedger(path) as ledger:
        [entry] = [entry async for entry in ledger.entries()]

    assert [200, 200, 200] == [reply.status for reply in replies]
    assert [False, True, True] == [reply.is_replayed for reply in replies]
    assert [replies[0].body] * 3 == [reply.body for reply in replies]
    assert 1 == len(sandbox.requests)
    assert entry.key.startswith("http/")
    assert not any(secret in entry.key for secret in (KEY, "ann"))


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ([], "is missing"),
        ([""], "must have 1 to 255 bytes"),
        (['""'], "must have 1 to 255 bytes"),
        (["x" * 256], "must have 1 to 255 bytes"),
        (["a", "a"], "was sent more than once"),
        (['"a'], "is not a quoted string"),
        (['"a", "b"'], "is not a quoted string"),
        (['"a\\b"'], "is not a quoted string"),
    ],
)
async def test_keys_that_cannot_be_used(sandbox: Sandbox, path: Path, keys: list[str], rule: str) -> None:
    """They are answered with 400 and the rule, before anything else."""
    async with serving(make_app(sandbox, path)) as url:
        reply = await post(url, None, "/hero", *(("Idempotency-Key", key) for key in keys))

    assert (400, "application/problem+json") == (reply.status, reply.headers["content-type"])
    assert ({"Idempotency-Key": [rule]}, "no") == (reply.body["problems"], reply.body["billed"])
    assert "such as a UUID" in reply.body["advice"]
    assert [] == sandbox.requests


@pytest.mark.parametrize(
    ("bare", "quoted"), [("a-1", '"a-1"'), ('a"1\\', '"a\\"1\\\\"'), ("x" * 255, f'"{"x" * 255}"')]
)
async def test_quoted_and_bare_keys(sandbox: Sandbox, path: Path, bare: str, quoted: str) -> None:
    """The string of the standard and the form of older services are the same key."""
    async with serving(make_app(sandbox, path)) as url:
        replies = [await post(url, key) for key in (bare, quoted)]

    assert [False, True] == [reply.is_replayed for reply in replies]


async def test_a_key_may_be_left_out(sandbox: Sandbox, path: Path) -> None:
    """Where none is required, a request without one is sent each time, and a broken one is refused."""
    async with serving(make_app(sandbox, path, required=False)) as url:
        replies = [await post(url, key) for key in (None, None, KEY, KEY, "")]

    assert [200, 200, 200, 200, 400] == [reply.status for reply in replies]
    assert [False, False, False, True] == [reply.is_replayed for reply in replies[:4]]
    assert 3 == len(sandbox.requests)


async def test_a_double_click_buys_once(sandbox: Sandbox, path: Path) -> None:
    """The second request waits for the first one, and gets its answer."""
    sandbox.hold()
    async with serving(make_app(sandbox, path)) as url:
        clicks = [asyncio.create_task(post(url)) for _ in range(2)]
        await sandbox.wait_for_requests(1)
        sandbox.release()
        first, second = await asyncio.gather(*clicks)

    assert (200, first.body) == (second.status, second.body)
    assert {False, True} == {first.is_replayed, second.is_replayed}
    assert 1 == len(sandbox.requests)


@pytest.mark.parametrize("wait", [0, 0.05])
async def test_a_purchase_in_progress(sandbox: Sandbox, path: Path, wait: float) -> None:
    """After that time a repeat is answered with 409 and when to repeat, also by another process."""
    sandbox.hold()
    apps = [make_app(sandbox, path, wait=wait) for _ in range(2)]
    async with serving(apps[0]) as url, serving(apps[1]) as other:
        first = asyncio.create_task(post(url))
        await sandbox.wait_for_requests(1)
        repeats = [await post(each) for each in (url, other)]
        sandbox.release()
        answer, again = await first, await post(other)

    assert [(409, "5")] * 2 == [(reply.status, reply.headers["retry-after"]) for reply in repeats]
    assert ["Repeat it with the same key."] * 2 == [reply.body["advice"] for reply in repeats]
    assert (answer.body, True) == (again.body, again.is_replayed)
    assert 1 == len(sandbox.requests)


async def test_a_purchase_that_the_service_has_accepted(sandbox: Sandbox, path: Path) -> None:
    """Another process asks for it, too, and says that it is in progress; at its end both have the answer."""
    sandbox.hold()
    apps = [make_app(sandbox, path, wait=wait) for wait in (0.05, None)]
    async with serving(apps[0]) as url, serving(apps[1]) as other:
        first = asyncio.create_task(post(url, KEY, "/accepted"))
        await sandbox.wait_for_requests(2)
        repeat = await post(url, KEY, "/accepted")
        waiting = asyncio.create_task(post(other, KEY, "/accepted"))
        sandbox.release()
        answer, again = await first, await waiting

    assert (409, 200) == (repeat.status, answer.status)
    assert (answer.body["generation_id"], True) == (again.body["generation_id"], again.is_replayed)
    assert 1 == len(sandbox.ledger.entries)


async def test_a_purchase_that_is_not_finished_in_time(
    sandbox: Sandbox, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The problem says that a repeat with the same key waits on, and it does."""
    monkeypatch.setattr(polling, "MISSING_SECONDS", 0)
    sandbox.fail("GET /v2/generations/{generation_id}", fault=Fault.status(404))
    async with serving(make_app(sandbox, path)) as url:
        first, again = await post(url, KEY, "/accepted"), await post(url, KEY, "/accepted")

    assert (504, 200, True) == (first.status, again.status, again.is_replayed)
    assert "Repeat the call with the same key: it waits for the same generation" in first.body["advice"]
    assert 1 == len(sandbox.ledger.entries)


async def test_another_purchase(sandbox: Sandbox, path: Path) -> None:
    """A key that was used for something else is refused, and nothing is sent."""
    async with serving(make_app(sandbox, path)) as url:
        await post(url, prompt="a fox")
        reply = await post(url, prompt="a dog")

    assert (422, "urn:ideogram-async:KeyConflictError") == (reply.status, reply.body["type"])
    assert ("no", "Use another key for another request.") == (reply.body["billed"], reply.body["advice"])
    assert 1 == len(sandbox.requests)


async def test_a_refusal_is_tried_anew(sandbox: Sandbox, path: Path) -> None:
    """Nothing was bought, so the same key buys, and a changed prompt too."""
    sandbox.fail(fault=Fault.status(422))
    async with serving(make_app(sandbox, path)) as url:
        refused, bought = await post(url, prompt="a fox"), await post(url, prompt="a kind fox")

    assert (422, "urn:ideogram-async:SafetyError") == (refused.status, refused.body["type"])
    assert (200, False) == (bought.status, bought.is_replayed)


async def test_a_purchase_in_doubt(sandbox: Sandbox, path: Path) -> None:
    """It is not made again before the operator decides, and the advice is not to take a new key."""
    sandbox.fail(fault=Fault.status(500))
    async with serving(make_app(sandbox, path)) as url, SqliteLedger(path) as ledger:
        doubts = [await post(url) for _ in range(2)]
        sent = len(sandbox.requests)
        [entry] = [entry async for entry in ledger.entries("ambiguous")]
        await ledger.resolve(entry.key, "retry")
        reply = await post(url)

    for doubt in doubts:
        assert (504, "unknown", False) == (doubt.status, doubt.body["billed"], doubt.body["retryable"])
        assert "Do not use a new key" in doubt.body["advice"]
        assert "retry-after" not in doubt.headers

    assert (1, 200, False) == (sent, reply.status, reply.is_replayed)


async def test_two_purchases_of_a_handler(sandbox: Sandbox, path: Path) -> None:
    """Each part is bought once. What is missing after a failure is bought by the repeat."""
    sandbox.fail("upscale", fault=Fault.status(422))
    async with serving(make_app(sandbox, path)) as url:
        replies = [await post(url, KEY, "/two", part="large") for _ in range(3)]

    assert [422, 200, 200] == [reply.status for reply in replies]
    assert [False, True] == [reply.is_replayed for reply in replies[1:]]
    assert ["generate", "upscale", "upscale"] == [each.path.rpartition("/")[2] for each in sandbox.requests]


async def test_two_purchases_need_two_names(sandbox: Sandbox, path: Path) -> None:
    """The mistake of a handler is found at its first request, not by a key that conflicts."""
    app = make_app(sandbox, path)
    async with serving(app):
        buy = Buy(app.state.ideogram, ("ann",), None, None)
        await buy(Generate("a fox"))
        await buy(Generate("a fox"))
        with pytest.raises(ValueError, match=r'part \'\' is bought already: name each further .* part="large"'):
            await buy(Generate("a dog"))

    assert 1 == len(sandbox.requests)


async def test_whose_keys_these_are(sandbox: Sandbox, path: Path) -> None:
    """Users, and resources, never share a key."""
    async with serving(make_app(sandbox, path)) as url:
        replies = [
            await post(url, KEY, path, ("X-User", user))
            for user, path in [("ann", "/hero"), ("bob", "/hero"), ("ann", "/thumbnail"), ("ann", "/hero")]
        ]

    assert [False, False, False, True] == [reply.is_replayed for reply in replies]


@pytest.mark.parametrize("owner", [None, "", object(), 1.5])
async def test_a_scope_that_is_nobody(sandbox: Sandbox, path: Path, owner: object) -> None:
    """Without an owner, users would see each other's images: an error of the app."""
    async with serving(make_app(sandbox, path, lambda request: owner)) as url:
        reply = await post(url)

    assert (500, []) == (reply.status, sandbox.requests)


async def test_a_scope_that_waits(sandbox: Sandbox, path: Path) -> None:
    """It may look up the user in a database, and return its number."""

    async def scope(request: Request) -> int:
        await asyncio.sleep(0)
        return 7

    async with serving(make_app(sandbox, path, scope)) as url:
        replies = [await post(url) for _ in range(2)]

    assert [False, True] == [reply.is_replayed for reply in replies]


@pytest.mark.parametrize("wait", [-1, float("nan")])
def test_invalid_waits(wait: float) -> None:
    """The error names the setting."""
    with pytest.raises(ValueError, match="wait must be a number of seconds from 0, or None"):
        idempotent(scope=user_of, wait=wait)


@pytest.mark.parametrize("required", [True, False])
async def test_openapi_shows_the_header(sandbox: Sandbox, path: Path, required: bool) -> None:
    """The schema has the header, whether it is required, and what it is for."""
    schema = make_app(sandbox, path, required=required).openapi()
    [header] = [each for each in schema["paths"]["/hero"]["post"]["parameters"] if each["in"] == "header"]

    assert ("Idempotency-Key", required, "string") == (header["name"], header["required"], header["schema"]["type"])
    assert "nothing is bought twice" in header["description"]


async def test_a_client_that_disconnects_and_repeats(sandbox: Sandbox, path: Path) -> None:
    """The purchase goes on without it, and the repeat gets its answer."""
    sandbox.hold()
    async with serving(make_app(sandbox, path)) as url:
        gone = await SocketClient.request(url, "/hero", method="POST", Idempotency_Key=KEY)
        await sandbox.wait_for_requests(1)
        await gone.disconnect()
        repeat = asyncio.create_task(post(url))
        sandbox.release()
        reply = await repeat

    assert (200, True) == (reply.status, reply.is_replayed)
    assert 1 == len(sandbox.requests)


@pytest.mark.parametrize("grace", [1000.0, 0.0])
async def test_the_app_closes_the_ledger_last(sandbox: Sandbox, path: Path, grace: float) -> None:
    """A call without callers is recorded before the ledger is closed, at the latest as in doubt."""
    ledger, ending = SqliteLedger(path), asyncio.Event()
    client = Ideogram(CANARY, base_url=sandbox.url, ledger=ledger)

    @asynccontextmanager
    async def own(app: FastAPI) -> AsyncGenerator[None]:
        async with lifespan(app, client, grace=grace):
            yield
            ending.set()

    async def release() -> None:
        await ending.wait()
        sandbox.release()

    sandbox.hold()
    releasing = asyncio.create_task(release()) if grace else None
    async with serving(FastAPI(lifespan=own)):
        caller = asyncio.create_task(client.once(KEY, Generate("a fox")))
        await sandbox.wait_for_requests(1)
        caller.cancel()

    sandbox.release()
    was_open = ledger._database is not None
    async with ledger:
        entry = await ledger.get(KEY)

    assert entry is not None
    assert (False, CallState.ANSWERED if grace else CallState.AMBIGUOUS) == (was_open, entry.state)
    assert releasing is None or await releasing is None


@pytest.mark.parametrize("is_away", [True, False])
async def test_a_ledger_that_cannot_be_used(sandbox: Sandbox, path: Path, is_away: bool) -> None:
    """Nothing is sent without a record. A retry helps if the ledger is unavailable, and not if it is damaged."""
    target = path.parent / "unmounted" / "calls.sqlite3" if is_away else path
    path.write_bytes(b"not a database" * 100)
    async with serving(make_app(sandbox, target)) as url:
        reply = await post(url)

    assert (503, "no", is_away) == (reply.status, reply.body["billed"], reply.body["retryable"])
    assert ("30" if is_away else None) == reply.headers.get("retry-after")
    assert ("Retry later with the same key." if is_away else "The operator") in reply.body["advice"]
    assert str(path.parent) not in str(reply.body)
    assert [] == sandbox.requests


async def test_a_ledger_of_its_own(sandbox: Sandbox, path: Path) -> None:
    """It is used in place of the client's, and can be looked into while the app runs."""
    async with SqliteLedger(path.with_name("other.sqlite3")) as ledger:
        async with serving(make_app(sandbox, path, ledger=ledger)) as url:
            await post(url)

        assert 1 == (await ledger.totals()).calls[CallState.ANSWERED]
        assert not path.exists()


async def test_another_client_in_tests(sandbox: Sandbox, path: Path) -> None:
    """A test of an app replaces the client as for any other dependency."""
    app = make_app(sandbox, path)
    async with Ideogram("other", base_url=sandbox.url, ledger=SqliteLedger(path.with_name("b.sqlite3"))) as client:
        app.dependency_overrides[get_client] = lambda: client
        async with serving(app) as url:
            await post(url)

    assert not path.exists()


@asynccontextmanager
async def process(sandbox: Sandbox, path: Path) -> AsyncGenerator[tuple[str, asyncio.subprocess.Process]]:
    """Run the app in a uvicorn process of its own."""
    settings = {"IDEOGRAM_BASE_URL": sandbox.url, "IDEOGRAM_API_KEY": "sandbox", "LEDGER": str(path)}
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listener:
        arguments = ["--fd", str(listener.fileno()), "--app-dir", str(SUPPORT), "--log-level", "critical"]
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "uvicorn", "buying_app:app", *arguments),
            env=os.environ | settings,
            pass_fds=[listener.fileno()],
        )
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"

    try:
        yield url, server
    finally:
        if server.returncode is None:
            server.kill()

        await server.wait()


async def test_two_servers_and_one_key(sandbox: Sandbox, path: Path) -> None:
    """200 requests of one key to two processes are one purchase and 200 equal answers."""
    sandbox.hold()
    async with process(sandbox, path) as (first, _), process(sandbox, path) as (second, _):
        posts = [asyncio.create_task(post(url)) for url in (first, second) for _ in range(100)]
        await sandbox.wait_for_requests(1)
        sandbox.release()
        replies = await asyncio.gather(*posts)

    assert {200} == {reply.status for reply in replies}
    assert [replies[0].body] * 200 == [reply.body for reply in replies]
    assert 1 == len(sandbox.requests)


async def test_a_killed_server(sandbox: Sandbox, path: Path) -> None:
    """What it had answered is replayed by the next one, and what it was sending is in doubt; neither is sent again."""
    async with process(sandbox, path) as (url, server):
        answered = await post(url, "answered")
        sandbox.hold()
        sending = asyncio.create_task(post(url, "sending"))
        await sandbox.wait_for_requests(2)
        server.kill()
        with pytest.raises(aiohttp.ClientError):
            await sending

    async with process(sandbox, path) as (url, _):
        again = await post(url, "answered")
        doubts = [await post(url, "sending") for _ in range(2)]
        sandbox.release()

    assert (200, answered.body) == (again.status, again.body)
    assert [(504, "unknown")] * 2 == [(reply.status, reply.body["billed"]) for reply in doubts]
    assert 2 == len(sandbox.requests)


async def test_sigterm_drains(sandbox: Sandbox, path: Path) -> None:
    """A purchase in flight is answered before the server ends."""
    sandbox.hold()
    async with process(sandbox, path) as (url, server), SqliteLedger(path) as ledger:
        sending = asyncio.create_task(post(url))
        await sandbox.wait_for_requests(1)
        idle, writer = await asyncio.open_connection("127.0.0.1", url.rpartition(":")[2])
        # One that the server has not accepted yet would stay in the queue of the listener.
        writer.write(b"GET /nothing HTTP/1.1\r\nHost: test\r\n\r\n")
        await idle.readuntil(b"\r\n\r\n")
        server.terminate()
        # It closes idle connections first.
        await idle.read()
        sandbox.release()
        reply, code = await sending, await server.wait()
        totals = await ledger.totals()
        writer.close()

    assert (200, 1) == (reply.status, totals.calls[CallState.ANSWERED])
    assert code in (0, -signal.SIGTERM)


async def test_hosts_share_a_ledger_in_postgres(sandbox: Sandbox, postgres: PostgresServer, path: Path) -> None:
    """Two hosts with one ledger in Postgres buy the image of a key once."""
    replies: list[Reply] = []
    store = Store(postgres.dsn, new_schema())
    for _ in range(2):
        async with store(lease=LEASE) as ledger, serving(make_app(sandbox, path, ledger=ledger)) as url:
            replies.append(await post(url))

    assert [(200, False), (200, True)] == [(reply.status, reply.is_replayed) for reply in replies]
    assert replies[0].body == replies[1].body
    assert 1 == len(sandbox.ledger.entries)
