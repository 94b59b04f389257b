"""Workflows of DBOS: what their steps record, and what repeating them costs."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from dbos import DBOS, DBOSConfig, PortableWorkflowError, SetWorkflowID
from dbos import error as dbos_error
from obstore.store import MemoryStore
from sqlalchemy import create_engine, text
from support.engines import launched

from ideogram_async import (
    FromJob,
    Generate,
    Ideogram,
    ImageFile,
    InDoubtError,
    InvalidRequestError,
    Job,
    JobConflictError,
    RateLimitError,
    Remix,
    SafetyError,
    Timeout,
    v2,
)
from ideogram_async.errors import WaitTimeout
from ideogram_async.integrations import dbos as module
from ideogram_async.integrations.dbos import Images
from ideogram_async.integrations.objects import ObjectSink
from ideogram_async.ledger import SqliteLedger
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sinks import FolderSink

FOX = Generate("a red fox")
Workflow = Callable[..., Coroutine[Any, Any, Any]]


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAUSES", (0.0, 0.0))


def hero(images: Images) -> Workflow:
    """Return a workflow that buys and keeps an image."""

    @DBOS.workflow(name="hero")
    async def hero(order: str) -> list[str]:
        answer = await images.send(FOX, key=order)
        return [kept.uri for kept in await images.keep(answer, name=order)]

    return hero


def sending(images: Images, request: Any = FOX) -> Workflow:
    """Return a workflow that sends a request under its own id, unless it is given a key."""

    @DBOS.workflow(name="sending")
    async def sending(key: str | None = None) -> int:
        answer = await images.send(request, key=key or str(DBOS.workflow_id))
        return answer.meta.status

    return sending


async def steps_of(workflow_id: str) -> list[int]:
    return [step["function_id"] for step in await DBOS.list_workflow_steps_async(workflow_id)]


async def test_a_workflow_buys_and_keeps_an_image(images: Images, sandbox: Sandbox, tmp_path: Path):
    """It has two steps, and repeating it returns its result without a call."""
    workflow = hero(images)
    results = []
    for _ in range(2):
        with SetWorkflowID("hero-1"):
            results.append(await workflow("order-1"))

    assert [[(tmp_path / "images" / "order-1-0.png").as_uri()]] * 2 == results
    assert 1 == len(sandbox.ledger.entries)
    assert [1, 4] == await steps_of("hero-1")


async def test_images_go_to_an_object_store(buyer: Ideogram, sandbox: Sandbox, dbos_config: DBOSConfig):
    """An object is kept once, and the next workflow sends it by its URI."""
    store = MemoryStore()
    async with launched(buyer, ObjectSink(store, "campaign"), dbos_config) as images:
        with SetWorkflowID("hero-1"):
            first = await hero(images)("order-1")

        with SetWorkflowID("hero-2"):
            again = await hero(images)("order-1")

        remix = Remix(ImageFile.from_url(first[0]), "a blue fox")
        with SetWorkflowID("remix-1"):
            status = await sending(images, remix)()

    names = [item["path"] for page in store.list() for item in page]

    assert ["memory:///campaign/order-1-0.png"] == first == again
    assert (200, 2) == (status, len(sandbox.ledger.entries))
    assert ["campaign/.ideogram-probe", "campaign/order-1-0.png"] == sorted(names)


async def test_what_crosses_is_plain(images: Images, dbos_config: DBOSConfig):
    """Neither the inputs nor the outputs of workflows and steps name a module of this library."""
    with SetWorkflowID("hero-1"):
        await hero(images)("order-1")

    (job,) = await images.enqueue([Job(FOX, id="fox")], queue="images", prefix="run")
    await result_of(await DBOS.retrieve_workflow_async(job))
    engine = create_engine(dbos_config["system_database_url"].replace("postgresql:", "postgresql+psycopg:"))
    schema = "" if engine.name == "sqlite" else "dbos."
    with engine.connect() as database:
        outputs = database.scalars(text(f"SELECT output FROM {schema}operation_outputs")).all()
        query = f"SELECT inputs FROM {schema}workflow_status UNION ALL SELECT inputs FROM {schema}workflow_input"
        inputs = database.scalars(text(query)).all()

    engine.dispose()
    values = [value for value in (*outputs, *inputs) if value]
    plain = [value if "{" in value else base64.b64decode(value).decode("latin-1") for value in values]

    assert (4, 6) == (len(outputs), len(plain))
    assert [] == [value for value in plain if "ideogram_async." in value]


async def test_a_doubt_ends_the_workflow_until_it_is_resolved(images: Images, sandbox: Sandbox, tmp_path: Path):
    """It is not sent again, by a repeat neither. Once resolved and rewound, it is bought under the same key."""
    workflow = sending(images)
    sandbox.fail(fault=Fault.reset_before_headers)
    for _ in range(2):
        with SetWorkflowID("fox"), pytest.raises(InDoubtError, match="key 'fox' is in doubt") as caught:
            await workflow()

    billed = len(sandbox.ledger.entries)
    async with SqliteLedger(tmp_path / "calls.sqlite3") as ledger:
        await ledger.resolve("fox", "retry")

    handle = await DBOS.rewind_workflow_async("fox")

    assert 200 == await result_of(handle)
    assert ("fox", 1, 1, 2) == (caught.value.key, caught.value.attempt, billed, len(sandbox.ledger.entries))


async def test_a_fork_does_not_buy_again(images: Images, sandbox: Sandbox):
    """A fork has an id of its own, so a key made of it is refused. A key that is an argument returns the answer."""
    workflow = sending(images)
    for workflow_id, key in (("own", None), ("passed", "order-1")):
        with SetWorkflowID(workflow_id):
            await workflow(key)

    with pytest.raises(InvalidRequestError, match="forked from 'own', so the call would be bought again: rewind"):
        await result_of(await DBOS.fork_workflow_async("own", 1))

    assert 200 == await result_of(await DBOS.fork_workflow_async("passed", 1))
    assert 2 == len(sandbox.ledger.entries)


async def test_a_call_that_cost_nothing_is_repeated(images: Images, sandbox: Sandbox, no_pauses: None):
    """An error that was not billed and may pass is followed by another step, and ends the workflow after the third."""
    workflow = sending(images)
    sandbox.fail(fault=Fault.status(429), times=2)
    with SetWorkflowID("patient"):
        await workflow()

    sandbox.fail(fault=Fault.status(429), times=3)
    with SetWorkflowID("in vain"), pytest.raises(RateLimitError):
        await workflow()

    assert [[1, 2, 3]] * 2 == [await steps_of(name) for name in ("patient", "in vain")]
    assert 1 == len(sandbox.ledger.entries)


async def test_an_accepted_call_is_waited_for(
    sandbox: Sandbox, tmp_path: Path, dbos_config: DBOSConfig, no_pauses: None
):
    """A generation that takes longer than a step is asked for by the next ones, and a later workflow finds it."""
    request, ledger = v2.Generate46("a red fox"), SqliteLedger(tmp_path / "calls.sqlite3")
    client = Ideogram("sandbox", base_url=sandbox.url, ledger=ledger, timeout=Timeout(total=1))
    async with client, launched(client, FolderSink(tmp_path), dbos_config) as images:
        workflow = sending(images, request)
        sandbox.hold()
        with SetWorkflowID("fox"), pytest.raises(WaitTimeout) as caught:
            await workflow("order-1")

        steps = await steps_of("fox")
        sandbox.release()
        with SetWorkflowID("fox again"):
            status = await workflow("order-1")

    assert ([1, 2, 3], 200, 1) == (steps, status, len(sandbox.ledger.entries))
    assert isinstance(caught.value.ticket, v2.Accepted)


async def test_a_refusal_is_final(images: Images, sandbox: Sandbox, no_pauses: None):
    """What would be refused again is sent once."""
    with SetWorkflowID("unsafe"), pytest.raises(SafetyError):
        await sending(images, Generate("unsafe-prompt"))()

    assert [1] == await steps_of("unsafe")


async def test_a_pause_survives_a_restart(images: Images, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch):
    """The time of the next step is on record: a workflow that is repeated later does not wait again."""
    monkeypatch.setattr(module, "PAUSES", (3600.0, 3600.0))
    # An hour passes between the workflow and its repeat, by the clock of each.
    clock = SimpleNamespace(time=lambda: 0.0 if DBOS.workflow_id == "patient" else 3600.0)
    monkeypatch.setattr(module, "time", clock)
    sandbox.fail(fault=Fault.status(429))
    with SetWorkflowID("patient"):
        waiting = asyncio.create_task(sending(images)("order-1"))

    while not await steps_of("patient"):
        await asyncio.sleep(0)

    assert 200 == await result_of(await DBOS.fork_workflow_async("patient", 2))
    assert not waiting.done()


async def test_a_worker_that_stops_finishes_its_calls(
    images: Images, buyer: Ideogram, sandbox: Sandbox, dbos_config: DBOSConfig
):
    """A call in flight is answered while the client closes, and the workflow goes on with it in the next run."""
    sandbox.hold()
    with SetWorkflowID("fox"):
        stopped = asyncio.create_task(sending(images)())

    await sandbox.wait_for_requests(1)
    await asyncio.to_thread(DBOS.destroy)
    closing = asyncio.create_task(buyer.aclose())
    sandbox.release()
    await asyncio.wait({closing, stopped})
    DBOS(config=dbos_config)
    DBOS.launch()

    assert stopped.exception() is not None
    assert 200 == await result_of(await DBOS.retrieve_workflow_async("fox"))
    assert 1 == len(sandbox.ledger.entries)


async def test_calls_side_by_side_keep_their_steps(images: Images, sandbox: Sandbox, no_pauses: None):
    """Calls that are repeated in any order get their own answers from the record."""

    @DBOS.workflow(name="pair")
    async def pair() -> list[str]:
        answers = await asyncio.gather(*(images.send(Generate(name), key=name) for name in ("fox", "dog")))
        return [answer.data[0].prompt for answer in answers]

    sandbox.fail(fault=Fault.status(429), times=3)
    with SetWorkflowID("pair"):
        first = await pair()

    again = await result_of(await DBOS.fork_workflow_async("pair", 7))

    assert [["fox", "dog"]] * 2 == [first, again]
    assert 2 == len(sandbox.ledger.entries)


async def test_a_download_is_repeated(images: Images, sandbox: Sandbox, no_pauses: None):
    """An image that did not arrive is asked for in a later step, which costs nothing."""
    sandbox.fail("images", fault=Fault.status(503), times=6)
    with SetWorkflowID("hero-1"):
        uris = await hero(images)("order-1")

    assert 1 == len(uris) == len(sandbox.ledger.entries)
    assert [1, 4, 5] == await steps_of("hero-1")


async def test_files_of_this_process_are_refused(images: Images, sandbox: Sandbox):
    """A path is refused before the step, with the way to send it."""
    with pytest.raises(InvalidRequestError, match=r"image: .*: store it, and pass ImageFile.from_url\(url\)"):
        await sending(images, Remix("fox.png", "a fox"))()

    assert 0 == len(sandbox.ledger.entries)


async def test_a_stored_image_is_sent_on(images: Images, sandbox: Sandbox):
    """A workflow sends an object of the sink, which every executor can read."""

    @DBOS.workflow(name="chain")
    async def chain() -> int:
        (stored,) = await images.keep(await images.send(FOX, key="fox"), name="fox")
        remixed = await images.send(Remix(ImageFile.from_url(stored.uri), "a dog"), key="dog")
        return remixed.meta.status

    assert 200 == await chain()
    assert 2 == len(sandbox.ledger.entries)


async def test_a_list_is_enqueued(images: Images, sandbox: Sandbox, tmp_path: Path):
    """Each job is a workflow of its own id, whose result is where its image is. A second import is free."""
    path = tmp_path / "jobs.jsonl"
    path.write_text('{"prompt": "a fox", "id": "fox"}\n{"prompt": "a dog"}\n{"prompt": "a cat"}\n')
    imports = [await images.enqueue(path, queue="images", prefix="campaign") for _ in range(2)]
    results = [await result_of(await DBOS.retrieve_workflow_async(name)) for name in imports[0]]

    assert imports[0] == imports[1]
    assert "campaign/fox" == imports[0][0]
    assert [[f"{(tmp_path / 'images').as_uri()}/{name}-0.png"] for name in imports[0]] == results
    assert (3, []) == (len(sandbox.ledger.entries), sandbox.ledger.duplicates)


async def test_a_job_in_doubt_says_so(images: Images, sandbox: Sandbox):
    """The error of its workflow has the name and the message of ours, as JSON."""
    sandbox.fail(fault=Fault.reset_before_headers)
    (name,) = await images.enqueue([Job(FOX, id="fox")], queue="images", prefix="run")
    with pytest.raises(PortableWorkflowError, match="key 'run/fox' is in doubt") as caught:
        await result_of(await DBOS.retrieve_workflow_async(name))

    assert "InDoubtError" == caught.value.name


async def test_a_changed_job_conflicts(images: Images):
    """An id belongs to one request, in the list and in what was enqueued before."""
    await images.enqueue([Job(FOX, id="fox")], queue="images", prefix="run")
    with pytest.raises(JobConflictError, match="workflow 'run/fox' has another request; nothing was sent"):
        await images.enqueue([Job(Generate("a dog"), id="fox")], queue="images", prefix="run")

    with pytest.raises(JobConflictError, match="two jobs have the id 'dog'; nothing was enqueued"):
        await images.enqueue([Job(FOX, id="dog"), Job(Generate("a dog"), id="dog")], queue="images", prefix="run")


async def test_all_faults_of_a_list_are_told_at_once(images: Images):
    """A list with a fault is not enqueued at all."""
    jobs = [
        Job(FOX, id="fox"),
        Job(Generate("a fox", seed=-5), id="seed"),
        Job(Remix("fox.png", "a fox"), id="file"),
        Job(Remix(FromJob("fox"), "a fox"), id="chain"),
        Job(FOX, id="a//b"),
        Job(FOX, id="x" * 300),
    ]
    with pytest.raises(InvalidRequestError) as caught:
        await images.enqueue(jobs, queue="images", prefix="run")

    assert ["seed: seed", "file: image", "chain: image", "a//b: id", f"{'x' * 300}: id"] == [
        name for name, _ in caught.value.problems
    ]
    assert [] == await DBOS.list_workflows_async()


async def test_a_mistake_is_named(images: Images, buyer: Ideogram, sandbox: Sandbox):
    """A queue that is not registered, a client without ledger, no sink, and a call outside a workflow raise errors."""
    with pytest.raises(ValueError, match=r"await DBOS\.register_queue_async"):
        await images.enqueue([FOX], queue="other", prefix="run")

    with pytest.raises(TypeError, match="client has no ledger: pass Ideogram"):
        Images(Ideogram("sandbox", base_url=sandbox.url))

    with pytest.raises(InvalidRequestError, match="key: is int, not str"):
        await sending(images)(4711)

    with pytest.raises(dbos_error.DBOSException, match="must be called from a workflow"):
        await images.send(FOX, key="fox")

    later = Images(buyer)
    with pytest.raises(TypeError, match=r"keep needs a sink: pass Images\(client, sink=...\)"):
        await later.keep("https://example.com/fox.png", name="fox")

    with pytest.raises(RuntimeError, match=r"another Images was created after this one"):
        await images.enqueue([FOX], queue="images", prefix="run")


async def result_of(handle: Any) -> Any:
    return await handle.get_result(polling_interval_sec=0.02)
