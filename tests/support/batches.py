"""Jobs and runs of batches."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ideogram_async import Generate, Ideogram, Job, JobResult, Report

__all__ = ["TIMEOUT", "by_id", "collect", "count_images", "make_jobs", "run_batch"]

TIMEOUT = 60
"""Seconds after which a run of a batch has hung."""


def make_jobs(count: int, **fields: Any) -> list[Job]:
    """Return jobs named `fox-<n>`, each with its own prompt and seed."""
    return [Job(Generate(f"fox {n}", seed=n, **fields), id=f"fox-{n}") for n in range(count)]


async def collect(client: Ideogram, jobs: Any, folder: Path, **options: Any) -> list[JobResult]:
    """Run a batch and return its results."""
    async with asyncio.timeout(TIMEOUT), client.batch(jobs, folder, **options) as batch:
        return [result async for result in batch]


async def run_batch(client: Ideogram, jobs: Any, folder: Path, **options: Any) -> Report:
    """Run a batch and return its report."""
    async with asyncio.timeout(TIMEOUT):
        return await client.run_batch(jobs, folder, **options)


def by_id(results: Iterable[JobResult]) -> dict[str, JobResult]:
    """Return results by the id of their job."""
    return {result.id: result for result in results}


def count_images(folder: Path) -> int:
    """Return the number of images in a folder."""
    return len(list(folder.glob("*.png")))
