"""Pipeline of a call: validation, copies of one-shot files, encoding, sending, decoding."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import TypeVar

import aiohttp
import attrs

from ideogram_async._accepted import Accepted
from ideogram_async._download.downloader import Downloads
from ideogram_async._download.stream import ImageStream, StreamContext
from ideogram_async._ledger.claims import make_claim, quoted_usd
from ideogram_async._ledger.entries import Ledger
from ideogram_async._ledger.once import KeyedCalls, Steps, replayed
from ideogram_async._ledger.record import CallRecord
from ideogram_async._ledger.write_ahead import collected, recorded
from ideogram_async._limiter.limiter import Limiter
from ideogram_async._operations import Accept, Request
from ideogram_async._pipeline.quotes import check_quotable, quote_call, quoting
from ideogram_async._pipeline.running_call import OnDone, RunningCall
from ideogram_async._pipeline.sessions import LoopState
from ideogram_async._pipeline.settings import ClientConfig, RequestOptions
from ideogram_async._pipeline.submissions import (
    SubmittedCall,
    check_timeout,
    finished,
    waiting_call,
    webhook_problems,
)
from ideogram_async._pipeline.uploads import has_files, spool_uploads
from ideogram_async._prices import PriceTable
from ideogram_async._transport.emitter import (
    Emitter,
    answering,
    emit_failure,
    warn_if_empty,
    warn_if_may_be_billed,
)
from ideogram_async._transport.http import Http
from ideogram_async._transport.limit import limited
from ideogram_async._transport.policy import Retry
from ideogram_async._transport.polling import Poll, Poller, polling
from ideogram_async._transport.retry import retrying
from ideogram_async._transport.tasks import in_thread, unlisted_context
from ideogram_async._wire.acceptance import json_object
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.decode import check, decode
from ideogram_async._wire.encode import encode
from ideogram_async._wire.submission import Submission
from ideogram_async.errors import (
    AmbiguousError,
    DownloadError,
    IdeogramError,
    InvalidRequestError,
    NotSentError,
    Phase,
    TransportError,
    WaitTimeout,
)
from ideogram_async.files import HasUrl
from ideogram_async.models.base import Reply
from ideogram_async.v2.account import GetGeneration
from ideogram_async.v2.answers import Generation, Quote

T = TypeVar("T")
MAX_CALLS_PER_SLOT = 10
"""Started calls for each slot of the limiter: more would wait for minutes."""


class Pipeline:
    """The path from a request to its answer, for one view of a client."""

    def __init__(self, config: ClientConfig, options: RequestOptions) -> None:
        self.config = config
        self.options = options
        self.transport = Transport(config, options)

    async def send(self, request: Request[T]) -> T:
        async with self._encoded(request) as (_, call):
            return await self._run(call, _decoder(call, request))

    async def start(self, request: Request[T], on_done: OnDone[T] | None) -> RunningCall[T]:
        """Send a request in a task of the running loop, once it is checked and its files are copied."""
        if on_done is not None and not callable(on_done):
            raise TypeError(f"on_done must be a function, not {type(on_done).__name__}")

        async with AsyncExitStack() as files:
            _, call = await files.enter_async_context(self._encoded(request))
            state = await self.config.sessions.ensure_open()
            self._check_capacity(call, len(state.started_calls))
            running = RunningCall(request)
            work = partial(self._finish, call, _decoder(call, request), state, files)
            task = state.started_calls.start(running.run(work, partial(_closed_error, call), on_done))
            try:
                # One of two yields; `_finish` has the other. In the task's first step it takes over the files, which
                # leaving this block would delete. In its second it may send, and by then this call has returned or
                # has been cancelled: a cancellation here never leaves a sent call without an owner.
                await asyncio.sleep(0)
            except asyncio.CancelledError:
                task.cancel()
                raise

        return running

    async def once(
        self, key: str, request: Request[T], *, prices: PriceTable, ledger: Ledger | None, wait: float | None
    ) -> T:
        """Send the call of a key unless it was sent before, and return its answer."""
        if (ledger := ledger or self.config.ledger) is None:
            raise TypeError("once needs a ledger: pass ledger= to it, or to Ideogram")

        async with AsyncExitStack() as files:
            ready, call = await files.enter_async_context(self._encoded(request, prefers_acceptance=True))
            claim = await make_claim(key, ready, call, prices, ledger)
            state = await self.config.sessions.ensure_open()
            calls = state.keyed_calls = state.keyed_calls or KeyedCalls(self.config.origin)
            claim = await calls.priced(ledger, claim, partial(quoted_usd, ready, partial(self._ask, call), "call"))
            keyed = await calls.find(ledger, claim)
            is_first = keyed is None
            if keyed is None:
                steps = Steps(
                    send=partial(self._send_recorded, call),
                    collect=partial(self._collect, call),
                    read=_decoder(call, request),
                    guard=partial(self._guard, call, state, files.pop_all()),
                )
                keyed = calls.start(ledger, claim, steps)

            answer: T = await keyed.wait(wait, is_first=is_first)
            return answer if is_first else replayed(answer)

    async def submit(self, request: Request[object], webhook_url: str | None) -> Accepted:
        """Send a request that the service accepts first, and return its ticket."""
        async with self._encoded(request, Submission(webhook_url)) as (_, call):
            state = await self.config.sessions.ensure_open()
            submitted = SubmittedCall(call, state.held_slots, self.options.timeout.total, self.transport.emit)
            send = self.transport.build_stack(self.options.retry, wrap=submitted.wrap)
            return await self._reported(call, partial(submitted.run, send, state.tasks), state)

    async def wait(self, ticket: str | Accepted, timeout: float | None) -> Generation:
        """Wait for an accepted generation, with the slots of its submission or with slots of its own."""
        accepted = ticket if isinstance(ticket, Accepted) else Accepted(ticket)
        check_timeout(timeout)
        call, poller = waiting_call(accepted, self.config.limiter), attrs.evolve(self.transport.poll, timeout=timeout)
        if json_object(accepted.raw).get("data") is not None:
            return finished(call, Reply(status=200, raw=accepted.raw))

        await check_ticket(accepted, self.config)

        async def poll(_: Call) -> Reply:
            return await poller(accepted, 0)

        emit = self.transport.emit

        async def work() -> Generation:
            async with state.held_slots.taken(accepted.generation_id) as is_taken:
                send = answering(poll, emit)
                send = send if is_taken else limited(send, self.config.limiter, emit)
                reply = await send(call)

            return finished(call, reply)

        state = await self.config.sessions.ensure_open()
        return await self._reported(call, work, state)

    async def quote(self, request: Request[object]) -> Quote:
        """Ask the service for the price of a request."""
        check_type(request)
        check_quotable(request)
        async with self._encoded(request) as (_, call):
            return await self._ask(call)

    async def raw(self, call: Call) -> Reply:
        """Send a call that has no request class, and return its reply."""

        def read(reply: Reply) -> Reply:
            check(call, reply)
            return reply

        return await self._run(call, read)

    async def download(self, work: Callable[[Downloads], Awaitable[T]]) -> T:
        """Run a download until it ends or the client is closed."""
        downloads = self.transport.downloads
        return await self._unless_closed(
            lambda: work(downloads), lambda: DownloadError("the client was closed during a download")
        )

    def stream(self, image_or_url: str | HasUrl) -> StreamContext:
        """Open an image for a block. Closing the client closes it."""

        async def opening() -> ImageStream:
            stream = await self.download(lambda downloads: downloads.open(image_or_url))
            self.config.sessions.current().streams.add(stream)
            return stream

        return StreamContext(opening)

    @unlisted_context
    async def _encoded(
        self, request: Request[T], submission: Submission | None = None, *, prefers_acceptance: bool = False
    ) -> AsyncGenerator[tuple[Request[T], Call]]:
        """Check a request, copy its one-shot files for the block, and encode it.

        Args:
            request: The request.
            submission: How the service is asked to accept it first.
            prefers_acceptance: Whether it is asked to wherever it can.

        Yields:
            The request with its copies, and the call.
        """
        check_type(request)
        if prefers_acceptance and request.endpoint.accept is not Accept.NEVER:
            submission = Submission()

        if submission is not None:
            check_submission(request, submission, self.config)

        await check_request(request, self.config, validate=self.options.validate)
        async with spool_uploads(request, self.stream, max_bytes=self.config.max_upload_bytes) as ready:
            if ready is not request:
                await check_request(ready, self.config, validate=self.options.validate)

            yield ready, encode(ready, private=self.config.private, submission=submission)

    async def _ask(self, call: Call) -> Quote:
        quoted = quote_call(call)
        return await self._reported(quoted, partial(self.transport.ask, quoted), None)

    def _check_capacity(self, call: Call, started: int) -> None:
        maximum = MAX_CALLS_PER_SLOT * int(self.config.limiter.statistics().limit)
        if started >= maximum:
            message = f"{call.operation}: {started} started calls are in flight or queued; nothing was sent"
            raise NotSentError(message, phase=Phase.QUEUED)

    async def _finish(self, call: Call, read: Callable[[Reply], T], state: LoopState, files: AsyncExitStack) -> T:
        """Take over the files of a started call, then run it."""
        async with files.pop_all():
            # Nothing is sent before `start` has returned; see there.
            await asyncio.sleep(0)
            return await self._run(call, read, state)

    async def _send_recorded(self, call: Call, record: CallRecord) -> Reply:
        """Send a keyed call with its attempts on record."""
        # An attempt in doubt is never sent again without a decision of the user.
        retry = attrs.evolve(self.options.retry, ambiguous=False)

        def wrap(send: Send, poll: Poll) -> Send:
            return recorded(send, record, poll)

        return await self.transport.build_stack(retry, wrap=wrap)(call)

    async def _collect(self, call: Call, record: CallRecord, accepted: Accepted) -> Reply:
        """Wait for the generation of an accepted call, with slots of its own, and record its answer."""
        limiter, emit = self.config.limiter, self.transport.emit
        accepted = call.state.accepted = attrs.evolve(accepted, poll=call.poll or "")
        # A client with more slots may have sent it.
        waiting = attrs.evolve(call, weight=waiting_call(accepted, limiter).weight)
        collect = answering(collected(accepted, record, self.transport.poll), emit)
        return await limited(collect, limiter, emit)(waiting)

    async def _guard(self, call: Call, state: LoopState, files: AsyncExitStack, work: Callable[[], Awaitable[T]]) -> T:
        """Run the work of a keyed call, which takes over its files."""
        async with files:
            return await self._reported(call, work, state)

    async def _run(self, call: Call, read: Callable[[Reply], T], state: LoopState | None = None) -> T:
        async def work() -> T:
            return read(await self.transport.send(call))

        return await self._reported(call, work, state)

    async def _reported(self, call: Call, work: Callable[[], Awaitable[T]], state: LoopState | None) -> T:
        """Run the work of a call until it ends or the client is closed, and report its failure."""
        try:
            return await self._unless_closed(work, partial(_closed_error, call), state)
        except BaseException as error:
            is_given_up = state is not None and state.is_closing and isinstance(error, AmbiguousError | WaitTimeout)
            if is_given_up or isinstance(error, asyncio.CancelledError):
                warn_if_may_be_billed(call, error)

            emit_failure(self.transport.emit, call, error)
            raise

    async def _unless_closed(
        self, work: Callable[[], Awaitable[T]], closed: Callable[[], IdeogramError], state: LoopState | None = None
    ) -> T:
        """Run `work` in the caller's task; `Sessions.close` can end it."""
        state = state or await self.config.sessions.ensure_open()
        if state.is_closing:
            raise closed()

        scope = asyncio.timeout(None)
        try:
            async with state.ended_by_close(scope):
                return await work()
        except TimeoutError:
            if not scope.expired():
                raise

        raise closed()


