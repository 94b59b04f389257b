"""Traces and metrics of OpenTelemetry: a span a call, its attempts as events. It needs the extra `otel`.

Names are those of the conventions for generative AI, in development as of 2026; what they have no name for begins with
`ideogram`. Source: https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

import asyncio
import json
import time

from attrs import define, field
from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider
from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider

from ideogram_async._version import __version__
from ideogram_async.errors import Billed
from ideogram_async.events import Answered, Event, Failed, Retrying, Sending, Throttled, Waiting
from ideogram_async.integrations._attributes import Fact, attributes_of

__all__ = ["Telemetry"]

NAME = "ideogram_async"

# The boundaries of the convention, and two more: an image takes up to 265 seconds, and its call may wait for a place.
SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84, 327.68)

COMMON = ("at", "call_id", "operation")


@define(eq=False)
class OpenSpan:
    """A call that has not ended."""

    span: Span
    labels: dict[str, Fact]
    """What its metrics are told apart by."""
    images: int
    weight: int
    began_at: float = field(factory=time.monotonic)
    is_waiting: bool = False
    is_in_flight: bool = False
    attempts: int = 0
    ending: asyncio.Handle | None = None
    """Set when an answer has come: nothing more, or that it cannot be read, will be told in this turn of the loop."""


class Telemetry:
    """Turns events into spans and metrics: `Ideogram(on_event=Telemetry())`.

    One serves any number of clients. A span begins where the call asks for its places, as a child of the span that is
    current there, and ends with the call. No key is ever recorded, and no prompt unless you ask for it.

    Args:
        capture_prompts: Whether prompts are recorded, as `gen_ai.input.messages`, and the service's words that may
            quote them.
        tracer_provider: Where spans go; the global one if not given.
        meter_provider: Where metrics go; the global one if not given.
    """

    def __init__(
        self,
        *,
        capture_prompts: bool = False,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
    ) -> None:
        self._prompts = capture_prompts
        self._tracer = trace.get_tracer(NAME, __version__, tracer_provider)
        meter = metrics.get_meter(NAME, __version__, meter_provider)
        self._waiting = meter.create_up_down_counter(
            "ideogram.client.calls.waiting", "{call}", "Calls that wait for their places."
        )
        self._in_flight = meter.create_up_down_counter(
            "ideogram.client.images.in_flight", "{image}", "Images in progress, as the account's limit counts them."
        )
        self._billed = meter.create_counter(
            "ideogram.client.images.billed", "{image}", "Images that were paid for, and those that may have been."
        )
        self._throttled = meter.create_counter(
            "ideogram.client.throttled", "{call}", "Attempts that the service refused with 429."
        )
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Time of a call, from asking for its places to its end.",
            explicit_bucket_boundaries_advisory=SECONDS,
        )
        self._open: dict[str, OpenSpan] = {}

    def __call__(self, event: Event) -> None:
        """Record an event."""
        if isinstance(event, Waiting | Sending | Failed) and event.call_id not in self._open:
            self._open[event.call_id] = self._begin(event)

        call = self._open.get(event.call_id)
        if call is not None:
            if call.ending is not None:
                call.ending.cancel()

            self._move(call, event)
            self._record(call, event)

    def _begin(self, event: Event) -> OpenSpan:
        waiting = event if isinstance(event, Waiting) else None
        labels = _labels(event.operation, waiting)
        operation, model = labels["gen_ai.operation.name"], labels.get("gen_ai.request.model")
        attributes = {**labels, "ideogram.operation": event.operation, "ideogram.call_id": event.call_id}
        if labels["gen_ai.operation.name"] == "generate_content":
            attributes["gen_ai.output.type"] = "image" if waiting and waiting.images else "text"
        if waiting and waiting.images > 1:
            attributes["gen_ai.request.choice.count"] = waiting.images
        if waiting and waiting.prompt is not None and self._prompts:
            attributes["gen_ai.input.messages"] = _message(waiting.prompt.reveal())

        name = f"{operation} {model}" if model else str(operation)
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        return OpenSpan(span, labels, waiting.images if waiting else 0, waiting.weight if waiting else 0)

    def _move(self, call: OpenSpan, event: Event) -> None:
        """Count it where it now is: in line, in flight, or neither."""
        is_waiting, is_in_flight = isinstance(event, Waiting), isinstance(event, Sending)
        if is_waiting is not call.is_waiting:
            self._waiting.add(1 if is_waiting else -1, call.labels)
        if is_in_flight is not call.is_in_flight and call.weight:
            self._in_flight.add(call.weight if is_in_flight else -call.weight, call.labels)

        call.is_waiting, call.is_in_flight = is_waiting, is_in_flight

    def _record(self, call: OpenSpan, event: Event) -> None:
        match event:
            case Failed():
                self._end(call, event)
                return
            case Sending():
                call.attempts = event.attempt
            case Answered():
                call.span.set_attribute("http.response.status_code", event.status)
                if 200 <= event.status < 300:
                    call.ending = asyncio.get_running_loop().call_soon(self._end, call, event)
            case Throttled():
                self._throttled.add(1, call.labels)
            case Waiting() | Retrying():
                pass
            case _:
                return

        facts = attributes_of(event, prompts=self._prompts)
        told = {f"ideogram.{name}": fact for name, fact in facts.items() if name not in (*COMMON, "prompt")}
        call.span.add_event(f"ideogram.{type(event).__name__.lower()}", told)

    def _end(self, call: OpenSpan, event: Answered | Failed) -> None:
        del self._open[event.call_id]
        labels, span = call.labels, call.span
        billed = Billed.YES if call.weight else Billed.NO
        if isinstance(event, Failed):
            billed = event.billed
            labels = {**labels, "error.type": event.error}
            span.set_attribute("error.type", event.error)
            span.set_attribute("ideogram.phase", event.phase.value)
            span.set_status(StatusCode.ERROR, str(attributes_of(event, prompts=self._prompts).get("message", "")))

        span.set_attribute("ideogram.attempts", call.attempts)
        span.set_attribute("ideogram.billed", billed.value)
        if call.images:
            span.set_attribute("ideogram.images", call.images)
        if call.images and billed is not Billed.NO:
            self._billed.add(call.images, {**call.labels, "ideogram.billed": billed.value})

        self._duration.record(time.monotonic() - call.began_at, labels)
        span.end()


def _labels(operation: str, waiting: Waiting | None) -> dict[str, Fact]:
    is_inference = bool(waiting and waiting.images) or operation.endswith("/describe")
    labels: dict[str, Fact] = {
        "gen_ai.operation.name": "generate_content" if is_inference else operation,
        "gen_ai.provider.name": "ideogram",
    }
    return labels if waiting is None or waiting.model is None else {**labels, "gen_ai.request.model": waiting.model}


def _message(prompt: str) -> str:
    return json.dumps([{"role": "user", "parts": [{"type": "text", "content": prompt}]}], ensure_ascii=False)
