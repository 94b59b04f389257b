"""OpenTelemetry traces and metrics: one span per call, with its attempts as span events. Needs the extra `otel`.

Names follow the semantic conventions for generative AI, in development as of 2026; all others begin with `ideogram`.
Source: https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

import asyncio
import json
import time

from attrs import define, field

from ideogram_async._requirements import needs_extra
from ideogram_async._version import __version__
from ideogram_async.errors import Billed
from ideogram_async.events import Answered, Event, Failed, Retrying, Sending, Throttled, Waiting
from ideogram_async.integrations._attributes import Attribute, attributes_of

with needs_extra(__name__, "otel"):
    from opentelemetry import metrics, trace
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider

__all__ = ["Telemetry"]

NAME = "ideogram_async"

# The boundaries of the conventions, and two more: an image takes up to 265 seconds, and its call may be queued.
BUCKETS = tuple(0.01 * 2**n for n in range(16))

# Recorded on the span itself.
OMITTED = ("at", "call_id", "operation", "prompt")


class Telemetry:
    """A listener that records spans and metrics: `Ideogram(on_event=Telemetry())`.

    One instance serves any number of clients. A span begins when the call is queued for its slots, as a child of the
    current span, and ends with the call. The API key is never recorded.

    Args:
        capture_prompts: Whether to record prompts, as `gen_ai.input.messages`, and service messages that may quote
            them.
        tracer_provider: Destination of spans; the global provider if omitted.
        meter_provider: Destination of metrics; the global provider if omitted.
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
            "ideogram.client.calls.waiting", "{call}", "Calls queued for slots."
        )
        self._in_flight = meter.create_up_down_counter(
            "ideogram.client.images.in_flight", "{image}", "Images in progress, as the account's limit counts them."
        )
        self._billed = meter.create_counter(
            "ideogram.client.images.billed", "{image}", "Billed images, and those that may have been billed."
        )
        self._throttled = meter.create_counter("ideogram.client.throttled", "{call}", "Attempts rejected with 429.")
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of a call, including the time in the queue.",
            explicit_bucket_boundaries_advisory=BUCKETS,
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

            self._count(call, event)
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

    def _count(self, call: OpenSpan, event: Event) -> None:
        """Count the call as queued, in flight, or neither."""
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

        values = attributes_of(event, prompts=self._prompts)
        attributes = {f"ideogram.{name}": value for name, value in values.items() if name not in OMITTED}
        call.span.add_event(f"ideogram.{type(event).__name__.lower()}", attributes)

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


@define(eq=False)
class OpenSpan:
    """The span of a call in progress."""

    span: Span
    labels: dict[str, Attribute]
    """Attributes of its metrics."""
    images: int
    weight: int
    began_at: float = field(factory=time.monotonic)
    is_waiting: bool = False
    is_in_flight: bool = False
    attempts: int = 0
    ending: asyncio.Handle | None = None
    """Ends the span after a response, unless a decoding error follows in the same iteration of the event loop."""


def _labels(operation: str, waiting: Waiting | None) -> dict[str, Attribute]:
    is_inference = bool(waiting and waiting.images) or operation.endswith("/describe")
    labels: dict[str, Attribute] = {
        "gen_ai.operation.name": "generate_content" if is_inference else operation,
        "gen_ai.provider.name": "ideogram",
    }
    return labels if waiting is None or waiting.model is None else {**labels, "gen_ai.request.model": waiting.model}


def _message(prompt: str) -> str:
    return json.dumps([{"role": "user", "parts": [{"type": "text", "content": prompt}]}], ensure_ascii=False)
