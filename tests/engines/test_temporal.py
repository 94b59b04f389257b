"""Temporal: paid calls and downloads in workflows, on its development server and its test server."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import temporalio.workflow
from attrs import evolve
from support.clients import CANARY
from support.paths import ROOT
from support.temporal_workflows import Careful, Hero, LocalFile, Twice
from support.temporalserver import find_server
from temporalio import activity
from temporalio.client import Client, WorkflowFailureError
from temporalio.common import RetryPolicy
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment, WorkflowEnvironment
from temporalio.worker import Worker

from ideogram_async import Generate, Ideogram, v2
from ideogram_async._ledger.serialization import HashedFiles, fingerprint_of, serialize
from ideogram_async.integrations._steps import pack
from ideogram_async.integrations.temporal import activities, calls
from ideogram_async.integrations.temporal.heartbeats import details_of, read_entry
from ideogram_async.ledger import CallState, Entry
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sinks import FolderSink

WORKFLOWS = [Careful, Hero, LocalFile, Twice]
QUEUE = "images"
LOST = "key 'fox': each attempt was lost with its worker, or timed out"
BODY = b"""
{"created": "2026-11-29T09:31:00Z", "data": [
  {"url": "https://x/y.png", "is_image_safe": true, "prompt": "a fox", "seed": 1, "resolution": "1024x1024"}
]}"""


@pytest.fixture
async def temporal(server: str, buyer: Ideogram, tmp_path: Path) -> AsyncGenerator[Client]:
    """A client of the development server, with a worker."""
    temporal = await Client.connect(server)
    async with worker_of(temporal, buyer, tmp_path):
        yield temporal


@pytest.fixture
async def skipping_server() -> AsyncGenerator[Client]:
    """A client of the test server, which skips pauses."""
    path = find_server("temporal-test-server")
    async with await WorkflowEnvironment.start_time_skipping(test_server_existing_path=path) as environment:
        yield environment.client


@pytest.fixture
async def skipping(skipping_server: Client, buyer: Ideogram, tmp_path: Path) -> AsyncGenerator[Client]:
    """The same, with a worker."""
    async with worker_of(skipping_server, buyer, tmp_path):
        yield skipping_server


def worker_of(temporal: Client, client: Ideogram, folder: Path) -> Worker:
    sink = FolderSink(folder / "images")
    return Worker(temporal, task_queue=QUEUE, activities=activities(client, sink=sink), workflows=WORKFLOWS)


async def run(temporal: Client, workflow: Any, *arguments: str, name: str = "order-1") -> Any:
    """Run a workflow, and return its result, or raise the failure that ended it."""
    try:
        return await temporal.execute_workflow(workflow.run, args=arguments, id=name, task_queue=QUEUE)
    except WorkflowFailureError as error:
        cause = error.cause

    raise cause


async def test_an_image_is_bought_and_stored(temporal: Client, sandbox: Sandbox, tmp_path: Path):
    """A workflow that is run again buys nothing."""
    uris = [await run(temporal, Hero, "a fox") for _ in range(2)]

    assert [[(tmp_path / "images" / "order-1-0.png").as_uri()]] * 2 == uris
    assert 1 == len(sandbox.ledger.entries)


async def test_the_history_is_small(temporal: Client):
    """What crosses is JSON of a few kilobytes, without images."""
    await run(temporal, Hero, "a fox", name="small")
    history = (await temporal.get_workflow_handle("small").fetch_history()).to_json()

    assert len(history) < 20_000


async def test_an_error_is_raised_again(temporal: Client, sandbox: Sandbox):
    """A workflow catches the class of the call, with its message and whether it was billed."""
    refused = await run(temporal, Careful, "unsafe-prompt", name="refused")
    sandbox.fail(fault=Fault.status(500))
    in_doubt = await run(temporal, Careful, "a fox", name="doubt")

    assert ["SafetyError", "no"] == refused[:2]
    assert refused[2].endswith("422 The request failed the safety check.")
    assert ["in doubt", "doubt", "0.06"] == in_doubt
    assert 2 == len(sandbox.requests)


async def test_an_error_that_is_not_caught_ends_the_workflow(temporal: Client, sandbox: Sandbox):
    """It does not suspend the workflow, as other exceptions do, and its attributes are in the failure."""
    with pytest.raises(ApplicationError, match=r"POST .*: 422 The request failed the safety check") as caught:
        await run(temporal, Hero, "unsafe-prompt", name="unsafe")

    assert ("SafetyError", True) == (caught.value.type, caught.value.non_retryable)
    assert 422 == caught.value.details[0]["state"]["status"]
    assert 1 == len(sandbox.requests)


async def test_a_local_file_is_refused(temporal: Client, sandbox: Sandbox):
    """The field is named before anything is sent, and the workflow fails."""
    with pytest.raises(ApplicationError, match="image: is a file of this process, which another process cannot read"):
        await run(temporal, LocalFile, "fox.png")

    assert [] == sandbox.requests


async def test_a_key_that_cannot_be_used_is_refused(temporal: Client, sandbox: Sandbox):
    """The rule is named, and the call is not repeated."""
    refused = await run(temporal, Careful, "a fox", name="x" * 300)

    assert ["InvalidRequestError", "no"] == refused[:2]
    assert [] == sandbox.requests


async def test_a_call_that_was_not_billed_is_repeated(skipping: Client, sandbox: Sandbox, tmp_path: Path):
    """A 429 is followed by another attempt after a pause, four in all."""
    sandbox.fail(fault=Fault.status(429), times=3)
    uris = await run(skipping, Hero, "a fox")

    sandbox.fail(fault=Fault.status(429), times=9)
    refused = await run(skipping, Careful, "a dog", name="order-2")

    assert 1 == len(uris)
    assert "RateLimitError" == refused[0]
    assert 8 == len(sandbox.requests)


async def test_a_workflow_of_days_replays_its_answer(skipping: Client, sandbox: Sandbox):
    """A key that is used again a day later returns the recorded answer."""
    first, second = await run(skipping, Twice)

    assert first == second
    assert 1 == len(sandbox.ledger.entries)


async def test_a_worker_without_a_sink_says_so(server: str, buyer: Ideogram):
    """The call is bought, and what is missing is named at once."""
    temporal = await Client.connect(server)
    async with Worker(temporal, task_queue=QUEUE, activities=activities(buyer), workflows=WORKFLOWS):
        with pytest.raises(Exception, match="Activity task failed") as caught:
            await run(temporal, Hero, "a fox", name="no-sink")

    assert "TypeError: keep needs a sink: pass activities(client, sink=...)" == str(caught.value.__cause__)


async def test_an_image_is_requested_again(skipping: Client, sandbox: Sandbox):
    """An image host that fails delays the image, and buys nothing."""
    sandbox.fail("images", fault=Fault.cut, times=6)
    uris = await run(skipping, Hero, "a fox")

    assert (1, 1) == (len(uris), len(sandbox.ledger.entries))


async def test_an_activity_runs_without_a_server(buyer: Ideogram):
    """An activity can be tested alone; it sends heartbeats, and returns status and text."""
    heartbeats: list[Any] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: heartbeats.append(details)
    paid, _ = activities(buyer)
    step = await environment.run(paid, pack(Generate("a fox")), "fox")

    assert ({"status", "raw"}, 200) == (step.keys(), step["status"])
    assert [()] == heartbeats


async def test_a_workflow_that_imports_again_is_refused(server: str, buyer: Ideogram, monkeypatch: pytest.MonkeyPatch):
    """A module that does not pass the imports through would have two of each class: the worker does not start."""
    monkeypatch.setattr(temporalio.workflow.unsafe, "imports_passed_through", nullcontext)
    temporal = await Client.connect(server)
    with pytest.raises(RuntimeError, match="Failed validating workflow Hero") as caught:
        Worker(temporal, task_queue=QUEUE, activities=activities(buyer), workflows=[Hero])

    assert "with workflow.unsafe.imports_passed_through():" in str(caught.value.__cause__)


@pytest.mark.parametrize("is_answered", [True, False], ids=["answered", "unknown"])
async def test_the_last_heartbeat_is_read(server: str, is_answered: bool, monkeypatch: pytest.MonkeyPatch):
    """If all attempts are lost, the answer that a worker recorded is returned; without one, the outcome is unknown."""

    @activity.defn(name="ideogram_async.paid")
    async def hang(packed: str, key: str) -> None:
        activity.heartbeat(*(details_of(entry()) if is_answered else []))
        await asyncio.Event().wait()

    monkeypatch.setattr(calls, "HEARTBEAT_TIMEOUT", timedelta(seconds=0.5))
    monkeypatch.setattr(calls, "PAID_RETRIES", RetryPolicy(maximum_attempts=1))
    temporal = await Client.connect(server)
    async with Worker(temporal, task_queue=QUEUE, activities=[hang], workflows=WORKFLOWS):
        outcome = await run(temporal, Careful, "a fox", name="fox")

    assert ([] if is_answered else ["AmbiguousError", "unknown", LOST]) == outcome


@pytest.mark.parametrize("is_failed", [False, True])
async def test_an_accepted_call_outlives_all_attempts(
    server: str, sandbox: Sandbox, tmp_path: Path, is_failed: bool, monkeypatch: pytest.MonkeyPatch
):
    """If all attempts are lost, another activity waits for the generation of the last heartbeat, and sends nothing."""
    request = v2.Generate46("a fox")
    if is_failed:
        sandbox.fail(fault=Fault.failed("internal_error"))

    async with Ideogram("sandbox", base_url=sandbox.url) as client:
        accepted = await client.submit(request)
        paid, keep = activities(client, sink=FolderSink(tmp_path / "images"))
        fingerprint = fingerprint_of(serialize(request, HashedFiles()))
        sent = evolve(
            entry(), state=CallState.ACCEPTED, fingerprint=fingerprint, generation_id=str(accepted), raw=accepted.raw
        )

        @activity.defn(name="ideogram_async.paid")
        async def lose(packed: str, key: str, details: str = "") -> Any:
            if not details:
                activity.heartbeat(*details_of(sent))
                await asyncio.Event().wait()

            return await paid(packed, key, details)

        monkeypatch.setattr(calls, "HEARTBEAT_TIMEOUT", timedelta(seconds=0.5))
        monkeypatch.setattr(calls, "PAID_RETRIES", RetryPolicy(maximum_attempts=1))
        temporal = await Client.connect(server)
        async with Worker(temporal, task_queue=QUEUE, activities=[lose, keep], workflows=WORKFLOWS):
            if is_failed:
                with pytest.raises(ApplicationError, match="internal_error"):
                    await run(temporal, Hero, "a fox", name="accepted-failed")
            else:
                assert 1 == len(await run(temporal, Hero, "a fox", name="accepted-lost"))

    assert 1 == sum(each.operation.startswith("POST") for each in sandbox.requests)


def test_a_heartbeat_holds_a_call():
    """Its details are JSON. The next attempt finds an answer, an acceptance, or that the outcome is unknown."""
    answered, sending = entry(), evolve(entry(), state=CallState.SENDING, raw=None)
    accepted = evolve(entry(), state=CallState.ACCEPTED, generation_id="g")
    kept = [read_entry(json.loads(json.dumps(details_of(each)))) for each in (answered, accepted, sending)]
    *found, doubt = kept

    assert [answered, accepted] == found
    assert evolve(sending, state=CallState.AMBIGUOUS, error="its worker was lost") == doubt
    assert (None, []) == (read_entry([]), details_of(None))


def entry() -> Entry:
    """Return an answered call."""
    return Entry(
        key="fox",
        operation="POST /v1/ideogram-v3/generate",
        fingerprint="0" * 64,
        weight=1,
        usd=Decimal("0.06"),
        state=CallState.ANSWERED,
        attempt=1,
        token="token",
        owner="owner",
        status=200,
        raw=BODY,
        started_at=datetime(2026, 11, 29, 9, 30, tzinfo=UTC),
        settled_at=datetime(2026, 11, 29, 9, 31, tzinfo=UTC),
    )


async def test_the_code_of_the_page_runs(server: str, sandbox: Sandbox, tmp_path: Path):
    """The page's worker runs its workflow, with a ledger in a file."""
    page = (ROOT / "docs" / "temporal.md").read_text()
    for name, code in re.findall(r"```python\n# (\w+\.py)\n(.*?)```", page, re.DOTALL):
        code = code.replace("localhost:7233", server).replace("PostgresLedger", "SqliteLedger")
        (tmp_path / name).write_text(code.replace("postgresql://localhost/shop", "calls.sqlite3"))

    # The worker imports the other modules of the page from its folder.
    settings = {"IDEOGRAM_BASE_URL": sandbox.url, "IDEOGRAM_API_KEY": CANARY, "PYTHONSAFEPATH": ""}
    temporal = await Client.connect(server)
    worker = await asyncio.create_subprocess_exec(sys.executable, "worker.py", cwd=tmp_path, env=os.environ | settings)
    try:
        uris = await temporal.execute_workflow("Hero", "a fox", id="page", task_queue="ideogram")
    finally:
        worker.kill()
        await worker.wait()

    assert [(tmp_path / "images" / "page-0.png").as_uri()] == uris
    assert 1 == len(sandbox.ledger.entries)
