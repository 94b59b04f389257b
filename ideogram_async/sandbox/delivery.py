"""Send an answer over the wire, in good order or as a fault wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from ideogram_async.sandbox.answer import Answer
from ideogram_async.sandbox.faults import Fault, spoiled
from ideogram_async.sandbox.wire import Wire

if TYPE_CHECKING:
    from aiohttp.web import BaseRequest, StreamResponse

__all__ = ["deliver"]

_ENDLESS_CHUNK = bytes(64 * 1024)

Broken = Callable[[Wire, Answer, Fault], Awaitable[None]]


async def deliver(
    request: BaseRequest, answer: Answer, fault: Fault | None, released: Callable[[], Awaitable[None]]
) -> StreamResponse:
    """Send an answer, or what a fault makes of it.

    Args:
        request: The request to answer.
        answer: What would be sent if nothing went wrong.
        fault: What goes wrong, if anything does.
        released: Waits for the box to release what hangs.
    """
    from aiohttp.web import Response

    if fault is not None:
        answer = spoiled(answer, fault)

        if fault.kind == "hang":
            await released()
        elif fault.kind == "endless":
            return await _endless(request, answer)
        elif fault.kind in _BROKEN:
            # The connection is over after this, and aiohttp notices that when it gets to the response.
            await _BROKEN[fault.kind](Wire(request), answer, fault)

    return Response(status=answer.status, body=answer.body, headers=answer.headers)


async def _endless(request: BaseRequest, answer: Answer) -> StreamResponse:
    from aiohttp.web import StreamResponse

    response = StreamResponse(status=answer.status, headers=answer.headers)

    try:
        await response.prepare(request)
        await response.write(answer.body)
        while True:
            await response.write(_ENDLESS_CHUNK)
            # Writing to a fast reader never pauses, and others want their turn.
            await asyncio.sleep(0)
    except ConnectionError:
        return response


async def _reset_before_headers(wire: Wire, _answer: Answer, _fault: Fault) -> None:
    await wire.reset()


async def _reset_after_headers(wire: Wire, answer: Answer, _fault: Fault) -> None:
    wire.write_head(answer, length=len(answer.body))
    await wire.reset()


async def _close_after_body(wire: Wire, _answer: Answer, _fault: Fault) -> None:
    wire.close()


async def _cut_with_length(wire: Wire, answer: Answer, _fault: Fault) -> None:
    wire.write_head(answer, length=len(answer.body))
    wire.write(answer.body[: len(answer.body) // 2])
    wire.close()


async def _cut_without_length(wire: Wire, answer: Answer, _fault: Fault) -> None:
    wire.write_head(answer, length=None)
    wire.write(answer.body[: len(answer.body) // 2])
    wire.close()


async def _drip(wire: Wire, answer: Answer, fault: Fault) -> None:
    wire.write_head(answer, length=len(answer.body))

    for byte in answer.body:
        if wire.is_closed:
            break

        wire.write(bytes((byte,)))
        await asyncio.sleep(fault.interval)

    wire.close()


_BROKEN: dict[str, Broken] = {
    "reset_before_headers": _reset_before_headers,
    "reset_after_headers": _reset_after_headers,
    "close_after_body": _close_after_body,
    "cut_with_length": _cut_with_length,
    "cut": _cut_with_length,
    "cut_without_length": _cut_without_length,
    "drip": _drip,
}