class Transport:
    """The layers of one view of a client, without checks, encoding and decoding."""

    def __init__(self, config: ClientConfig, options: RequestOptions) -> None:
        sessions = config.sessions
        self.config = config
        self.options = options
        self.emit: Emitter = Emitter(options.on_event, sessions.listeners)
        self._http = Http(
            session=lambda: sessions.current().api,
            base_url=config.base_url,
            key=config.resolve_key,
            timeout=options.timeout,
            extra_headers=options.extra_headers,
            emit=self.emit,
        )
        # Its polls have no events: a wait may need hundreds.
        quiet = attrs.evolve(self._http, emit=Emitter(None, sessions.listeners))
        self.poll: Poller = Poller(quiet, options.timeout.total)
        self.send: Send = self.build_stack(options.retry)
        self.downloads: Downloads = self.new_downloads(
            lambda: sessions.current().images, lambda: sessions.current().download_slots
        )

    async def ask(self, call: Call) -> Quote:
        """Send a call that asks for a quote, and return the quote."""
        reply = await self.build_stack(self.options.retry, wrap=quoting)(call)
        return decode(call, reply, Quote)

    def build_stack(
        self, retry: Retry, *, wrap: Callable[[Send, Poll], Send] = polling, limiter: Limiter | None = None
    ) -> Send:
        """Build the stack of layers.

        Args:
            retry: The retry policy.
            wrap: Adds a layer inside the limiter, which waits for accepted generations, and may record attempts.
            limiter: The limiter, if it is not the client's.
        """
        send = answering(wrap(self._http, self.poll), self.emit)
        return retrying(limited(send, limiter or self.config.limiter, self.emit), retry, self.emit)

    def new_downloads(
        self, session: Callable[[], aiohttp.ClientSession], slots: Callable[[], asyncio.Semaphore]
    ) -> Downloads:
        """Return downloads over a session; `slots` bounds how many run at once."""
        # Not the transport itself: a reference back to it would be a cycle.
        sessions = self.config.sessions
        return Downloads(
            session,
            hosts=self.config.hosts,
            max_image_bytes=self.config.max_image_bytes,
            retry=self.options.retry,
            emit=self.emit,
            tasks=lambda: sessions.current().tasks,
            slots=slots,
        )


