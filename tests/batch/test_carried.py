"""Carried columns: they are recorded with a job, and change nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support.batches import collect, run_batch

from ideogram_async import Generate, Ideogram, Job, JobState
from ideogram_async.batch import Folder
from ideogram_async.sandbox import Sandbox

COLUMNS = {"Sku": "007", "note": 'é "x"\n\ud800', "empty": ""}


@pytest.mark.parametrize("name", ["fox", None])
async def test_a_result_carries_the_columns_of_its_job(client: Ideogram, tmp_path: Path, name: str | None):
    """The result in the run, in a later run and in the folder has the columns of the job."""
    job = Job(Generate("a fox"), name, carried=COLUMNS)
    results = [*await collect(client, [job], tmp_path), *await collect(client, [job], tmp_path)]
    results += Folder(tmp_path).results()

    assert [COLUMNS] * 3 == [result.carried for result in results]


async def test_an_invalid_job_carries_its_columns(client: Ideogram, tmp_path: Path):
    """The result of an invalid job, which is not recorded, has its columns."""
    [result] = await collect(client, [Job(Generate("a fox", seed=-5), carried={"sku": "7"})], tmp_path)

    assert (JobState.REJECTED, {"sku": "7"}) == (result.state, result.carried)


@pytest.mark.parametrize(
    ("later", "recorded"), [({"sku": "8"}, {"sku": "8"}), ({}, {"sku": "7"}), ({"b": "1"}, {"b": "1"})]
)
@pytest.mark.parametrize("name", ["fox", None])
async def test_other_columns_make_the_same_job(
    client: Ideogram,
    sandbox: Sandbox,
    tmp_path: Path,
    name: str | None,
    later: dict[str, str],
    recorded: dict[str, str],
):
    """A job with other columns is not sent again; the columns of the last run that had some are recorded."""
    for columns in ({"sku": "7"}, later):
        await run_batch(client, [Job(Generate("a fox"), name, carried=columns)], tmp_path)

    [result] = Folder(tmp_path).results()

    assert (1, recorded) == (len(sandbox.requests), result.carried)


async def test_a_repeated_job_keeps_the_columns_of_the_first(client: Ideogram, tmp_path: Path):
    """The same id twice is one job, with the first columns. Each job without an id has its own columns."""
    jobs = [Job(Generate("a fox"), name, carried={"row": str(n)}) for n, name in enumerate(["fox", "fox", None, None])]
    await run_batch(client, jobs, tmp_path)
    recorded = [result.carried["row"] for result in Folder(tmp_path).results()]

    assert ["0", "2", "3"] == recorded


async def test_a_sidecar_has_the_columns(client: Ideogram, tmp_path: Path):
    """The sidecar of an image contains the columns of its job under `carried`."""
    await run_batch(client, [Job(Generate("a fox"), id="fox", carried={"Sku": "é"})], tmp_path, sidecars=True)

    assert {"Sku": "é"} == json.loads((tmp_path / "fox-0.png.json").read_text())["carried"]
