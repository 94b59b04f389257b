"""What a batch would do and cost, before anything is paid."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterable, Iterable
from decimal import Decimal
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen

from ideogram_async.batch.feed import pulled
from ideogram_async.batch.identity import fingerprint_of, pack
from ideogram_async.batch.inputs import Inputs
from ideogram_async.batch.job import Job
from ideogram_async.batch.sources import has_once_only, named_in
from ideogram_async.endpoint import Request
from ideogram_async.prices import PriceTable
from ideogram_async.transport.threads import in_thread
from ideogram_async.wire.encode import weight_of

__all__ = ["Plan", "make_plan"]

# Seconds that an image takes, as third parties have measured; the slowest is taken where the speed is not known.
SECONDS = {"FLASH": 3.0, "TURBO": 6.0, "DEFAULT": 12.0, "QUALITY": 20.0}


@frozen(kw_only=True)
class Plan:
    """What a batch would do: a full pass over the input, and nothing sent."""

    jobs: int
    images: int
    usd: Decimal
    """What the jobs whose price is known will cost together."""
    unpriced: int
    """Jobs whose price is not known."""
    duplicates: int
    """Jobs that ask for what an earlier one asks for."""
    problems: tuple[tuple[int, str, str], ...]
    """What is wrong, as `(place in the input, field, rule)`."""
    seconds_at_limit: float
    """About how long it takes with all places in use."""


async def make_plan(
    jobs: Iterable[Job | Request[Any]] | AsyncIterable[Job | Request[Any]],
    prices: PriceTable,
    *,
    limit: int,
    max_upload_bytes: int,
    loopback: bool,
) -> Plan:
    """Go over all jobs. Reads every file that they send."""
    seen: Counter[str] = Counter()
    ids: set[str] = set()
    problems: list[tuple[int, str, str]] = []
    count = images = unpriced = 0
    usd, seconds = Decimal(0), 0.0
    with TemporaryDirectory() as folder:
        inputs = Inputs(Path(folder))
        async for job in pulled(jobs):
            request = job.request
            ask = partial(request.problems, max_upload_bytes=max_upload_bytes, loopback=loopback)
            found = await in_thread(ask)
            if job.id is not None and job.id in ids:
                found = [*found, ("id", f"{job.id!r} stands for an earlier job")]

            strangers = [name for name in named_in(request) if name not in ids]
            found = [
                *found,
                *(("image", f"names the job {name!r}, and no earlier job has that id") for name in strangers),
            ]
            problems += [(count, field, rule) for field, rule in found]
            if not found and not has_once_only(request):
                seen[fingerprint_of(await in_thread(partial(pack, request, inputs)))] += 1

            price = prices.estimate(request).usd
            usd, unpriced = usd + (price or 0), unpriced + (price is None)
            if not found:
                images += weight_of(request)
                seconds += weight_of(request) * SECONDS.get(
                    str(getattr(request, "rendering_speed", None) or "DEFAULT"), 20.0
                )

            ids |= {job.id} if job.id is not None else set()
            count += 1

    return Plan(
        jobs=count,
        images=images,
        usd=usd,
        unpriced=unpriced,
        duplicates=seen.total() - len(seen),
        problems=tuple(problems),
        seconds_at_limit=seconds / limit,
    )
