"""Effects of a 429: the limit, the back-off gate, and the probe when the gate opens."""

from __future__ import annotations

import asyncio
import importlib
import random

import pytest
from support.callers import Calls, FixedRandom, numbers, settle
from support.paths import ROOT
from support.virtual import run, virtual

from ideogram_async._limiter.congestion import Congestion
from ideogram_async._limiter.limiter import ImageLimiter

# ---- 429: the limit


@virtual
async def test_first_429_cuts_the_limit() -> None:
    """The limit becomes what else was in flight; further 429s of the same epoch cut nothing."""
    calls = Calls(limiter := ImageLimiter(10))
    for name, weight in {"a": 3, "b": 2, "c": 4}.items():
        await calls.ask(name, weight)
    await calls.reject("b")

    assert (7.0, 7, 0, 1) == numbers(limiter)

    await calls.reject("c")
    await calls.reject("a")

    assert (7.0, 0, 0, 3) == numbers(limiter)


@virtual
async def test_limit_is_never_below_one() -> None:
    """A refused call that was alone leaves a limit of one image."""
    calls = Calls(limiter := ImageLimiter(10))
    await calls.ask("alone", 4)
    await calls.reject("alone", limit=0)

    assert (1.0, 0, 0, 1) == numbers(limiter)


@virtual
async def test_limit_is_never_raised_by_a_429() -> None:
    """Neither the images in flight nor the limit reported by the service can raise the limit."""
    calls = Calls(limiter := ImageLimiter(4))
    await calls.ask("a", 3)
    await calls.ask("b", 1)
    await calls.reject("b", limit=50)

    assert (3.0, 3, 0, 1) == numbers(limiter)

    limiter.note_rejected(50, None)

    assert (3.0, 3, 0, 2) == numbers(limiter)


@virtual
async def test_older_calls_do_not_raise_the_limit() -> None:
    """Images in flight beyond the limit, from before the cut, do not become the limit."""
    calls = Calls(limiter := ImageLimiter(10))
    await calls.ask("long", 7)
    limiter.note_rejected(4, None)
    await asyncio.sleep(600)
    limiter.note_rejected(None, None)

    assert (4.0, 7, 0, 2) == numbers(limiter)


@virtual
async def test_service_reports_its_limit() -> None:
    """A lower limit that the service reports holds until 600 s have passed without a 429."""
    calls = Calls(limiter := ImageLimiter(10))
    await calls.ask("a", 8)
    await calls.ask("b")
    await calls.reject("b", limit=4)

    assert (4.0, 8, 0, 1) == numbers(limiter)

    await asyncio.sleep(599)
    for _ in range(100):
        limiter.note_accepted(1)

    assert 4.0 == limiter.statistics().limit

    await asyncio.sleep(1)
    for _ in range(100):
        limiter.note_accepted(1)

    assert 10.0 == limiter.statistics().limit


@virtual
async def test_another_429_extends_the_reported_limit() -> None:
    """Every 429 extends the reported limit; once it has expired, it stays expired."""
    limiter = ImageLimiter(10)

    async def limit_after(seconds: float) -> float:
        await asyncio.sleep(seconds)
        for _ in range(100):
            limiter.note_accepted(1)
        return limiter.statistics().limit

    limiter.note_rejected(4, None)
    await asyncio.sleep(500)
    limiter.note_rejected(None, None)

    assert 4.0 == await limit_after(500)

    await asyncio.sleep(100)
    limiter.note_rejected(None, None)

    assert 10.0 == await limit_after(0)


@virtual
async def test_accepted_calls_raise_the_limit() -> None:
    """Each accepted call raises the limit by its weight over the limit; only whole slots count."""
    calls = Calls(limiter := ImageLimiter(10))
    await calls.ask("a", 4)
    await calls.ask("b")
    await calls.reject("b")
    await asyncio.sleep(60)
    await calls.accept("a", weight=4)

    assert 5.0 == limiter.statistics().limit

    await calls.ask("c", 2)
    await calls.accept("c", weight=2)

    assert 5.4 == limiter.statistics().limit

    await calls.ask("d", 5)
    await calls.ask("e", 1)

    assert (5.4, 5, 1, 1) == numbers(limiter)


