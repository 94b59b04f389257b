"""OpenTelemetry spans and metrics, as the page on telemetry documents them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from support.clients import CANARY, Events, connected
from support.pictures import picture

from ideogram_async import Event, Generate, Ideogram, v2
from ideogram_async.errors import GenerationFailed
from ideogram_async.integrations.otel import Telemetry
from ideogram_async.sandbox import Fault, Sandbox

PROMPT = "a canary in a coal mine"


class Watch:
    """A `Telemetry` and its exported spans and metrics."""

    def __init__(self, **options: Any) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        tracers = TracerProvider(shutdown_on_exit=False)
        tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        meters = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = tracers.get_tracer("test")
        self.telemetry = Telemetry(tracer_provider=tracers, meter_provider=meters, **options)

    @property
    def spans(self) -> list[ReadableSpan]:
        return [span for span in self._spans.get_finished_spans() if span.name != "caller"]

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans
        return span

    @property
    def points(self) -> dict[str, list[Any]]:
        """The data points of each metric."""
        data = self._reader.get_metrics_data()
        exported = data.resource_metrics[0].scope_metrics[0].metrics if data else []
        return {metric.name: list(metric.data.data_points) for metric in exported}

    def value(self, metric: str) -> int:
        """Return the sum of a metric."""
        return sum(point.value for point in self.points.get(metric, []))

    @property
    def text(self) -> str:
        """Text of all exports."""
        return "".join(span.to_json() for span in self.spans) + str(self.points)


@pytest.fixture
def watch() -> Watch:
    return Watch()


async def generate(watch: Watch, *faults: Fault, **options: Any) -> None:
    """Make a call for two images that meets the faults one after another."""
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=watch.telemetry) as client:
        for fault in faults:
            sandbox.fail("generate", fault=fault)

        await asyncio.gather(client.generate(PROMPT, num_images=2, **options), return_exceptions=True)


# ---- spans


async def test_a_call_is_a_span(watch: Watch):
    """A call is a client span with the attributes of the conventions, and its attempts are span events."""
    await generate(watch)
    span = watch.span
    attributes = dict(span.attributes or {})
    call_id = attributes.pop("ideogram.call_id")

    assert str(call_id).startswith("call-")
    assert ("generate_content ideogram-v3", SpanKind.CLIENT) == (span.name, span.kind)
    assert StatusCode.UNSET is span.status.status_code
    assert {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "ideogram",
        "gen_ai.request.model": "ideogram-v3",
        "gen_ai.output.type": "image",
        "gen_ai.request.choice.count": 2,
        "http.response.status_code": 200,
        "ideogram.operation": "POST /v1/ideogram-v3/generate",
        "ideogram.attempts": 1,
        "ideogram.billed": "yes",
        "ideogram.images": 2,
    } == attributes
    assert ["ideogram.waiting", "ideogram.sending", "ideogram.answered"] == [event.name for event in span.events]
    assert {"ideogram.attempt": 1} == dict(span.events[1].attributes or {})


async def test_attempts_are_events(watch: Watch):
    """A call that is answered after a 429 has both attempts on its span."""
    await generate(watch, Fault.status(429, b'{"max_inflight_requests": 7}', {"Retry-After": "0"}))
    names = [event.name.removeprefix("ideogram.") for event in watch.span.events]
    throttled = dict(watch.span.events[3].attributes or {})

    assert ["waiting", "sending", "answered", "throttled", "waiting", "sending", "answered"] == names
    assert (1, 7) == (throttled["ideogram.attempt"], throttled["ideogram.max_in_flight"])
    assert 2 == (watch.span.attributes or {})["ideogram.attempts"]


@pytest.mark.parametrize(
    ("fault", "error", "billed", "phase"),
    [
        (Fault.status(400), "BadRequestError", "no", "answering"),
        (Fault.html_502, "ServerError", "unknown", "answering"),
        (Fault.garbage_json, "DecodeError", "yes", "answering"),
        (Fault.close_after_body, "AmbiguousError", "unknown", "sent"),
    ],
)
async def test_a_failed_call(watch: Watch, fault: Fault, error: str, billed: str, phase: str):
    """The span of a failed call has the status ERROR, the error, and whether it was billed."""
    await generate(watch, fault)
    attributes = watch.span.attributes or {}

    assert StatusCode.ERROR is watch.span.status.status_code
    assert (error, billed, phase) == tuple(
        attributes[f"{n}"] for n in ("error.type", "ideogram.billed", "ideogram.phase")
    )


async def test_an_accepted_call_that_fails(watch: Watch):
    """The span of an accepted call lasts until its generation has failed, which was not billed."""
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=watch.telemetry) as client:
        sandbox.fail(fault=Fault.failed())
        with pytest.raises(GenerationFailed):
            await client.v2.replace_background_3(picture(), PROMPT)

    assert {"error.type": "GenerationFailed", "ideogram.billed": "no"}.items() <= (watch.span.attributes or {}).items()
    assert 0 == watch.value("ideogram.client.images.billed")


async def test_a_wait_is_a_span(watch: Watch):
    """A wait is one span, however often it asks, and makes no images."""
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=watch.telemetry) as client:
        sandbox.fail(fault=Fault.pending(3))
        async with Ideogram("key", base_url=sandbox.url) as other:
            ticket = str(await other.submit(v2.Generate46(PROMPT)))

        await client.generations.wait(ticket)

    assert "GET /v2/generations/{generation_id}" == watch.span.name
    assert 0 == watch.value("ideogram.client.images.billed")
    assert 0 == watch.value("ideogram.client.calls.waiting")


async def test_a_cancelled_call(watch: Watch):
    """The span of a sent call that is cancelled ends, and may have been billed."""
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=watch.telemetry) as client:
        sandbox.hold()
        call = asyncio.create_task(client.generate(PROMPT))
        await sandbox.wait_for_requests(1)
        call.cancel()
        await asyncio.wait([call])
        sandbox.release()

    assert {"error.type": "CancelledError", "ideogram.billed": "unknown"}.items() <= (
        watch.span.attributes or {}
    ).items()


async def test_parent_span(watch: Watch):
    """The parent of a call is the current span of its caller, also in concurrent calls."""
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=watch.telemetry) as client:

        async def call(n: int) -> tuple[int, int]:
            with watch.tracer.start_as_current_span("caller") as caller:
                await client.generate(f"fox {n}")
                return n, caller.get_span_context().span_id

        parents = {parent for _, parent in await asyncio.gather(*(call(n) for n in range(20)))}

    assert parents == {span.parent.span_id for span in watch.spans if span.parent}


async def test_batch(tmp_path: Path, watch: Watch):
    """The calls of a batch, also failed ones, are children of the current span."""
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=watch.telemetry) as client:
        sandbox.fail("generate", fault=Fault.status(400))
        with watch.tracer.start_as_current_span("caller") as caller:
            await client.run_batch([Generate(f"fox {n}") for n in range(4)], tmp_path)

    assert {caller.get_span_context().span_id} == {span.parent.span_id for span in watch.spans if span.parent}
    assert 3 == [span.status.status_code for span in watch.spans].count(StatusCode.UNSET)
    assert 4 == len(watch.spans)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda client: client.models.list(), "GET /models"),
        (lambda client: client.datasets.create("foxes"), "POST /datasets"),
    ],
    ids=["GET", "POST"],
)
async def test_other_operations(watch: Watch, call: Any, name: str):
    """Calls that run no model are named by method and path."""
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=watch.telemetry) as client:
        await call(client)

    assert (name, name) == (watch.span.name, (watch.span.attributes or {})["gen_ai.operation.name"])


async def test_description(watch: Watch):
    """Describing an image is an inference with text as output."""
    async with Sandbox() as sandbox, Ideogram("sandbox", base_url=sandbox.url) as client:
        image = (await client.generate(PROMPT)).data[0]
        await client.with_options(on_event=watch.telemetry).describe(await client.fetch(image))

    attributes = watch.span.attributes or {}

    assert ("generate_content", "text") == (watch.span.name, attributes["gen_ai.output.type"])
    assert 0 == watch.value("ideogram.client.images.billed")


# ---- metrics


async def test_waiting_and_in_flight(watch: Watch):
    """The metrics count queued calls and images in progress and return to 0."""
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=watch.telemetry) as client:
        sandbox.hold()
        calls = [asyncio.create_task(client.generate(f"fox {n}", num_images=4)) for n in range(5)]
        await sandbox.wait_for_requests(2)

        assert 3 == watch.value("ideogram.client.calls.waiting")
        assert 8 == watch.value("ideogram.client.images.in_flight")

        calls[-1].cancel()
        sandbox.release()
        await asyncio.wait(calls)

    assert 0 == watch.value("ideogram.client.calls.waiting")
    assert 0 == watch.value("ideogram.client.images.in_flight")
    assert 16 == watch.value("ideogram.client.images.billed")


@pytest.mark.parametrize(
    ("fault", "billed"),
    [(Fault.garbage_json, {"yes": 2}), (Fault.close_after_body, {"unknown": 2}), (Fault.status(400), {})],
    ids=["invalid JSON", "no response", "400"],
)
async def test_billed_images(watch: Watch, fault: Fault, billed: dict[str, int]):
    """Billed images, and those that may have been billed, are counted under different labels."""
    await generate(watch, fault)
    points = watch.points.get("ideogram.client.images.billed", [])

    assert billed == {point.attributes["ideogram.billed"]: point.value for point in points}
    assert 0 == watch.value("ideogram.client.images.in_flight")


async def test_throttled(watch: Watch):
    """Each 429 is counted."""
    await generate(watch, Fault.status(429), Fault.status(429))

    assert 2 == watch.value("ideogram.client.throttled")


async def test_duration(watch: Watch):
    """The duration has the name, unit and labels of the conventions, and the error of a failed call."""
    await generate(watch)
    await generate(watch, Fault.status(400))
    good, bad = sorted(watch.points["gen_ai.client.operation.duration"], key=lambda point: len(point.attributes))
    labels = {
        "gen_ai.operation.name": "generate_content",
        "gen_ai.provider.name": "ideogram",
        "gen_ai.request.model": "ideogram-v3",
    }

    assert (labels, labels | {"error.type": "BadRequestError"}) == (dict(good.attributes), dict(bad.attributes))
    assert (1, 1) == (good.count, bad.count)
    assert 327.68 == good.explicit_bounds[-1]


# ---- redaction


FAULTS = [
    Fault.status(400, json.dumps({"error": f"bad prompt: {PROMPT}"}).encode()),
    Fault.html_502,
    Fault.garbage_json,
    Fault.close_after_body,
]


@pytest.mark.parametrize("fault", FAULTS, ids=["quoted", "502", "invalid JSON", "no response"])
async def test_no_export_contains_a_secret(watch: Watch, fault: Fault):
    """No export contains the API key or the prompt, even if the service quotes it."""
    await generate(watch, Fault.status(429), fault)

    assert "canary" in CANARY
    assert "canary" not in watch.text


async def test_capture_prompts():
    """With `capture_prompts` the prompt is on the span, in the form of the conventions, and in no metric."""
    watch = Watch(capture_prompts=True)
    await generate(watch)
    messages = json.loads(str((watch.span.attributes or {})["gen_ai.input.messages"]))

    assert [{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}] == messages
    assert "canary" not in str(watch.points)
    assert CANARY not in watch.text


# ---- lifecycle


async def test_second_listener(watch: Watch):
    """A function can call the telemetry and another listener."""
    events = Events()

    def listen(event: Event) -> None:
        watch.telemetry(event)
        events(event)

    async with Sandbox() as sandbox, connected(sandbox.url, on_event=listen) as client:
        await client.generate(PROMPT)

    assert ("Answered", 1) == (events.names[-1], len(watch.spans))


async def test_ended_calls_are_removed(watch: Watch):
    """The telemetry keeps nothing of calls that have ended."""
    for fault in FAULTS:
        await generate(watch, fault)

    assert {} == watch.telemetry._open
