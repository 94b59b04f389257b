"""Batches and journals that are used in the wrong way, or with values that cannot be sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from ideogram_async import FromJob, Generate, Ideogram, Job, JobState, JournalError, Remix, Unchecked
from ideogram_async._batch.identity import deserialize, serialize
from ideogram_async._batch.inputs import InputStore
from ideogram_async._batch.journal.writer import Journal
from ideogram_async.sandbox import Sandbox


async def test_a_batch_runs_once(client: Ideogram, tmp_path: Path):
    """Entering a batch again raises an error; a new batch resumes the folder."""
    batch = client.batch([Job(Generate("a fox"))], tmp_path)
    async with batch:
        pass

    with pytest.raises(RuntimeError, match="once"):
        await batch.__aenter__()


async def test_results_need_the_block(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Iterating outside `async with` raises an error that shows the block, and sends nothing."""
    with pytest.raises(RuntimeError, match="async with"):
        await anext(client.batch([Job(Generate("a fox"))], tmp_path))

    assert [] == sandbox.requests


async def test_text_that_cannot_be_encoded_is_refused(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A lone surrogate can be neither stored nor sent. Only its job is rejected."""
    report = await client.run_batch([Job(Generate("a \ud800 fox"), id="bad"), Job(Generate("a fox"))], tmp_path)

    assert ["bad"] == [result.id for result in report.failures]
    assert 1 == report.by_state[JobState.DONE]
    assert 1 == len(sandbox.ledger.entries)


async def test_a_closed_journal_takes_no_steps(tmp_path: Path):
    """A step that comes after the close raises an error, and none is lost without notice."""
    journal = Journal.open(tmp_path / "journal.sqlite3", origin="sandbox")
    journal.close()

    with pytest.raises(JournalError, match="is closed"):
        await journal.run(lambda database: None)


@pytest.mark.parametrize(
    "request_",
    [
        Generate("a fox", color_palette="EMBER"),
        Generate("a fox", color_palette=["#112233", ("#445566", 0.5)]),
        Generate("a fox", rendering_speed=Unchecked("BALANCED"), style_codes=["AAFF5733"]),
        Remix(FromJob("fox", 1), "a hen"),
    ],
    ids=["preset", "members", "unchecked", "earlier job"],
)
def test_a_stored_request_equals_the_original(tmp_path: Path, request_):
    """Palettes, unchecked values and images of earlier jobs survive the journal."""
    inputs = InputStore(tmp_path)

    assert request_ == deserialize(serialize(request_, inputs), inputs)
