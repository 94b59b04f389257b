"""Steps of workflow engines: requests and errors as plain JSON, and answers that are decoded from it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ideogram_async import (
    ColorPaletteMember,
    DecodeError,
    Edit,
    FromJob,
    Generate,
    Ideogram,
    ImageFile,
    InvalidRequestError,
    LegacyGenerate,
    Remix,
    Upscale,
    errors,
)
from ideogram_async.errors import Billed, IdeogramError, Phase
from ideogram_async.integrations._steps import error_from_json, error_to_json, pack, read_answer, run_once, unpack
from ideogram_async.ledger import SqliteLedger
from ideogram_async.sandbox import Sandbox
from ideogram_async.sinks import FolderSink

LINK = ImageFile.from_url("https://example.com/fox.png?sig=1")
STATUS: dict[str, Any] = {"status": 422, "body": {"a": ["\ud800", None, 1.5]}, "headers": {"x": "y"}}
ERRORS: list[IdeogramError] = [
    InvalidRequestError([("prompt", "is empty"), ("seed", "is negative")]),
    errors.NotSentError("refused", phase=Phase.CONNECTING),
    errors.InDoubtError(
        "in doubt",
        key="order-1",
        attempt=2,
        started_at=datetime(2026, 11, 29, 9, 30, 1, 250, UTC),
        usd=Decimal("0.06"),
    ),
    errors.InDoubtError("in doubt", key="a", attempt=1, started_at=datetime.now(UTC), usd=None),
    errors.SafetyError("unsafe", **STATUS),
    errors.RateLimitError("busy", max_in_flight=4, status=429, retry_after=7.5),
    errors.ServerError("failed", status=502, billed=Billed.UNKNOWN),
    DecodeError("cut", raw=b"\xff{", links=["https://x/y"], problems=["$: missing"]),
    errors.FileConflictError("taken", path=Path("/x/a.png"), url="https://x/y"),
    errors.LedgerError("away", retryable=True),
    errors.BudgetError("too much"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_an_error_crosses_as_json(error: IdeogramError):
    """It has the same class, message and attributes, but for text that no database could store."""
    back = error_from_json(json.loads(json.dumps(error_to_json(error))))
    expected = vars(error) | ({"body": {"a": ["\\ud800", None, 1.5]}} if isinstance(error, errors.SafetyError) else {})

    assert (type(error), str(error), expected) == (type(back), str(back), vars(back))
    assert (error.billed, error.retryable, error.advice) == (back.billed, back.retryable, back.advice)


def test_an_error_of_a_later_version_keeps_what_it_says():
    """An unknown class becomes the base class, with the attributes."""
    back = error_from_json({"type": "LaterError", "message": "later", "state": {"billed": "unknown"}})

    assert (IdeogramError, "later", Billed.UNKNOWN) == (type(back), str(back), back.billed)


@pytest.mark.parametrize(
    "request_",
    [
        Generate("a fox", seed=7, rendering_speed="TURBO", color_palette=[ColorPaletteMember("#ff0000", 0.5)]),
        LegacyGenerate("a fox"),
        Remix(LINK, "a fox", style_reference_images=[LINK, LINK]),
        Upscale(ImageFile(LINK.source, name="fox.png", content_type="image/png")),
        Edit("a hat", images=[SimpleNamespace(url="https://example.com/answer.png")]),
    ],
    ids=lambda request: type(request).__name__,
)
def test_a_request_crosses_as_json(request_: Any):
    """What is unpacked sends the same, with files from the same URLs."""
    packed = pack(request_)

    assert (packed, type(request_)) == (pack(unpack(packed, None)), type(unpack(packed, None)))


@pytest.mark.parametrize(
    ("file", "rule"),
    [
        (b"\x89PNG", "is a file of this process, which another process cannot read"),
        ("fox.png", "is a file of this process, which another process cannot read"),
        (SimpleNamespace(url=None), "is an image without a link"),
        (FromJob("fox"), "is an image of the job 'fox'"),
    ],
)
def test_other_files_are_refused(file: Any, rule: str):
    """Bytes and paths never cross: their field and the way to send them are named."""
    with pytest.raises(InvalidRequestError, match=rf"invalid Remix, nothing was sent:\s+image: {rule}"):
        pack(Remix(file, "a fox"))


async def test_an_answer_is_decoded_from_the_step(sandbox: Sandbox, tmp_path: Path):
    """The step returns status and text, from which the answer is the same."""
    ledger = SqliteLedger(tmp_path / "calls.sqlite3")
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=ledger) as client:
        step = await run_once(client, pack(Generate("a fox")), "fox", None)
        again = await client.once("fox", Generate("a fox"))

    assert {"status", "raw"} == step.keys()
    assert again == read_answer(Generate("a fox"), json.loads(json.dumps(step)))


async def test_an_object_of_the_sink_is_sent(sandbox: Sandbox, tmp_path: Path):
    """A file is read from the sink by its URI, and refused unpaid if it is in another one or missing."""
    sink = FolderSink(tmp_path / "my images")
    ledger = SqliteLedger(tmp_path / "calls.sqlite3")
    async with Ideogram("sandbox", base_url=sandbox.url, ledger=ledger) as client:
        (stored,) = await client.keep(await client.generate("a fox"), sink, name="fox")
        packed = pack(Upscale(ImageFile.from_url(stored.uri)))
        await run_once(client, packed, "large", sink)
        for uri, place, rule in (
            (stored.uri, None, "there is no sink"),
            (stored.uri, FolderSink(tmp_path / "other"), "the sink is file:"),
            (f"{sink.uri}/other.png", sink, "No such file"),
        ):
            with pytest.raises(InvalidRequestError, match=rf"image: cannot be read: .*{rule}"):
                await run_once(client, pack(Upscale(ImageFile.from_url(uri))), "other", place)

    assert 2 == len(sandbox.ledger.entries)
