"""Events as records of a log: levels, fields, and what is not among them."""

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
    """A logger as structlog makes them: facts are keyword arguments."""

    def __init__(self) -> None:
        self.records: list[tuple[int, str, dict[str, Any]]] = []

    def log(self, level: int, event: str, /, **facts: Any) -> None:
        self.records.append((level, event, facts))


async def generate(listener: EventLog, *faults: Fault) -> None:
    async with Sandbox() as box, connected(box.url, on_event=listener) as client:
        for fault in faults:
            box.fail("generate", fault=fault)

        await asyncio.gather(client.generate(PROMPT), return_exceptions=True)


@pytest.mark.parametrize(
    ("fault", "levels"),
    [
        (None, {"Waiting": "DEBUG", "Sending": "DEBUG", "Answered": "INFO"}),
        (Fault.status(429), {"Throttled": "WARNING", "Answered": "INFO"}),
        (Fault.status(400), {"Failed": "WARNING"}),
        (Fault.close_after_body, {"Failed": "ERROR"}),
    ],
    ids=["success", "429", "400", "no answer"],
)
async def test_how_loud(caplog: pytest.LogCaptureFixture, fault: Fault | None, levels: dict[str, str]):
    """Attempts are DEBUG, answers INFO, trouble WARNING, and what may have cost money for nothing ERROR."""
    caplog.set_level(logging.DEBUG, "ideogram_async.events")
    await generate(EventLog(), *([fault] if fault else []))
    records = {record.getMessage().split()[0]: record.levelname for record in caplog.records if record.funcName}

    assert levels.items() <= records.items()


async def test_facts_are_fields_of_the_record(caplog: pytest.LogCaptureFixture):
    """A record of the standard library has the facts as fields, plain enough for JSON."""
    logger = logging.getLogger("tests.pictures")
    caplog.set_level(logging.INFO, "tests.pictures")
    await generate(EventLog(logger))
    (record,) = [record for record in caplog.records if record.name == "tests.pictures"]
    fields = {name: value for name, value in vars(record).items() if name.startswith("ideogram_")}

    assert "Answered POST /v1/ideogram-v3/generate" == record.getMessage()
    assert {"ideogram_status": 200, "ideogram_attempt": 1}.items() <= fields.items()
    assert {"ideogram_call_id", "ideogram_at", "ideogram_operation"} <= fields.keys()
    assert json.dumps(fields)


async def test_an_adapter_is_a_logger_too(caplog: pytest.LogCaptureFixture):
    """A `LoggerAdapter` gets what a logger gets."""
    caplog.set_level(logging.INFO, "tests.pictures")
    await generate(EventLog(logging.LoggerAdapter(logging.getLogger("tests.pictures"))))

    assert "Answered POST /v1/ideogram-v3/generate" in caplog.messages


async def test_structlog_gets_keyword_arguments():
    """A logger that is none of the standard library's gets the name as event, and the facts by name."""
    logger = Structured()
    await generate(EventLog(logger), REFUSED)
    level, event, facts = logger.records[-1]

    assert (logging.WARNING, "Failed", "BadRequestError") == (level, event, facts["error"])
    assert "POST /v1/ideogram-v3/generate" == facts["operation"]


async def test_structlog_itself():
    """A logger of structlog writes one JSON object an event."""
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


async def test_a_quiet_logger_costs_nothing(monkeypatch: pytest.MonkeyPatch):
    """Where a level is not asked for, no facts are gathered."""
    monkeypatch.setattr("ideogram_async.integrations.logs.attributes_of", None)
    logger = logging.getLogger("tests.quiet")
    logger.setLevel(logging.CRITICAL)

    await generate(EventLog(logger))


@pytest.mark.parametrize("faults", [[], [REFUSED], [Fault.status(429), Fault.garbage_json]])
async def test_neither_key_nor_prompt_is_written(faults: list[Fault]):
    """No record has the key or the prompt in it, even where the service quotes it."""
    logger = Structured()
    await generate(EventLog(logger), *faults)

    assert logger.records
    assert "canary" not in str(logger.records)


async def test_a_prompt_that_is_asked_for():
    """With `capture_prompts` the prompt is written down, and what the service says of it."""
    logger = Structured()
    await generate(EventLog(logger, capture_prompts=True), REFUSED)

    assert PROMPT == logger.records[0][2]["prompt"]
    assert PROMPT in logger.records[-1][2]["message"]


@pytest.mark.parametrize(
    ("text", "scrubbed"),
    [
        ("GET https://ideogram.ai/x.png?exp=1&sig=abc failed", "GET https://ideogram.ai/x.png?*** failed"),
        ("proxy http://user:pass@proxy:8080 refused", "proxy http://***@proxy:8080 refused"),
        ('"https://a.b/#c", 404', '"https://a.b/?***", 404'),
        ("a?b@c is no link", "a?b@c is no link"),
    ],
)
def test_links_are_scrubbed(text: str, scrubbed: str):
    """What would open a link, or a proxy, is not written down."""
    event = Retrying(call_id="x", operation="GET /x", attempt=1, pause=0.5, reason=text)

    assert scrubbed == attributes_of(event)["reason"]


def test_our_own_words_stay():
    """A failure before the service has answered is told in words of our own, and they are written down."""
    facts = {"error": "NotSentError", "message": "nobody knows that host", "billed": Billed.NO}
    event = Failed(call_id="x", operation="POST /x", phase=Phase.CONNECTING, **facts)  # type: ignore[arg-type]

    assert "nobody knows that host" == attributes_of(event)["message"]
