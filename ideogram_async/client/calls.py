"""Calls of the client: a request, a path, and a call that nobody has to wait for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from ideogram_async.client.wired import Wired
from ideogram_async.endpoint import Request

if TYPE_CHECKING:
    from ideogram_async.exchange.detached import Detached, OnDone
    from ideogram_async.models.reply import Reply

__all__ = ["Calls"]

R = TypeVar("R")


class Calls(Wired):
    """Sends what there is to send."""

    async def send(self, request: Request[R], /) -> R:
        """Send any request, and return its answer. Every operation is built on it.

        Raises:
            InvalidRequestError: If the request breaks rules; all of them are listed, and nothing was sent.
            APIStatusError: If the service refuses it or fails.
            NotSentError: If not one byte could be sent.
            AmbiguousError: If it costs money, was sent, and nothing tells whether it ran.
            DecodeError: If a success cannot be read.

        A cancellation ends the wait at once and gives the places back; what was sent goes on at the service.
        """
        return await self._exchange.send(request)

    async def detached(self, request: Request[R], /, *, on_done: OnDone[R] | None = None) -> Detached[R]:
        """Send a request in a task of the client's own, so that no cancellation wastes what was paid for.

            call = await client.detached(Generate("a red fox"), on_done=keep)
            answer = await call

        Returns as soon as the request is checked, its files are copied, and the call is on its way or in line. From
        then on whoever waits may leave: cancelling `await call` ends the waiting, never the call. At most ten calls
        for each place of the limiter are on their way or in line; more are refused.

        Closing the client gives them a grace period; see `aclose`. What has not ended by then ends with
        `AmbiguousError` if it was sent, else with `NotSentError`. So it does when the event loop ends.

        Args:
            request: Any request.
            on_done: Called once with the call when it has ended, well or badly, whoever waits for it; may be async.
                Without it, keep what is returned: an answer that nobody looks at was paid for all the same.

        Raises:
            InvalidRequestError: If the request breaks rules; nothing was sent.
            NotSentError: If too many are on their way or in line; nothing was sent, try later.

        A cancellation before it returns costs nothing.
        """
        return await self._exchange.detach(request, on_done)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        fields: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        charged: bool = True,
        weight: int = 1,
    ) -> Reply:
        """Call a path that this library does not know, with the same retry, limiter and errors.

        Args:
            method: The HTTP method. GET costs nothing and takes no place, whatever the last two say.
            path: Below the base URL, from its first `/`.
            json: A JSON body.
            fields: A form: strings, numbers, booleans, `Path`s, bytes, `(name, bytes)` pairs, `ImageFile`s of these,
                dicts as JSON, and lists of all that. `None` is not sent.
            params: The query; lists repeat their name, and `None` is not sent.
            charged: Whether it may cost money, so that it is not repeated when in doubt.
            weight: Images that it has in progress.

        Raises what `send` raises. A cancellation leaves behind what it leaves there.
        """
        from ideogram_async.wire.raw import encode_raw

        call = encode_raw(method, path, json=json, fields=fields, params=params, charged=charged, weight=weight)
        return await self._exchange.raw(call)
