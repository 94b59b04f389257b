"""Jobs whose input is an image of an earlier job."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.batches import by_id, collect, make_jobs

from ideogram_async import (
    FromJob,
    Generate,
    GenerateTransparent,
    Ideogram,
    InvalidRequestError,
    Job,
    JobState,
    Remix,
    Upscale,
)
from ideogram_async.sandbox import Fault, Sandbox


async def test_a_job_waits_for_the_image_of_an_earlier_job(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """A job that names a later job, itself or a missing image is rejected and costs nothing."""
    sandbox.fail("generate-transparent", fault=Fault.unsafe(1))
    jobs = [
        Job(Upscale(FromJob("later")), id="early"),
        Job(Upscale(FromJob("own")), id="own"),
        Job(Generate("a fox"), id="fox"),
        Job(GenerateTransparent("a withheld one"), id="withheld"),
        Job(Upscale(FromJob("fox")), id="big"),
        Job(Remix(FromJob("big"), "at night"), id="night"),
        Job(Upscale(FromJob("withheld")), id="never"),
        Job(Upscale(FromJob("fox", index=3)), id="no such image"),
        Job(Generate("later"), id="later"),
    ]
    results = by_id(await collect(client, jobs, tmp_path))
    rejected = {name for name, result in results.items() if result.state is JobState.REJECTED}

    assert {"own", "never", "no such image"} == rejected - {"early"}
    assert JobState.DONE is results["night"].state
    assert isinstance(results["never"].error, InvalidRequestError)
    assert len(sandbox.ledger.entries) == sum(result.state is not JobState.REJECTED for result in results.values())


async def test_the_error_of_a_missing_image_states_the_state_of_its_job(
    client: Ideogram, sandbox: Sandbox, tmp_path: Path
):
    """An image that was never made is not reported as lost."""
    sandbox.fail("POST /v1/ideogram-v3/generate", fault=Fault.html_502)
    first = Job(Upscale(FromJob("fox-0")), id="first")  # type: ignore[arg-type]

    results = by_id(await collect(client, [*make_jobs(1), first], tmp_path))

    assert "image 0 of job 'fox-0' does not exist; the job is ambiguous" in str(results["first"].error)

    beyond = Job(Upscale(FromJob("fox-1", 5)), id="beyond")  # type: ignore[arg-type]
    results = by_id(await collect(client, [*make_jobs(2), beyond], tmp_path))

    assert "image 5 of job 'fox-1' does not exist; the job is done" in str(results["beyond"].error)


async def test_jobs_that_wait_for_another_hold_no_slot(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """Jobs behind them are sent."""
    sandbox.hold()
    children = [Job(Upscale(FromJob("fox"), prompt=str(n)), id=f"child-{n}") for n in range(40)]
    jobs = [Job(Generate("a fox"), id="fox"), *children, *make_jobs(5)]
    running = asyncio.create_task(collect(client, jobs, tmp_path))
    await sandbox.wait_for_requests(6)
    sandbox.release()

    assert {JobState.DONE} == {result.state for result in await running}