@virtual
async def test_more_than_the_present_limit_is_sent_alone() -> None:
    """A call above a learned limit waits until nothing is in flight, and delays the others."""
    calls = Calls(limiter := ImageLimiter(10))
    limiter.note_rejected(4, None)
    limiter.note_accepted(1)
    await asyncio.sleep(60)
    for name, weight in {"small": 2, "large": 8}.items():
        await calls.ask(name, weight)

    assert ["small"] == calls.started

    await calls.end("small")
    await calls.ask("late", 1)

    assert ["small", "large"] == calls.started

    await calls.end("large")

    assert ["small", "large", "late"] == calls.started


@virtual
async def test_free_calls_do_not_change_the_limit() -> None:
    """The 429 of a call without images is counted and changes nothing, and so does its success."""
    calls = Calls(limiter := ImageLimiter(10))
    await calls.ask("reading", 0)
    await calls.reject("reading", limit=2, after=60.0)
    await calls.ask("image")

    assert ["reading", "image"] == calls.started
    assert (10.0, 1, 0, 1) == numbers(limiter)

    await calls.reject("image")
    limiter.note_accepted(0)

    assert (1.0, 0, 0, 2) == numbers(limiter)


@virtual
async def test_nested_leases() -> None:
    """After an inner lease, responses belong to the outer one again."""
    limiter = ImageLimiter(10)
    async with limiter.acquire(3), limiter.acquire(2):
        async with limiter.acquire(4):
            pass
        limiter.note_rejected(None, None)

        assert (3.0, 5, 0, 1) == numbers(limiter)


@virtual
async def test_lease_of_another_limiter() -> None:
    """A 429 inside another limiter's lease begins an epoch here, and no slots are subtracted."""
    limiter = ImageLimiter(10)
    calls = Calls(limiter)
    await calls.ask("image", 6)
    async with ImageLimiter(10).acquire(4):
        limiter.note_rejected(None, None)
        limiter.note_accepted(0)

    assert (6.0, 6, 0, 1) == numbers(limiter)


# ---- 429: the gate


@virtual
async def test_gate_admits_one_probe() -> None:
    """One call is sent when the gate opens, and the others follow in order when it is accepted."""
    draws = FixedRandom(1.5)
    calls = Calls(ImageLimiter(10, rng=draws))
    await calls.ask("holds", 5)
    await calls.ask("refused")
    await calls.reject("refused")
    await calls.end("holds")
    for name in "abc":
        await calls.ask(name)
    await asyncio.sleep(1.49)

    assert ["holds", "refused"] == calls.started
    assert {(1.0, 3.0)} == draws.bounds

    await asyncio.sleep(2)

    assert ["a"] == calls.started[2:]
    assert 1.5 == calls.started_at["a"]

    await calls.accept("a")

    assert ["a", "b", "c"] == calls.started[2:]


@virtual
async def test_probe_waits_for_slots() -> None:
    """A probe waits for its slots like every call."""
    calls = Calls(ImageLimiter(10, rng=FixedRandom()))
    for name in "abcd":
        await calls.ask(name, 3 if name < "d" else 1)
    await calls.reject("d")
    await calls.ask("probe")
    await asyncio.sleep(60)

    assert "probe" not in calls.started

    await calls.end("b")

    assert "probe" == calls.started[-1]


@pytest.mark.parametrize("fate", ["cancelled", "failed"])
def test_probe_without_a_response_is_replaced(fate: str) -> None:
    """A probe that is cancelled or fails proves nothing: the next queued call is the probe."""

    async def scene() -> None:
        calls = Calls(limiter := ImageLimiter(10, rng=FixedRandom()))
        await calls.ask("holds", 5)
        limiter.note_rejected(None, None)
        await calls.end("holds")
        for name in "abc":
            await calls.ask(name)
        await asyncio.sleep(2)
        if fate == "cancelled":
            calls.cancel("a")
        else:
            await calls.end("a")
        await settle()

        assert ["a", "b"] == calls.started[1:]

        await calls.accept("b")

        assert ["a", "b", "c"] == calls.started[1:]

    run(scene())