def check_type(request: object) -> None:
    """Check that a value is a request.

    Raises:
        TypeError: If it is anything else.
    """
    if isinstance(request, type) or not hasattr(request, "endpoint"):
        raise TypeError(f"send takes a request such as Generate(...), not {type(request).__name__}")


async def check_request(request: Request[object], config: ClientConfig, *, validate: bool = True) -> None:
    """Check a request against its rules, in a thread if it sends files.

    Args:
        request: The request.
        config: The limits and hosts that apply.
        validate: Whether to check the service's rules as well as the types.

    Raises:
        InvalidRequestError: If it breaks rules; the error lists all of them.
    """

    def list_problems() -> list[tuple[str, str]]:
        return request.problems(
            max_upload_bytes=config.max_upload_bytes, loopback=config.hosts.loopback, validate=validate
        )

    problems = await in_thread(list_problems) if has_files(request) else list_problems()
    if problems:
        raise InvalidRequestError(problems, subject=type(request).__name__)


async def check_ticket(accepted: Accepted, config: ClientConfig) -> None:
    """Check the ticket of a wait: it may have been stored, and changed, anywhere.

    Raises:
        InvalidRequestError: If it has no id, or its path would lead the key to another host.
    """
    await check_request(GetGeneration(accepted.generation_id), config)
    if not isinstance(accepted.poll, str) or not accepted.poll.startswith("/"):
        raise InvalidRequestError([("poll", "must be a path that begins with /")], subject="Accepted")


