"""A JSON file beside each image: what was asked, what came, what it cost."""

from __future__ import annotations

import json
from pathlib import Path

from ideogram_async.batch.atomic import replacing
from ideogram_async.batch.rows import ImageRow, JobRow

__all__ = ["write_sidecars"]


def write_sidecars(folder: Path, job: JobRow, images: list[ImageRow]) -> None:
    """Write `<image>.json` for every image that is stored. Blocks; each file appears whole."""
    for image in images:
        if image.path is not None:
            _write(folder / f"{image.path}.json", _told(job, image))


def _told(job: JobRow, image: ImageRow) -> dict[str, object]:
    return {
        "job": job.id or job.key,
        "key": job.key,
        "index": image.number,
        **json.loads(job.request),
        "prompt": image.prompt,
        "seed": image.seed,
        "resolution": image.resolution,
        "job_usd": None if job.usd is None else str(job.usd),
        "sha256": image.sha256,
        "size": image.size,
    }


def _write(path: Path, told: dict[str, object]) -> None:
    with replacing(path) as file:
        file.write((json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode())
