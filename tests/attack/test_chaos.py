"""Random faults, cancellations and closes: no call is billed twice or reports a wrong cost."""

from __future__ import annotations

import asyncio
import random
import re
import tempfile
import threading
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from io import BytesIO
from pathlib import Path
from typing import Any

import anyio
import pytest
from attrs import define, field
from support.clients import fast_limiter
from support.leaks import descriptors, other_tasks
from support.pictures import picture

from ideogram_async import Billed, DownloadError, Ideogram, IdeogramError, Retry
from ideogram_async.events import Event, Failed
from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox.ledger import fingerprint
from ideogram_async.sandbox.records import RecordedRequest

CALLS = 120
FAULTS = (
    Fault.reset_before_headers,
    Fault.reset_after_headers,
    Fault.close_after_body,
    Fault.hang,
    Fault.drip(0.0),
    Fault.cut_with_length,
    Fault.cut_without_length,
    Fault.garbage_json,
    Fault.html_502,
    Fault.wrong_type,
    Fault.redirect(),
    Fault.unsafe(),
    Fault.status(429, '{"max_inflight_requests": 4}'),
    Fault.status(429, headers={"Retry-After": "0.01"}),
    *map(Fault.status, (400, 402, 403, 408, 409, 413, 425, 500, 503)),
)
IMAGE_FAULTS = (Fault.cut, Fault.not_an_image, Fault.expired)

_name: ContextVar[str] = ContextVar("name")


@define
class Run:
    """The calls of one run and their outcomes."""

    rng: random.Random
    sandbox: Sandbox
    folder: Path
    answered: set[str] = field(factory=set)
    raised: dict[str, BaseException] = field(factory=dict)
    reported: dict[str, Billed] = field(factory=dict)
    """Cost in the last event of each call."""

    def on_event(self, event: Event) -> None:
        if isinstance(event, Failed):
            self.reported[_name.get()] = event.billed

    def work(self, client: Ideogram, name: str) -> Callable[[], Awaitable[Any]]:
        """Return a call of a random operation and weight."""
        count = self.rng.randrange(1, 4)
        return self.rng.choice(
            [
                lambda: client.generate(name, num_images=count),
                lambda: client.generate_transparent(name, num_images=count),
                lambda: client.remix(picture(), name, num_images=count),
                lambda: client.upscale(BytesIO(picture()), prompt=name),
            ]
        )

    async def call(self, client: Ideogram, name: str) -> None:
        """Make one call, sometimes with a timeout, and download its image."""
        _name.set(name)
        work, seconds = self.work(client, name), self.rng.uniform(0.0, 0.5)
        try:
            match self.rng.randrange(10):
                case 0:
                    async with asyncio.timeout(seconds):
                        answer = await work()
                case 1:
                    with anyio.fail_after(seconds):
                        answer = await work()
                case _:
                    answer = await work()
        except BaseException as error:
            self.raised[name] = error
            raise

        self.answered.add(name)
        image = answer.data[0]
        if image.is_image_safe:
            try:
                await client.download(image, f"{self.folder}/")
            except DownloadError:
                pass

    def billed(self) -> set[str]:
        """Return the names of the calls that the sandbox has billed."""
        billed = {entry.fingerprint for entry in self.sandbox.ledger.entries}
        return {_name_in(arrival) for arrival in self.sandbox.requests if fingerprint(arrival) in billed}


def _name_in(arrival: RecordedRequest) -> str:
    match = re.search(r"call \d+", repr(arrival.json) + repr([part.body[-200:] for part in arrival.parts]))
    assert match
    return match[0]


def foreign(error: BaseException) -> bool:
    """Return whether an error is neither of this library nor a cancellation or timeout of the caller."""
    return not isinstance(error, IdeogramError | asyncio.CancelledError | TimeoutError)


async def chaos(seed: int, folder: Path, *, limit: int, ambiguous: bool) -> None:
    rng = random.Random(seed)
    async with Sandbox(max_in_flight=limit, latency=(0.0, 0.01), seed=seed) as sandbox:
        run, limiter = Run(rng, sandbox, folder), fast_limiter(limit)
        for _ in range(CALLS // 3):
            sandbox.fail(fault=rng.choice(FAULTS), times=rng.randrange(1, 4), after=rng.randrange(CALLS))
            sandbox.fail("images", fault=rng.choice(IMAGE_FAULTS), after=rng.randrange(CALLS))

        policy = Retry(base=0.0, throttle_wait=5.0, ambiguous=ambiguous, attempts=rng.choice([3, 5]))
        options: dict[str, Any] = {"limiter": limiter, "retry": policy, "on_event": run.on_event, "timeout": 0.5}
        async with Ideogram("key", base_url=sandbox.url, reuse_connections=rng.random() < 0.3, **options) as client:
            views = (client, client.with_options(timeout=0.2))
            tasks = [asyncio.create_task(run.call(rng.choice(views), f"call {n}")) for n in range(CALLS)]
            closing = asyncio.create_task(_interfere(rng, sandbox, client, tasks))
            async with asyncio.timeout(30):
                await asyncio.gather(*tasks, closing, return_exceptions=True)

            sandbox.release()
            await sandbox.wait_idle()

        statistics = limiter.statistics()
        billed = run.billed()

        assert [] == [error for error in run.raised.values() if foreign(error)]
        assert [] == ([] if ambiguous else sandbox.ledger.duplicates)
        assert set() == {name for name in billed if getattr(run.raised.get(name), "billed", None) is Billed.NO}
        assert set() == {name for name in billed - run.answered if run.reported.get(name, Billed.NO) is Billed.NO}
        assert (0, 0) == (statistics.in_flight, statistics.waiting)
        assert sandbox.peak_in_flight <= limit
        assert [] == [path.name for path in folder.iterdir() if path.name.endswith(".part")]

    assert set() == {task for task in other_tasks() if "ideogram_async" in repr(task.get_coro())}


async def _interfere(rng: random.Random, sandbox: Sandbox, client: Ideogram, tasks: list[asyncio.Task[None]]) -> None:
    """Cancel some calls while they arrive and close the client once."""
    closes_at = rng.randrange(CALLS // 3, 2 * CALLS // 3)
    for count in range(0, 2 * CALLS // 3, 10):
        try:
            async with asyncio.timeout(0.5):
                await sandbox.wait_for_requests(count)
        except TimeoutError:
            return

        rng.choice(tasks).cancel()
        if count <= closes_at < count + 10:
            await client.aclose()


@pytest.mark.parametrize(("limit", "ambiguous"), [(10, False), (3, False), (10, True)])
def test_chaos(limit: int, ambiguous: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No call is billed twice or wrongly reported as free, and no slot, task, file or thread is leaked."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    (tmp_path / "copies").mkdir()
    for seed in range(2):
        folder = tmp_path / f"images-{seed}"
        folder.mkdir()
        before = set(threading.enumerate())
        asyncio.run(chaos(seed, folder, limit=limit, ambiguous=ambiguous))
        # Their event loop has requested their end.
        for thread in set(threading.enumerate()) - before:
            thread.join(5.0)

        assert set() == set(threading.enumerate()) - before
        assert [] == [path for path in descriptors() if path.startswith(str(tmp_path))]

    assert [] == list((tmp_path / "copies").iterdir())