def check_submission(request: Request[object], submission: Submission, config: ClientConfig) -> None:
    """Check whether a request can be submitted.

    Raises:
        InvalidRequestError: If it cannot.
    """
    problems = [*submission.problems(request.endpoint)]
    if not problems and submission.webhook_url is not None:
        problems = [("webhook_url", text) for text in webhook_problems(submission.webhook_url, config.hosts)]

    if problems:
        raise InvalidRequestError(problems, subject=type(request).__name__)


def _decoder(call: Call, request: Request[T]) -> Callable[[Reply], T]:
    def read(reply: Reply) -> T:
        answer: T = decode(call, reply, request.endpoint.answer)
        warn_if_empty(call, answer)
        return answer

    return read


def _closed_error(call: Call) -> IdeogramError:
    phase, accepted = call.state.phase, call.state.accepted
    message = f"{call.operation}: the client was closed"
    if accepted is not None:
        return WaitTimeout(f"{message} before the generation {accepted} has ended", ticket=accepted, status=None)

    if call.state.may_have_run:
        message = f"{message} {call.state.elapsed():.1f} s after the call began"
        return (AmbiguousError if call.charged else TransportError)(message, phase=phase)

    return NotSentError(message, phase=phase if phase is not Phase.SENT else Phase.QUEUED)