@virtual
async def test_gates_grow_until_a_probe_is_accepted() -> None:
    """Each gate is twice as long as the one before, at most 30 s, and short again after a success."""
    calls = Calls(limiter := ImageLimiter(10, rng=FixedRandom(2.0)))
    limiter.note_rejected(None, None)
    waits: list[float] = []
    for n in range(7):
        closed_at = asyncio.get_running_loop().time()
        await calls.ask(f"{n}")
        await asyncio.sleep(100)
        waits.append(calls.started_at[f"{n}"] - closed_at)
        await calls.reject(f"{n}")

    assert [2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0] == waits

    await calls.ask("accepted")
    await asyncio.sleep(100)
    await calls.accept("accepted")
    closed_at = asyncio.get_running_loop().time()
    limiter.note_rejected(None, None)
    await calls.ask("next")
    await asyncio.sleep(100)

    assert 2.0 == calls.started_at["next"] - closed_at


@pytest.mark.parametrize(("retry_after", "expected"), [(0.5, 2.0), (7.0, 7.0), (9999.0, 300.0)])
def test_retry_after_is_a_floor(retry_after: float, expected: float) -> None:
    """No call is sent before Retry-After has passed, at most 300 s; a short one does not shorten the gate."""

    async def scene() -> None:
        calls = Calls(limiter := ImageLimiter(10, rng=FixedRandom(2.0)))
        limiter.note_rejected(None, retry_after)
        await calls.ask("next")
        await asyncio.sleep(1000)

        assert expected == calls.started_at["next"]

    run(scene())


@virtual
async def test_late_429_lengthens_the_gate() -> None:
    """A 429 of the same epoch closes no further gate, but its Retry-After counts."""
    calls = Calls(ImageLimiter(10, rng=FixedRandom(2.0)))
    for name in "abc":
        await calls.ask(name)
    await calls.reject("a")
    await calls.ask("next")
    await asyncio.sleep(1)
    await calls.reject("b")
    await calls.reject("c", after=10.0)
    await asyncio.sleep(60)

    assert 11.0 == calls.started_at["next"]


@virtual
async def test_late_429_after_success() -> None:
    """A 429 of an older epoch after a success changes nothing; with Retry-After it closes the gate."""
    calls = Calls(limiter := ImageLimiter(10, rng=FixedRandom(2.0)))
    for name in "abcd":
        await calls.ask(name)
    await calls.reject("a")
    await calls.ask("probe")
    await calls.end("d")
    await asyncio.sleep(2)
    await calls.accept("probe")
    limit = limiter.statistics().limit
    await calls.reject("b")
    await calls.ask("at once")

    assert 2.0 == calls.started_at["at once"]
    assert limit == limiter.statistics().limit

    await calls.reject("c", after=5.0)
    await calls.ask("later")
    await asyncio.sleep(60)

    assert 7.0 == calls.started_at["later"]
    assert limit == limiter.statistics().limit


@virtual
async def test_refused_probe_begins_another_epoch() -> None:
    """The 429 of a probe cuts the limit again, while older calls continue."""
    calls = Calls(limiter := ImageLimiter(10, rng=FixedRandom()))
    for name in "abcd":
        await calls.ask(name, 2)
    await calls.reject("d")
    await calls.end("a")
    await calls.ask("probe")
    await asyncio.sleep(2)

    assert (6.0, 5, 0, 1) == numbers(limiter)

    await calls.reject("probe")

    assert (4.0, 4, 0, 2) == numbers(limiter)


