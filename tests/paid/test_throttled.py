"""429: it costs nothing and uses no attempt, and calls wait at one back-off gate."""

from __future__ import annotations

import asyncio

import pytest
from support.callers import FixedRandom
from support.clients import Events, connected, fast_limiter
from support.fakes import AMBIGUOUS, NOT_SENT, FakeSend, call, reply
from support.rawserver import OK, RawServer, refused, stall, status, whole
from support.virtual import virtual

from ideogram_async import Billed, NotSentError, RateLimitError, Retry
from ideogram_async._limiter.limiter import ImageLimiter
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.limit import limited
from ideogram_async._transport.retry import retrying
from ideogram_async._transport.tasks import Tasks
from ideogram_async._wire.call import Send
from ideogram_async.events import Answered, Retrying, Sending, Throttled

INFLIGHT = status(429, b'{"error": "inflight_limit", "max_inflight_requests": 4}')


def layered(send: Send, policy: Retry, limiter: ImageLimiter, events: Events | None = None) -> Send:
    """Stack the layers above HTTP."""
    emit = Emitter(events, Tasks)
    return retrying(limited(send, limiter, emit), policy, emit)


async def test_five_times() -> None:
    """After five refusals the call succeeds and is billed once, and no attempt was used."""
    async with RawServer(*[INFLIGHT] * 5, OK) as server:
        events = Events()
        async with connected(server.url, on_event=events, retry=Retry(base=0.0, attempts=1)) as client:
            answer = await client.generate("a fox")

        assert (6, 6) == (server.posts, answer.meta.attempts)
        assert [4] * 5 == [event.max_in_flight for event in events.of(Throttled)]
        assert [429] * 5 + [200] == [event.status for event in events.of(Answered)]
        assert [] == events.of(Retrying)
        assert not answer.meta.in_doubt


async def test_wait_is_over() -> None:
    """After `throttle_wait` the refusal is raised: nothing was billed, and a repeat may help."""
    async with RawServer(INFLIGHT) as server:
        async with connected(server.url, retry=Retry(base=0.0, throttle_wait=0.0)) as client:
            with pytest.raises(RateLimitError) as caught:
                await client.generate("a fox")

        error = caught.value
        assert (Billed.NO, True, 4) == (error.billed, error.retryable, error.max_in_flight)


@pytest.mark.parametrize("throttled_for", [0.0, -1e-12, 1e-12])
def test_no_wait(throttled_for: float) -> None:
    """With a `throttle_wait` of 0 no refusal is waited for, also if the clock is rounded."""
    policy = Retry(base=0.0, throttle_wait=0.0)

    assert None is policy.pause(call(), reply(429), attempt=0, throttled_for=throttled_for)


async def test_reported_limit_holds() -> None:
    """After the service has reported its limit, no more images are in progress."""
    async with RawServer(INFLIGHT, (whole, stall)) as server:
        limiter = fast_limiter()
        async with connected(server.url, limiter=limiter) as client:
            calls = [asyncio.create_task(client.generate("a fox"))]
            await server.wait_for_requests(2)
            calls += [asyncio.create_task(client.generate("a fox", num_images=2)) for _ in range(8)]
            await asyncio.sleep(0)
            limiter.note_accepted(1)
            statistics = limiter.statistics()
            for each in calls:
                each.cancel()

            await asyncio.wait(calls)

        assert 4 >= statistics.limit >= statistics.in_flight


@virtual
async def test_retry_after_delays_all_calls() -> None:
    """After `Retry-After: 7` no call is sent for 7 seconds, new calls included."""
    send = FakeSend(reply(429, headers=[("retry-after", "7")]), reply())
    together = layered(send, Retry(), ImageLimiter(10, rng=FixedRandom()))
    first = asyncio.create_task(together(call()))
    await asyncio.sleep(1)
    await asyncio.gather(first, *(together(call()) for _ in range(20)))

    assert [0.0] == [moment for moment in send.sent_at if moment < 7.0]
    assert 22 == len(send.calls)


@virtual
async def test_longest_retry_after() -> None:
    """A Retry-After above five minutes counts as five minutes."""
    send = FakeSend(reply(429, headers=[("retry-after", "86400")]), reply())
    await layered(send, Retry(), ImageLimiter(10, rng=FixedRandom()))(call())

    assert [0.0, 300.0] == send.sent_at


@pytest.mark.parametrize("value", ["soon", "-1", "nan", "inf", "1e999", "Mon, 99 Foo 2026", "\x00"])
def test_invalid_retry_after(value: str) -> None:
    """An invalid Retry-After is ignored."""
    outcome = reply(503, headers=[("retry-after", value)])
    pause = Retry(base=0.0).pause(call(charged=False), outcome, attempt=1, throttled_for=0.0)

    assert 0.0 == pause


@virtual
async def test_wait_is_bounded() -> None:
    """A call waits for `throttle_wait` after the first 429 in a row, and no longer."""
    send = FakeSend(reply(429))
    outcome = await layered(send, Retry(throttle_wait=60.0), ImageLimiter(10, rng=FixedRandom()))(call())

    assert 429 == outcome.status
    assert 30.0 <= asyncio.get_running_loop().time() <= 60.0


POLICIES = (Retry(deadline=20.0), Retry(throttle_wait=20.0))


