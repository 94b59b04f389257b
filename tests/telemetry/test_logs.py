"""Log records of events: levels, fields and redaction."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from support.clients import connected

from ideogram_async.errors import Billed, Phase
from ideogram_async.events import Failed, Retrying
from ideogram_async.integrations._attributes import attributes_of
from ideogram_async.integrations.logs import EventLog
from ideogram_async.sandbox import Fault, Sandbox

PROMPT = "a canary in a coal mine"
REFUSED = Fault.status(400, json.dumps({"error": f"bad prompt: {PROMPT}"}).encode())


class Structured:
    """A logger like those of structlog, with fields as keyword arguments."""

    def __init__(self) -> None:
        self.records: list[tuple[int, str, dict[str, Any]]] = []

    def log(self, level: int, event: str, /, **fields: Any) -> None:
        self.records.append((level, event, fields))


async def generate(listener: EventLog, *faults: Fault) -> None:
    async with Sandbox() as sandbox, connected(sandbox.url, on_event=listener) as client:
        for fault in faults:
            sandbox.fail("generate", fault=fault)

        await asyncio.gather(client.generate(PROMPT), return_exceptions=True)


@pytest.mark.parametrize(
    ("fault", "levels"),
    [
        (None, {"Waiting": "DEBUG", "Sending": "DEBUG", "Answered": "INFO"}),
        (Fault.status(429), {"Throttled": "WARNING", "Answered": "INFO"}),
        (Fault.status(400), {"Failed": "WARNING"}),
        (Fault.close_after_body, {"Failed": "ERROR"}),
    ],
    ids=["success", "429", "400", "no response"],
)
async def test_levels(caplog: pytest.LogCaptureFixture, fault: Fault | None, levels: dict[str, str]):
    """Attempts are DEBUG, answers INFO, failures WARNING, and failures that may be billed ERROR."""
    caplog.set_level(logging.DEBUG, "ideogram_async.events")
    await generate(EventLog(), *([fault] if fault else []))
    records = {record.getMessage().split()[0]: record.levelname for record in caplog.records if record.funcName}

    assert levels.items() <= records.items()


async def test_fields_of_the_record(caplog: pytest.LogCaptureFixture):
    """A record of the standard library has the event's fields as JSON-ready attributes."""
    logger = logging.getLogger("tests.pictures")
    caplog.set_level(logging.INFO, "tests.pictures")
    await generate(EventLog(logger))
    (record,) = [record for record in caplog.records if record.name == "tests.pictures"]
    fields = {name: value for name, value in vars(record).items() if name.startswith("ideogram_")}

    assert "Answered POST /v1/ideogram-v3/generate" == record.getMessage()
    assert {"ideogram_status": 200, "ideogram_attempt": 1}.items() <= fields.items()
    assert {"ideogram_call_id", "ideogram_at", "ideogram_operation"} <= fields.keys()
    assert json.dumps(fields)


async def test_logger_adapter(caplog: pytest.LogCaptureFixture):
    """A `LoggerAdapter` is accepted as a logger."""
    caplog.set_level(logging.INFO, "tests.pictures")
    await generate(EventLog(logging.LoggerAdapter(logging.getLogger("tests.pictures"))))

    assert "Answered POST /v1/ideogram-v3/generate" in caplog.messages


async def test_structlog_arguments():
    """A structlog logger receives the name as `event`, and the fields as keyword arguments."""
    logger = Structured()
    await generate(EventLog(logger), REFUSED)
    level, event, fields = logger.records[-1]

    assert (logging.WARNING, "Failed", "BadRequestError") == (level, event, fields["error"])
    assert "POST /v1/ideogram-v3/generate" == fields["operation"]


async def test_structlog():
    """Structlog writes one JSON object per event."""
    structlog = pytest.importorskip("structlog")
    lines: list[str] = []

    class Lines:
        def msg(self, line: str) -> None:
            lines.append(line)

        debug = info = warning = error = msg

    logger = structlog.wrap_logger(
        Lines(),
        processors=[structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    await generate(EventLog(logger))

    assert ["Answered"] == [json.loads(line)["event"] for line in lines]


async def test_disabled_level(monkeypatch: pytest.MonkeyPatch):
    """Fields are not collected for a disabled level."""
    monkeypatch.setattr("ideogram_async.integrations.logs.attributes_of", None)
    logger = logging.getLogger("tests.quiet")
    logger.setLevel(logging.CRITICAL)

    await generate(EventLog(logger))


@pytest.mark.parametrize("faults", [[], [REFUSED], [Fault.status(429), Fault.garbage_json]])
async def test_no_record_contains_a_secret(faults: list[Fault]):
    """No record contains the API key or the prompt, even if the service quotes it."""
    logger = Structured()
    await generate(EventLog(logger), *faults)

    assert logger.records
    assert "canary" not in str(logger.records)


async def test_capture_prompts():
    """With `capture_prompts` the prompt is logged, and the service message that quotes it."""
    logger = Structured()
    await generate(EventLog(logger, capture_prompts=True), REFUSED)

    assert PROMPT == logger.records[0][2]["prompt"]
    assert PROMPT in logger.records[-1][2]["message"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("GET https://ideogram.ai/x.png?exp=1&sig=abc failed", "GET https://ideogram.ai/x.png?*** failed"),
        ("proxy http://user:pass@proxy:8080 refused", "proxy http://***@proxy:8080 refused"),
        ('"https://a.b/#c", 404', '"https://a.b/?***", 404'),
        ("a?b@c is not a link", "a?b@c is not a link"),
    ],
)
def test_urls_are_redacted(text: str, expected: str):
    """Signatures of links and credentials of proxies are redacted."""
    event = Retrying(call_id="x", operation="GET /x", attempt=1, pause=0.5, reason=text)

    assert expected == attributes_of(event)["reason"]


def test_message_without_a_response():
    """The message of a failure before a response is kept: it cannot quote the prompt."""
    fields = {"error": "NotSentError", "message": "unknown host", "billed": Billed.NO}
    event = Failed(call_id="x", operation="POST /x", phase=Phase.CONNECTING, **fields)  # type: ignore[arg-type]

    assert "unknown host" == attributes_of(event)["message"]
