"""Innermost layer: one attempt over aiohttp. Every outcome states whether the request may have been sent."""

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
from ideogram_async._wire.call import Call
from ideogram_async.errors import AmbiguousError, IdeogramError, NotSentError, Phase, TransportError
from ideogram_async.events import Answered, Sending
from ideogram_async.models.base import Reply

CHUNK_BYTES = 2**16
MAX_REPLY_BYTES = 8 * 2**20
TRANSIENT = (aiohttp.ClientError, OSError)
PERMANENT = (aiohttp.ClientConnectorCertificateError, SSLCertVerificationError)


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
        """Send the call and read the reply to its end.

        Raises:
            TransportError: If no status was received.
            AuthenticationError: If there is no key.
            InvalidRequestError: If a file cannot be read.
        """
        state = call.state
        state.phase = Phase.CONNECTING
        state.attempts += 1
        if self.emit.enabled:
            self.emit(Sending(call_id=state.call_id, operation=call.operation, attempt=state.attempts))

        partial = _PartialReply(asyncio.get_running_loop().time())
        key = await self._get_key(call, partial.began)
        try:
            async with open_body(call) as body:
                await self._exchange(call, key, body, partial)
        except IdeogramError:
            raise
        except Exception as error:
            # Only the message is kept: aiohttp's errors contain the request, and the request contains the key.
            partial.error = _describe(error)
            partial.is_permanent = isinstance(error, PERMANENT) or not isinstance(error, TRANSIENT)
        except asyncio.CancelledError as error:
            # aiohttp's frames would expose their locals, among them the bytes of the request.
            raise error.with_traceback(None)  # noqa: B904

        if partial.status is None:
            raise _no_reply(call, partial)

        reply = partial.reply(call)
        if self.emit.enabled:
            self.emit(_answered(call, reply))

        return reply

    async def _exchange(self, call: Call, key: HeaderSecret, body: object, partial: _PartialReply) -> None:
        url = URL(f"{str(self.base_url).rstrip('/')}{call.path}", encoded=True).extend_query(call.params)
        remaining = self._remaining(call, partial.began)
        if remaining is not None and remaining <= 0:
            raise TimeoutError("the deadline has passed")

        request = self.session().request(
            call.method,
            url,
            data=body,
            headers={**self.extra_headers, "Accept": "application/json", "Api-Key": key},
            timeout=aiohttp.ClientTimeout(total=remaining, connect=self.timeout.connect),
            allow_redirects=False,
            raise_for_status=False,
            middlewares=(),
            auto_decompress=True,
            trace_request_ctx=call,
        )
        async with request as response:
            if response.status < 200:
                raise aiohttp.ClientConnectionError(f"no response except the status {response.status}")

            call.state.phase = Phase.ANSWERING
            partial.status = response.status
            partial.headers = {name.lower(): value for name, value in response.headers.items()}
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                partial.body += chunk
                if len(partial.body) > MAX_REPLY_BYTES:
                    partial.error = f"more than {MAX_REPLY_BYTES} bytes"
                    response.close()
                    return

    async def _get_key(self, call: Call, began: float) -> HeaderSecret:
        # The key callback may be slow; its time counts against the attempt.
        scope = asyncio.timeout(self._remaining(call, began))
        try:
            async with scope:
                return await self.key()
        except TimeoutError:
            if not scope.expired():
                raise

        raise NotSentError(f"{call.operation}: the api_key callback timed out", phase=Phase.CONNECTING)

    def _remaining(self, call: Call, began: float) -> float | None:
        ends = (call.state.deadline, None if self.timeout.total is None else began + self.timeout.total)
        now = asyncio.get_running_loop().time()
        return min((end - now for end in ends if end is not None), default=None)


class _PartialReply:
    """The part of a reply that was received so far, kept when the connection breaks."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.error: str | None = None
        self.is_permanent = False

    def reply(self, call: Call) -> Reply:
        return Reply(
            status=self.status or 0,
            headers=self.headers,
            raw=bytes(self.body),
            cut=self.error,
            attempts=call.state.attempts,
            elapsed=asyncio.get_running_loop().time() - self.began,
            in_doubt=call.state.in_doubt,
        )


def _answered(call: Call, reply: Reply) -> Answered:
    return Answered(
        call_id=call.state.call_id,
        operation=call.operation,
        attempt=call.state.attempts,
        status=reply.status,
        elapsed=reply.elapsed,
    )


def _no_reply(call: Call, partial: _PartialReply) -> TransportError:
    phase = call.state.phase
    message = f"{call.operation}: {partial.error}"
    if phase is Phase.CONNECTING:
        return NotSentError(message, phase=phase, retryable=not partial.is_permanent)

    return (AmbiguousError if call.charged else TransportError)(message, phase=phase)


def _describe(error: Exception) -> str:
    """Return the error's type and message, without the password of a proxy."""
    message = re.sub(r"//\S*@", "//***@", str(error))
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@cache
def sent_trace() -> aiohttp.TraceConfig:
    """Return the trace that marks a call as sent, just before its first byte. Without the mark, nothing was sent."""
    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(_mark_sent)
    config.freeze()
    return config


async def _mark_sent(_session: object, context: object, _params: object) -> None:
    call = getattr(context, "trace_request_ctx", None)
    if not isinstance(call, Call):
        return

    if call.charged and call.state.phase is not Phase.CONNECTING:
        # When a connection breaks, aiohttp repeats all methods except POST and PATCH. This prevents it.
        raise aiohttp.ClientConnectionError("the connection broke, and the request must not be sent twice")

    call.state.phase = Phase.SENT
