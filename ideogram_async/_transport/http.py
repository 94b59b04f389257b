"""Innermost layer: one attempt over aiohttp. Every outcome states whether the request may have been sent."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import cache
from ssl import SSLCertVerificationError

import aiohttp
from attrs import field, frozen
from multidict import CIMultiDict
from yarl import URL

from ideogram_async._redaction import HeaderSecret, mask_key, mask_key_in_body
from ideogram_async._transport.body import open_body
from ideogram_async._transport.emitter import Emitter, answered
from ideogram_async._transport.policy import Timeout
from ideogram_async._wire.acceptance import accepted_in
from ideogram_async._wire.call import Call
from ideogram_async._wire.content import ACCEPTED, codings_of, decode_content
from ideogram_async._wire.headers import MAX_HEADER_BYTES, MAX_HEADERS
from ideogram_async.errors import AmbiguousError, IdeogramError, NotSentError, Phase, TransportError
from ideogram_async.events import Sending
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

        state.began = asyncio.get_running_loop().time()
        partial = _PartialReply()
        key = await self._get_key(call) if call.needs_key else HeaderSecret("")
        try:
            async with open_body(call) as body:
                await self._exchange(call, key, body, partial)
        except IdeogramError:
            raise
        except Exception as error:
            # Only the message is kept: aiohttp's errors contain the request, and the request contains the key.
            partial.error = mask_key(self._describe(call, error), key)
            partial.is_permanent = isinstance(error, PERMANENT) or not isinstance(error, TRANSIENT)
        except asyncio.CancelledError as error:
            # aiohttp's frames would expose their locals, among them the bytes of the request.
            raise error.with_traceback(None)  # noqa: B904

        if partial.status is None:
            raise _no_reply(call, partial)

        reply = partial.reply(call, key)
        # An accepted call is answered when its generation has ended.
        if self.emit.enabled and accepted_in(call, reply) is None:
            self.emit(answered(call, reply))

        return reply

    async def _exchange(self, call: Call, key: HeaderSecret, body: object, partial: _PartialReply) -> None:
        async with self._request(call, key, body) as response:
            if response.status < 200:
                raise aiohttp.ClientConnectionError(f"no response except the status {response.status}")

            call.state.phase = Phase.ANSWERING
            partial.status = response.status
            partial.headers = {name.lower(): value for name, value in response.headers.items()}
            partial.codings = codings_of(response.headers.getall("Content-Encoding", []))
            async for chunk in response.content.iter_chunked(CHUNK_BYTES):
                partial.body += chunk
                if len(partial.body) > MAX_REPLY_BYTES:
                    partial.error = f"more than {MAX_REPLY_BYTES} bytes"
                    response.close()
                    return

    def _request(
        self, call: Call, key: HeaderSecret, body: object
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        url = URL(f"{str(self.base_url).rstrip('/')}{call.path}", encoded=True).extend_query(call.params)
        remaining = self._remaining(call)
        if remaining is not None and remaining <= 0:
            raise TimeoutError("the deadline has passed")

        return self.session().request(
            call.method,
            url,
            data=body,
            headers=self._headers(key),
            timeout=aiohttp.ClientTimeout(total=remaining, connect=self.timeout.connect),
            allow_redirects=False,
            raise_for_status=False,
            middlewares=(),
            # Set here, not in the session: a session factory may drop settings.
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
            max_headers=MAX_HEADERS,
            trace_request_ctx=call,
        )

    def _headers(self, key: HeaderSecret) -> CIMultiDict[str]:
        headers = CIMultiDict(self.extra_headers)
        headers["Accept"], headers["Accept-Encoding"] = "application/json", ACCEPTED
        if key:
            headers["Api-Key"] = key

        return headers

    async def _get_key(self, call: Call) -> HeaderSecret:
        # The key callback may be slow; its time counts against the attempt.
        scope = asyncio.timeout(self._remaining(call))
        try:
            async with scope:
                return await self.key()
        except TimeoutError:
            if not scope.expired():
                raise

        raise NotSentError(f"{call.operation}: the api_key callback timed out", phase=Phase.CONNECTING)

    def _remaining(self, call: Call) -> float | None:
        ends = (call.state.deadline, self._timeout_at(call))
        now = asyncio.get_running_loop().time()
        return min((end - now for end in ends if end is not None), default=None)

    def _timeout_at(self, call: Call) -> float | None:
        total = self.timeout.total if call.timeout is None else call.timeout
        return None if total is None else call.state.began + total

    def _describe(self, call: Call, error: Exception) -> str:
        """Return what ended the attempt and after how long, without the password of a proxy."""
        message = re.sub(r"//\S*@", "//***@", str(error))
        reason = f"{type(error).__name__}: {message}" if message else type(error).__name__
        if not call.state.was_sent:
            return reason

        if isinstance(error, aiohttp.ClientResponseError):
            limits = f"{MAX_HEADER_BYTES} bytes a line or {MAX_HEADERS} lines"
            return f"a response whose status is unknown, with invalid headers or more than {limits}: {reason}"

        seconds = f"after {call.state.elapsed():.1f} s"
        if not isinstance(error, TimeoutError):
            return f"the connection closed {seconds}: {reason}"

        deadline, timeout_at = call.state.deadline, self._timeout_at(call)
        is_deadline = deadline is not None and (timeout_at is None or deadline < timeout_at)
        limit = "the deadline (Retry.deadline)" if is_deadline else "the timeout (Timeout.total)"
        return f"no complete response {seconds}: {limit}"


class _PartialReply:
    """The part of a reply that was received so far, kept when the connection breaks."""

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.codings: list[str] = []
        self.body = bytearray()
        self.error: str | None = None
        self.is_permanent = False

    def reply(self, call: Call, key: str) -> Reply:
        """Return the reply, decompressed and without the key, if the server echoes it."""
        status, headers = self.status or 0, {name: mask_key(value, key) for name, value in self.headers.items()}
        body, cut = decode_content(bytes(self.body[:MAX_REPLY_BYTES]), self.codings, MAX_REPLY_BYTES)
        return Reply(
            status=status,
            headers=headers,
            raw=mask_key_in_body(body, key, keep_links=200 <= status < 300),
            cut=self.error or cut,
            attempts=call.state.attempts,
            elapsed=call.state.elapsed(),
            in_doubt=call.state.in_doubt,
        )


def _no_reply(call: Call, partial: _PartialReply) -> TransportError:
    phase = call.state.phase
    message = f"{call.operation}: {partial.error}"
    if phase is Phase.CONNECTING:
        return NotSentError(message, phase=phase, retryable=not partial.is_permanent)

    return (AmbiguousError if call.charged else TransportError)(message, phase=phase)


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