@virtual
async def test_older_success_does_not_open_the_gate() -> None:
    """A success of a call from before the cut does not end the probing."""
    calls = Calls(ImageLimiter(10, rng=FixedRandom()))
    for name in "abc":
        await calls.ask(name)
    await calls.reject("a")
    for name in ("probe", "rest"):
        await calls.ask(name)
    await calls.accept("b")
    await asyncio.sleep(3)
    await calls.accept("c")

    assert ["a", "b", "c", "probe"] == calls.started


@virtual
async def test_queued_excludes_the_gate() -> None:
    """`queued` is the time in the queue, without the time behind the closed gate."""
    calls = Calls(limiter := ImageLimiter(10, rng=FixedRandom(2.0)))
    await calls.ask("first", 10)
    await calls.ask("second", 10)
    await asyncio.sleep(3)
    limiter.note_rejected(None, None)
    await asyncio.sleep(1)
    limiter.note_rejected(None, 5.0)
    await asyncio.sleep(10)
    limiter.note_rejected(None, None)
    await calls.ask("third", 1)
    await asyncio.sleep(10)
    await calls.end("first")

    assert {"first": 0.0, "second": 24.0 - 1 - 5 - 8} == calls.queued

    await asyncio.sleep(4)
    await calls.accept("second", weight=10)

    assert 10.0 + 4 - 8 == calls.queued["third"]


@virtual
async def test_probe_that_is_not_refused_counts_as_accepted() -> None:
    """After two seconds without a refusal the probe is in progress, and the others follow."""
    calls = Calls(limiter := ImageLimiter(10, rng=FixedRandom(2.0)))
    await calls.ask("holds", 5)
    limiter.note_rejected(None, None)
    await calls.end("holds")
    for name in "abc":
        await calls.ask(name)
    await asyncio.sleep(60)

    assert {"a": 2.0, "b": 4.0, "c": 4.0} == {name: calls.started_at[name] for name in "abc"}


@virtual
async def test_probe_counts_once() -> None:
    """A probe that counts as accepted does not affect the next gate, though it may still be running."""
    calls = Calls(limiter := ImageLimiter(10, rng=FixedRandom(2.0)))
    await calls.ask("holds", 5)
    await calls.ask("late")
    limiter.note_rejected(None, None)
    await calls.end("holds")
    await calls.ask("probe")
    await asyncio.sleep(10)
    await calls.ask("proof")
    await calls.reject("late", after=10.0)
    for name in "ab":
        await calls.ask(name)
    await asyncio.sleep(60)

    assert {"probe": 2.0, "proof": 10.0, "a": 20.0, "b": 22.0} == {
        name: calls.started_at[name] for name in ("probe", "proof", "a", "b")
    }


@virtual
async def test_probe_of_an_older_epoch_is_ignored() -> None:
    """After another cut the running probe no longer counts: the next gate has a new one."""
    calls = Calls(limiter := ImageLimiter(10, rng=FixedRandom(2.0)))
    await calls.ask("long", 3)
    await calls.ask("short", 2)
    limiter.note_rejected(None, None)
    await calls.end("short")
    await calls.ask("old probe")
    await asyncio.sleep(2.5)
    limiter.note_rejected(None, None)
    await calls.end("long")
    for name in ("new probe", "rest"):
        await calls.ask(name)
    await asyncio.sleep(5)

    assert ["old probe", "new probe"] == calls.started[2:]
    assert 6.5 == calls.started_at["new probe"]


def test_account_shared_with_another_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to a client that it cannot see, the limiter uses most of the free slots with few 429s."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    tenant = importlib.import_module("tenant")
    service = run(tenant.share(ImageLimiter(rng=random.Random(3)), seed=3))

    assert 0.93 <= service.throughput <= 1.0
    assert service.refused_percent <= 9.0


def test_sync() -> None:
    """A limit that was learned elsewhere is applied, and grows no further than its ceiling."""
    congestion = Congestion(10, FixedRandom())
    congestion.sync(limit=3.0, ceiling=4, epoch=7)

    assert (3.0, 7) == (congestion.limit, congestion.epoch)

    for _ in range(9):
        congestion.accept(0.0, epoch=7, weight=1)

    assert 4.0 == congestion.limit
