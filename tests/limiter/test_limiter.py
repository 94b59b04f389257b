"""Order of grants, cancellation, and several event loops."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from weakref import ref

import pytest
from support.callers import Calls, numbers, settle
from support.virtual import VirtualLoop, run, virtual

from ideogram_async._limiter import slots
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async._limiter.slots import Waiter, choose
from ideogram_async.errors import InvalidRequestError
from ideogram_async.models.base import LimiterStatistics

# ---- slots


@virtual
async def test_slots_are_counted_in_images() -> None:
    """A call needs as many slots as it has images, and waits until all of them are free."""
    calls = Calls(limiter := ImageLimiter(10))
    await calls.ask("six", 6)
    await calls.ask("five", 5)

    assert (10.0, 6, 1, 0) == numbers(limiter)
    assert "<ImageLimiter: 6 of 10 slots in use, 1 waiting>" == repr(limiter)

    await calls.end("six")

    assert ["six", "five"] == calls.started
    assert (10.0, 5, 0, 0) == numbers(limiter)


@virtual
async def test_weight_0_never_waits() -> None:
    """A call without images passes a full limit and a closed gate at once, and needs no slot."""
    calls = Calls(limiter := ImageLimiter(1))
    await calls.ask("image")
    limiter.note_rejected(None, 60.0)
    await calls.ask("reading", 0)

    assert ["image", "reading"] == calls.started
    assert (1.0, 1, 0, 1) == numbers(limiter)


@pytest.mark.parametrize("weight", [11, -1])
def test_impossible_weights_are_refused_at_once(weight: int) -> None:
    """More images than the configured limit is an invalid request, before anything waits."""
    with pytest.raises(InvalidRequestError) as caught:
        ImageLimiter(10).acquire(weight)

    rule = f"must be between 0 and max_in_flight, which is 10, not {weight}"

    assert (("num_images", rule),) == caught.value.problems


def test_limit_is_at_least_one() -> None:
    """A limit of no images is refused."""
    with pytest.raises(ValueError, match="max_in_flight must be at least 1, not 0"):
        ImageLimiter(0)


@virtual
async def test_slots_are_released_after_an_error() -> None:
    """An error inside the lease releases the slots."""
    limiter = ImageLimiter(10)
    with pytest.raises(KeyError):
        async with limiter.acquire(4):
            raise KeyError

    assert (10.0, 0, 0, 0) == numbers(limiter)


@virtual
async def test_slots_are_released_once() -> None:
    """Leaving a lease twice releases its slots once."""
    limiter = ImageLimiter(10)
    async with limiter.acquire(4), limiter.acquire(3) as lease:
        await lease.__aexit__(None, None, None)

    assert (10.0, 0, 0, 0) == numbers(limiter)


@virtual
async def test_unused_lease_holds_nothing() -> None:
    """Leaving a lease that was never entered changes nothing."""
    limiter = ImageLimiter(10)
    await limiter.acquire(4).__aexit__(None, None, None)

    assert (10.0, 0, 0, 0) == numbers(limiter)


@virtual
async def test_lease_is_used_once() -> None:
    """A lease cannot be entered twice."""
    limiter = ImageLimiter(10)
    async with limiter.acquire(1) as lease:
        with pytest.raises(RuntimeError, match="a lease can be used only once"):
            await lease.__aenter__()

    assert (10.0, 0, 0, 0) == numbers(limiter)


# ---- order


@pytest.mark.parametrize(
    ("weights", "room", "expected"),
    [
        ([], 10, None),
        ([5, 6], 4, None),
        ([1, 4, 3], 4, 1),
        ([1, 4, 3], 3, 2),
        ([2, 4, 4], 4, 1),
    ],
)
def test_largest_that_fits_goes_next(weights: list[int], room: int, expected: int | None) -> None:
    """The largest that fits goes next, the longest waiting among equals."""
    window = [Waiter(weight) for weight in weights]

    assert (None if expected is None else window[expected]) is choose(window, room)


def test_skips_are_bounded() -> None:
    """After 16 skips only the first queued call can go next."""
    window = [Waiter(8, skipped=16), Waiter(2)]

    assert choose(window, 4) is None
    assert window[0] is choose(window, 8)


@virtual
async def test_window() -> None:
    """The 17th queued call is not granted before the others, even if only it would fit."""
    calls = Calls(limiter := ImageLimiter(10))
    await calls.ask("nine", 9)
    for n in range(16):
        await calls.ask(f"two-{n}", 2)
    await calls.ask("one", 1)

    assert (10.0, 9, 17, 0) == numbers(limiter)

    calls.cancel("two-7")
    await settle()

    assert ["nine", "one"] == calls.started


@virtual
async def test_newcomer_waits() -> None:
    """A newcomer that fits waits behind a call that was skipped 16 times."""
    calls = Calls(limiter := ImageLimiter(10))
    await calls.ask("first", 5)
    await calls.ask("large", 8)
    for n in range(16):
        await calls.ask(f"later-{n}", 2)
        await calls.end(f"later-{n}")
    await calls.ask("newcomer", 2)

    assert (10.0, 5, 2, 0) == numbers(limiter)

    await calls.end("first")

    assert ["large", "newcomer"] == calls.started[-2:]


def test_ten_thousand_random_steps() -> None:
    """In any order of events the limit holds, no call is skipped more than 16 times, and no slot is lost."""
    run(_random_steps(random.Random(7), 10_000))


async def _random_steps(rng: random.Random, steps: int) -> None:
    calls = Calls(limiter := ImageLimiter(10))
    weights: dict[str, int] = {}
    gone: set[str] = set()
    for step in range(steps):
        alive = [name for name in weights if name not in gone]
        holding = [name for name in alive if name in calls.started_at]
        waiting = [name for name in alive if name not in calls.started_at]

        assert sum(weights[name] for name in holding) == limiter.statistics().in_flight <= 10
        assert len(waiting) == limiter.statistics().waiting

        if rng.random() < 0.1 and alive:
            calls.cancel(name := rng.choice(alive))
            gone.add(name)
        elif (rng.random() < 0.5 and len(waiting) < 40) or not holding:
            weights[name := str(step)] = rng.randint(1, 8)
            await calls.ask(name, weights[name])
        else:
            name = rng.choice(holding)
            ending = asyncio.create_task(calls.end(name))
            # A few iterations later the next call holds its slots, but may not have been woken yet.
            for _ in range(rng.randint(0, 4)):
                await asyncio.sleep(0)
            if waiting and rng.random() < 0.2:
                calls.cancel(waiting[0])
                gone.add(waiting[0])
            await ending
            gone.add(name)

        await settle()
        weights = {name: weight for name, weight in weights.items() if name not in gone}

    while holding := [name for name in weights if name in calls.started_at and name not in gone]:
        await calls.end(*holding)
        gone.update(holding)

    assert (10.0, 0, 0, 0) == numbers(limiter)
    assert weights.keys() <= gone
    assert 16 == max(_skips([int(name) for name in calls.started]))


def _skips(started: list[int]) -> Iterator[int]:
    """Yield for each call how many later ones were granted first."""
    for index, number in enumerate(started):
        yield sum(other > number for other in started[max(0, index - 200) : index])


@pytest.mark.parametrize(
    ("weights", "window", "expected"),
    [
        (range(1, 5), 16, 1.015),
        (range(1, 9), 16, 1.096),
        ([4], 16, 1.25),
        (range(1, 5), 1, 1.117),
        (range(1, 9), 1, 1.326),
    ],
)
def test_slots_are_filled(weights: list[int], window: int, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """2,000 calls of 50 to 150 ms take little longer than the lower bound; a window of 1 is first in, first out."""
    monkeypatch.setattr(slots, "WINDOW", window)

    assert expected == pytest.approx(run(_makespan(list(weights), random.Random(1))), rel=0.02)


async def _makespan(weights: list[int], rng: random.Random) -> float:
    limiter = ImageLimiter(10)
    work = [(rng.choice(weights), rng.uniform(0.05, 0.15)) for _ in range(2000)]

    async def call(weight: int, seconds: float) -> None:
        async with limiter.acquire(weight):
            await asyncio.sleep(seconds)

    async with asyncio.TaskGroup() as group:
        for weight, seconds in work:
            group.create_task(call(weight, seconds))

    lower_bound = sum(weight * seconds for weight, seconds in work) / 10
    return asyncio.get_running_loop().time() / lower_bound


# ---- cancellation


@virtual
async def test_cancelled_wait_unblocks_the_queue() -> None:
    """If the first queued call is cancelled, those behind it are granted their slots."""
    calls = Calls(limiter := ImageLimiter(10))
    await calls.ask("first", 5)
    await calls.ask("large", 8)
    for n in range(16):
        await calls.ask(f"later-{n}", 2)
        await calls.end(f"later-{n}")
    await calls.ask("small", 2)
    calls.cancel("large")
    await settle()

    assert "small" == calls.started[-1]
    assert (10.0, 7, 0, 0) == numbers(limiter)


@virtual
async def test_cancel_between_grant_and_wake_up() -> None:
    """Slots granted to a call that is cancelled before it wakes up go to the next in the queue."""
    limiter = ImageLimiter(10)
    calls = Calls(limiter)
    lease = limiter.acquire(10)
    await lease.__aenter__()
    await calls.ask("unlucky", 10)
    await calls.ask("next", 10)
    await lease.__aexit__(None, None, None)

    assert (10.0, 10, 1, 0) == numbers(limiter)

    calls.cancel("unlucky")
    await settle()

    assert ["next"] == calls.started
    assert (10.0, 10, 0, 0) == numbers(limiter)


@virtual
async def test_grant_after_cancel() -> None:
    """Slots that are released just after a wait was cancelled are not lost."""
    limiter = ImageLimiter(10)
    calls = Calls(limiter)
    lease = limiter.acquire(10)
    await lease.__aenter__()
    await calls.ask("unlucky", 10)
    await calls.ask("next", 10)
    calls.cancel("unlucky")
    await lease.__aexit__(None, None, None)
    await settle()

    assert ["next"] == calls.started
    assert (10.0, 10, 0, 0) == numbers(limiter)


@virtual
async def test_timeout_of_a_wait() -> None:
    """A wait that times out leaves the queue, and a call in progress releases its slots."""
    limiter = ImageLimiter(10)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(5), limiter.acquire(6), limiter.acquire(6):
            ...

    assert (10.0, 0, 0, 0) == numbers(limiter)


# ---- event loops


@contextmanager
def freed_loops() -> Iterator[Callable[[asyncio.AbstractEventLoop], None]]:
    """Check that the registered loops are freed at the end."""
    loops: list[ref[asyncio.AbstractEventLoop]] = []
    yield lambda loop: loops.append(ref(loop))
    gc.collect()

    assert loops
    assert [None] * len(loops) == [loop() for loop in loops]


def test_one_loop_after_another() -> None:
    """Each event loop begins with a free limit, and leaves no slots, gate, timer or loop behind."""
    limiter = ImageLimiter(10)

    async def crowd(watch: Callable[[asyncio.AbstractEventLoop], None]) -> LimiterStatistics:
        watch(asyncio.get_running_loop())
        before = limiter.statistics()
        calls = Calls(limiter)
        await calls.ask("holds", 7)
        await calls.ask("waits", 7)
        await calls.ask("refused", 1)
        await calls.reject("refused", after=60.0)
        assert (7.0, 7, 1, 1) == numbers(limiter)
        return before

    with freed_loops() as watch:
        for _ in range(3):
            expected = LimiterStatistics(limit=10.0, in_flight=0, waiting=0, rejected=0)

            assert expected == run(crowd(watch))
            assert expected == limiter.statistics()


def test_loop_closed_over_waiting_calls_is_freed() -> None:
    """A loop that was closed while calls waited is freed when the limiter is used in another loop."""
    limiter = ImageLimiter(10)

    async def look() -> tuple[float, int, int, int]:
        return numbers(limiter)

    with freed_loops() as watch:
        loop = VirtualLoop()
        loop.set_exception_handler(lambda *_: None)
        calls = Calls(limiter)
        for name in "abc":
            loop.run_until_complete(calls.ask(name, 6))
        loop.close()
        watch(loop)
        del loop, calls

        assert (10.0, 0, 0, 0) == run(look())


def test_lease_that_outlives_its_loop() -> None:
    """A lease that ends after its loop was closed wakes no call and logs nothing."""
    loop = VirtualLoop()
    loop.set_exception_handler(lambda *_: None)
    calls = Calls(limiter := ImageLimiter(10))
    lease = limiter.acquire(6)
    loop.run_until_complete(lease.__aenter__())
    loop.run_until_complete(calls.ask("waits", 6))
    loop.close()
    with pytest.raises(StopIteration):
        lease.__aexit__(None, None, None).send(None)

    assert [] == calls.started


def test_concurrent_loops_count_separately() -> None:
    """Two loops in two threads have ten slots each."""
    limiter = ImageLimiter(10)
    meeting = threading.Barrier(2, timeout=10)
    seen: list[tuple[float, int, int, int]] = []

    async def fill() -> None:
        async with limiter.acquire(10):
            meeting.wait()
            seen.append(numbers(limiter))
            meeting.wait()

    threads = [threading.Thread(target=lambda: asyncio.run(fill())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [(10.0, 10, 0, 0)] * 2 == seen


def test_statistics_without_a_loop() -> None:
    """Without a running event loop, nothing is in progress."""
    assert "<ImageLimiter: 0 of 3 slots in use, 0 waiting>" == repr(ImageLimiter(3))


def test_no_timer_without_waiting_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """The gate needs a timer only while a call waits behind it."""

    async def wait_for_nothing() -> None:
        calls = Calls(limiter := ImageLimiter(10))
        limiter.note_rejected(None, 60.0)
        await calls.ask("waits")
        calls.cancel("waits")
        await settle()
        await asyncio.Event().wait()

    monkeypatch.setattr("support.virtual.TIMEOUT", 0.1)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        with pytest.raises(RuntimeError, match="every task waits, and no timer is set"):
            runner.run(wait_for_nothing())

        assert 0.0 == runner.get_loop().time()
