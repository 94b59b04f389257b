"""Plan of a batch."""

from __future__ import annotations

import io
from pathlib import Path

from support.pictures import picture

from ideogram_async import (
    FromJob,
    Generate,
    Ideogram,
    Job,
    Remix,
    Upscale,
)
from ideogram_async.sandbox import Sandbox


async def test_a_plan_sends_nothing(client: Ideogram, sandbox: Sandbox, tmp_path: Path):
    """It counts jobs, images, cost and duplicates, and lists each problem by its position in the input."""
    handle = io.BytesIO(picture())
    jobs = [
        Job(Generate("a", num_images=2), id="a"),
        Generate("b"),
        Generate("b"),
        Job(Generate("c", num_images=99), id="a"),
        Remix(tmp_path / "missing.png", "d"),
        Upscale(FromJob("unknown")),
        Remix(handle, "e"),
    ]
    plan = await client.plan(jobs)

    assert (7, 1, 0, len(sandbox.requests)) == (plan.jobs, plan.duplicates, handle.tell(), 0)
    assert [(3, "num_images"), (3, "id"), (4, "image"), (5, "image")] == [(n, field) for n, field, _ in plan.problems]
