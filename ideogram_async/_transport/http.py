"""The last layer: one attempt over aiohttp. Whatever happens, it can say whether the request had left."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from functools import cache
from ssl import SSLCertVerificationError

import aiohttp
from attrs import field, frozen
from yarl import URL

from ideogram_async._redaction import HeaderSecret
from ideogram_async._transport.body import open_body
from ideogram_async._transport.emitter import Emitter
from ideogram_async._transport.policy import Timeout
from ideogram_async._wire.call import Call, CallState
from ideogram_async.errors import AmbiguousError, IdeogramError, NotSentError, Phase, TransportError
from ideogram_async.events import Answered, Sending
from ideogram_async.models.base import Reply

CHUNK = 2**16

LARGEST_REPLY = 8 * 2**20

PASSING = (aiohttp.ClientError, OSError)

FINAL = (aiohttp.ClientConnectorCertificateError, SSLCertVerificationError)


@cache
def tracing() -> aiohttp.TraceConfig:
    """Return the trace that waits for clearance, and marks the moment before the first byte.

    Without its mark, nothing was sent.
    """

    async def mark(session: aiohttp.ClientSession, context: object, _: object) -> None:
        call = getattr(context, "trace_request_ctx", None)
        if isinstance(call, Call):
            if call.state.clearance is not None:
                await call.state.clearance()

            if session.closed:
                raise aiohttp.ClientConnectionError("the client was closed")

            _leave(call)

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(mark)
    config.freeze()
    return config


def _leave(call: Call) -> None:
    if call.charged and call.state.phase is not Phase.CONNECTING:
        # When a connection breaks, aiohttp sends all but POST and PATCH again; here is the last chance to prevent it.
        raise aiohttp.ClientConnectionError("the connection broke, and the request must not leave twice")

    call.state.phase = Phase.SENT


@frozen(kw_only=True)
class Http:
    """Sends a call once."""

    session: Callable[[], aiohttp.ClientSession]
    base_url: URL
    key: Callable[[], Awaitable[HeaderSecret]] = field(repr=False)
    timeout: Timeout
    extra_headers: dict[str, str] = field(repr=False)
    emit: Emitter

    async def __call__(self, call: Call) -> Reply:
        """Send it, and read the reply to its end.

        Raises:
            TransportError: If no status came.
            AuthenticationError: If there is no key.
            InvalidRequestError: If a file cannot be read.
        """
        state = call.state
        state.phase = Phase.CONNECTING
        state.attempts += 1
        if self.emit.enabled:
            self.emit(Sending(call_id=state.call_id, operation=call.operation, attempt=state.attempts))

        reading = _Reading(asyncio.get_running_loop().time())
        key = await self._find_key(call, reading.began)
        try:
            async with open_body(call) as body:
                await self._exchange(call, key, body, reading)
        except IdeogramError:
            raise
        except Exception as error:
            # Only words are kept: aiohttp's errors carry the request, and the request carries the key.
            reading.cut = _describe(error)
            reading.is_final = isinstance(error, FINAL) or not isinstance(error, PASSING)
        except asyncio.CancelledError as error:
            # aiohttp's frames would show their locals, the request's bytes among them.
            raise error.with_traceback(None)  # noqa: B904

        if reading.status is None:
            raise _no_reply(call, reading)

        reply = reading.reply(state)
        if self.emit.enabled:
            self.emit(_answered(call, reply))

        return reply

    async def _exchange(self, call: Call, key: HeaderSecret, body: object, reading: _Reading) -> None:
        url = URL(f"{str(self.base_url).rstrip('/')}{call.path}", encoded=True).extend_query(call.params)
        left = self._time_left(call, reading.began)
        if left is not None and left <= 0:
            raise TimeoutError("no time is left")

        timeout = aiohttp.ClientTimeout(total=left, connect=self.timeout.connect)
        request = self.session().request(
            call.method,
            url,
            data=body,
            headers={**self.extra_headers, "Accept": "application/json", "Api-Key": key},
            timeout=timeout,
            allow_redirects=False,
            raise_for_status=False,
            middlewares=(),
            auto_decompress=True,
            trace_request_ctx=call,
        )
        async with request as response:
            if response.status < 200:
                raise aiohttp.ClientConnectionError(f"no answer came, only the status {response.status}")

            call.state.phase = Phase.ANSWERING
            reading.status = response.status
            reading.headers = {name.lower(): value for name, value in response.headers.items()}
            async for chunk in response.content.iter_chunked(CHUNK):
                reading.body += chunk
                if len(reading.body) > LARGEST_REPLY:
                    reading.cut = f"more than {LARGEST_REPLY} bytes"
                    response.close()
                    return

    async def _find_key(self, call: Call, began: float) -> HeaderSecret:
        # Whoever keeps the key may be slow, and this is part of the attempt.
        scope = asyncio.timeout(self._time_left(call, began))
        try:
            async with scope:
                return await self.key()
        except TimeoutError:
            if not scope.expired():
                raise

        raise NotSentError(f"{call.operation}: the key did not come in time", phase=Phase.CONNECTING)

    def _time_left(self, call: Call, began: float) -> float | None:
        ends = (call.state.deadline, None if self.timeout.total is None else began + self.timeout.total)
        now = asyncio.get_running_loop().time()
        return min((end - now for end in ends if end is not None), default=None)


class _Reading:
    """What has come so far. Kept outside the exchange, so that a cut leaves it behind."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.cut: str | None = None
        self.is_final = False

    def reply(self, state: CallState) -> Reply:
        return Reply(
            status=self.status or 0,
            headers=self.headers,
            raw=bytes(self.body),
            cut=self.cut,
            attempts=state.attempts,
            elapsed=asyncio.get_running_loop().time() - self.began,
            in_doubt=state.in_doubt,
        )


def _answered(call: Call, reply: Reply) -> Answered:
    return Answered(
        call_id=call.state.call_id,
        operation=call.operation,
        attempt=call.state.attempts,
        status=reply.status,
        elapsed=reply.elapsed,
    )


def _no_reply(call: Call, reading: _Reading) -> TransportError:
    phase = call.state.phase
    words = f"{call.operation}: {reading.cut}"
    if phase is Phase.CONNECTING:
        return NotSentError(words, phase=phase, retryable=not reading.is_final)

    return (AmbiguousError if call.charged else TransportError)(words, phase=phase)


def _describe(error: Exception) -> str:
    """Name the error without its request: neither the key nor a proxy's password is in the words."""
    words = re.sub(r"//\S*@", "//***@", str(error))
    return f"{type(error).__name__}: {words}" if words else type(error).__name__