@virtual
async def test_a_gate_beyond_the_deadline() -> None:
    """A call that was rejected, and waits behind the gate of another's Retry-After, ends as rejected in time."""
    limiters = [ImageLimiter(10, rng=FixedRandom()) for _ in POLICIES]
    stacks = zip(POLICIES, limiters, strict=True)
    tasks = [asyncio.create_task(layered(FakeSend(reply(429)), *stack)(call())) for stack in stacks]
    await asyncio.sleep(0.5)
    for limiter in limiters:
        limiter.note_rejected(None, 100.0)

    outcomes = await asyncio.gather(*tasks)

    assert [429, 429] == [outcome.status for outcome in outcomes]
    assert 20.0 == pytest.approx(asyncio.get_running_loop().time(), abs=0.1)
    assert [(0, 0)] * 2 == [(limiter.statistics().in_flight, limiter.statistics().waiting) for limiter in limiters]


@virtual
async def test_a_gate_before_the_first_attempt() -> None:
    """A call that was never sent ends at its deadline as well, and certainly was not sent."""
    limiter = ImageLimiter(10, rng=FixedRandom())
    limiter.note_rejected(None, 100.0)
    send = FakeSend(reply())
    with pytest.raises(NotSentError, match="no slots were free before the deadline"):
        await layered(send, Retry(deadline=20.0), limiter)(call())

    assert ([], 20.0) == (send.calls, asyncio.get_running_loop().time())


@virtual
async def test_a_rejected_call_in_the_queue() -> None:
    """The time in the client's own queue does not end a call that was rejected before."""
    for policy in POLICIES:
        limiter = ImageLimiter(1, rng=FixedRandom())
        send = FakeSend(reply(429), reply())
        task = asyncio.create_task(layered(send, policy, limiter)(call()))
        while not send.calls:
            await asyncio.sleep(0.01)

        async with limiter.acquire(1):
            await asyncio.sleep(100)

        outcome = await task

        assert (200, 2) == (outcome.status, len(send.calls))


async def test_deadline_of_a_throttled_call() -> None:
    """A 429 under a deadline is raised as `RateLimitError`, and within the deadline."""
    async with RawServer(refused(429)) as server:
        async with connected(server.url, limiter=ImageLimiter(10), retry=Retry(base=0.0, deadline=0.3)) as client:
            began = asyncio.get_running_loop().time()
            with pytest.raises(RateLimitError) as caught:
                await client.generate("a fox")

        assert Billed.NO == caught.value.billed
        assert 1 == server.posts
        # A gate is closed for at least a second.
        assert asyncio.get_running_loop().time() < began + 1.0


@virtual
async def test_wait_starts_again() -> None:
    """Another outcome in between restarts the wait, and only that outcome uses an attempt."""
    throttled = [reply(429)] * 3
    send = FakeSend(*throttled, NOT_SENT, *throttled, NOT_SENT, *throttled, reply())
    outcome = await layered(send, Retry(base=0.0, attempts=3), ImageLimiter(10, rng=FixedRandom()))(call())

    assert (200, 12) == (outcome.status, len(send.calls))


@virtual
async def test_pauses_of_a_free_call_grow() -> None:
    """A call without slots passes no gate, so its own pauses grow."""
    send = FakeSend(reply(429))
    free = call(charged=False, weight=0)
    await layered(send, Retry(base=0.0001, throttle_wait=1800.0), ImageLimiter(10))(free)

    assert len(send.calls) < 300
    assert asyncio.get_running_loop().time() <= 1800.0


@virtual
async def test_gate_counts_against_the_deadline() -> None:
    """Time at the gate counts against the deadline; time in the queue does not."""
    limiter = ImageLimiter(1, rng=FixedRandom())
    send = FakeSend(reply(429, headers=[("retry-after", "100")]), reply())
    outcome = await layered(send, Retry(deadline=50.0), limiter)(call())

    assert (429, 1, 0.0) == (outcome.status, len(send.calls), asyncio.get_running_loop().time())


@virtual
async def test_refusal_after_doubt() -> None:
    """A resend that is rejected with 429 did not run, so another resend is allowed; the doubt stays."""
    send = FakeSend(AMBIGUOUS, reply(429), reply(429), reply())
    order = call()
    await layered(send, Retry(base=0.0, ambiguous=True), ImageLimiter(10, rng=FixedRandom()))(order)

    assert (4, True) == (len(send.calls), order.state.in_doubt)


async def test_many_calls_through_one_policy() -> None:
    """Fifty calls share one policy, and none gets the attempts or errors of another."""
    scripts = [refused(400), OK]
    async with RawServer(*[script for _ in range(25) for script in scripts]) as server:
        events = Events()
        async with connected(server.url, on_event=events) as client:
            outcomes = await asyncio.gather(*(client.generate(f"fox {n}") for n in range(50)), return_exceptions=True)

        assert 25 == sum(isinstance(outcome, Exception) for outcome in outcomes)
        assert 50 == server.posts
        assert {1} == {event.attempt for event in events.of(Sending)}


@virtual
async def test_attempts_are_counted_call_by_call() -> None:
    """Each of fifty calls has its own five attempts."""
    policy, limiter = Retry(base=1.0, attempts=5), ImageLimiter(10)
    sends = [FakeSend(*[NOT_SENT] * (n % 5), reply(200 + n)) for n in range(50)]
    replies = await asyncio.gather(*(layered(send, policy, limiter)(call()) for send in sends))

    assert [200 + n for n in range(50)] == [each.status for each in replies]
    assert [n % 5 + 1 for n in range(50)] == [len(send.calls) for send in sends]


@virtual
async def test_queue_does_not_count_against_the_deadline() -> None:
    """A call that waited in the client's own queue has its whole deadline afterwards."""
    limiter = ImageLimiter(1)
    send = FakeSend(NOT_SENT, reply())
    async with limiter.acquire(1):
        task = asyncio.create_task(layered(send, Retry(base=0.0, deadline=50.0), limiter)(call()))
        await asyncio.sleep(100)

    outcome = await task

    assert (200, 2) == (outcome.status, len(send.calls))
