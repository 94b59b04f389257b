"""Events of calls: their order, redaction and cost."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.clients import CANARY, Events, connected
from support.rawserver import RawServer, status

from ideogram_async import AmbiguousError, BadRequestError, DecodeError, Generate, Retry, Waiting
from ideogram_async._batch import progress, task
from ideogram_async._download import downloader
from ideogram_async._redaction import RedactedStr
from ideogram_async._transport import emitter, http, limit, retry
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.tasks import Tasks
from ideogram_async.events import Event, Failed
from ideogram_async.sandbox import Fault, Sandbox

PROMPT = "a canary in a coal mine"


async def events_of(fault: Fault | None, **options: Any) -> Events:
    """Return the events of a call that meets a fault."""
    events = Events()
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=events, **options) as client:
        if fault:
            sandbox.fail("generate", fault=fault)

        await asyncio.gather(client.generate(PROMPT, num_images=2), return_exceptions=True)

    return events


@pytest.mark.parametrize(
    ("fault", "names"),
    [
        (None, ["Waiting", "Sending", "Answered"]),
        (
            Fault.status(429),
            ["Waiting", "Sending", "Answered", "Throttled", "Waiting", "Sending", "Answered"],
        ),
        (Fault.status(400), ["Waiting", "Sending", "Answered", "Failed"]),
        (Fault.html_502, ["Waiting", "Sending", "Answered", "Failed"]),
        (Fault.garbage_json, ["Waiting", "Sending", "Answered", "Failed"]),
        (Fault.close_after_body, ["Waiting", "Sending", "Failed"]),
    ],
    ids=["success", "429", "400", "502", "invalid JSON", "no response"],
)
async def test_each_call_ends_once(fault: Fault | None, names: list[str]):
    """The last event of a call is its answer or one `Failed`."""
    assert names == (await events_of(fault)).names


async def test_waiting_fields():
    """`Waiting` contains weight, images and model."""
    events = Events()
    custom = "model/fox/version/3"
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=events) as client:
        await client.generate(PROMPT, num_images=2)
        await asyncio.gather(client.generate(PROMPT, custom_model_uri=custom), return_exceptions=True)
        await client.legacy.generate(PROMPT, model="V_2")
        await client.raw("POST", "/v1/ideogram-v3/generate", fields={"prompt": PROMPT}, weight=1)

    facts = [(event.weight, event.images, event.model) for event in events.of(Waiting)]

    assert [(2, 2, "ideogram-v3"), (1, 1, custom), (1, 1, "V_2"), (1, 1, "ideogram-v3")] == facts


@pytest.mark.parametrize("end", ["answered", "refused", "unknown"])
async def test_calls_of_a_batch_end_once(tmp_path: Path, end: str):
    """A batch emits `Failed` for each failed call, with its cost."""
    events = Events()
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=events) as client:
        if end != "answered":
            sandbox.fail("generate", fault=Fault.status(400) if end == "refused" else Fault.close_after_body)

        await client.run_batch([Generate(PROMPT)], tmp_path)

    failures = events.of(Failed)

    assert {"answered": [], "refused": ["no"], "unknown": ["unknown"]}[end] == [event.billed for event in failures]
    assert {event.call_id for event in events.of(Waiting)} >= {event.call_id for event in failures}


# ---- redaction


async def test_the_prompt_is_redacted():
    """A prompt is returned by `reveal`, and redacted in every text form of the event."""
    waiting = (await events_of(None)).of(Waiting)[0]
    prompt = waiting.prompt

    assert prompt is not None
    assert PROMPT == prompt.reveal()

    written = [repr(waiting), str(prompt), f"{prompt}", json.dumps(attrs.asdict(waiting), default=str)]
    written += [repr(pickle.loads(pickle.dumps(waiting))), "".join(prompt), prompt.encode().decode()]

    assert [] == [text for text in written if "canary" in text]


def test_redacted_texts_are_values():
    """Two redacted strings of the same text are equal, and never equal to what they print."""
    assert RedactedStr("a fox") == RedactedStr("a fox")
    assert 1 == len({RedactedStr("a fox"), RedactedStr("a fox")})
    assert RedactedStr("a fox") != RedactedStr("a dog")
    assert RedactedStr("a fox") != "***"


async def test_no_event_contains_a_secret():
    """No event contains the API key or the prompt, for any fault."""
    faults = [None, Fault.status(429), Fault.html_502, Fault.garbage_json, Fault.close_after_body]
    everything = [event for fault in faults for event in await events_of(fault, api_key=CANARY)]

    assert [] == [event for event in everything if "canary" in repr(event) + str(attrs.asdict(event))]


# ---- cost


class Costly:
    """A replacement for an event class that must not be used."""

    def __init__(self, **fields: Any) -> None:
        raise AssertionError("an event was built without a listener")


def test_an_emitter_without_a_listener_is_disabled():
    """Without a listener and without a log at DEBUG, events are disabled."""
    assert not logging.getLogger("ideogram_async").isEnabledFor(logging.DEBUG)

    assert not Emitter(None, Tasks).enabled
    assert Emitter(lambda event: None, Tasks).enabled


async def test_no_event_is_built_without_a_listener(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """A client without a listener builds no event: not for calls, retries, failures, downloads or batches."""
    sites = (limit, http, emitter, retry, downloader, task, progress)
    events = [(module, name) for module in sites for name, value in vars(module).items() if _is_event(value)]
    for module, name in events:
        monkeypatch.setattr(module, name, Costly)

    async with Sandbox() as sandbox, connected(sandbox.url, retry=Retry(base=0.0)) as client:
        sandbox.fail("generate", fault=Fault.status(429))
        answer = await client.generate(PROMPT)
        await client.download(answer.data[0], tmp_path)
        sandbox.fail("models", fault=Fault.status(500))
        await client.models.list()
        sandbox.fail("generate", fault=Fault.status(400))
        with pytest.raises(BadRequestError):
            await client.generate(PROMPT)

        sandbox.fail("generate", fault=Fault.status(402), after=1)
        report = await client.run_batch([Generate(PROMPT), Generate("an owl")], tmp_path / "out")

    assert {kind.__name__ for kind in Event.__subclasses__()} == {name for _, name in events}
    assert 1 == report.images_stored


def _is_event(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Event) and value is not Event


async def test_an_unreadable_reply_is_billed():
    """A success that cannot be parsed ends with `Failed`, billed YES."""
    events = Events()
    async with RawServer(status(200, b"[]")) as server, connected(server.url, on_event=events) as client:
        with pytest.raises((DecodeError, AmbiguousError)):
            await client.generate(PROMPT)

    assert [("DecodeError", "yes")] == [(event.error, event.billed) for event in events.of(Failed)]
