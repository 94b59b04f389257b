"""Quotes: the service states the price of a request without running it.

Source: https://developer.ideogram.ai/ideogram-api/price-quotes
"""

from __future__ import annotations

import attrs

from ideogram_async._operations import Request
from ideogram_async._transport.polling import Poll
from ideogram_async._wire.acceptance import json_object
from ideogram_async._wire.call import Call, CallState, Send
from ideogram_async._wire.decode import decode_error
from ideogram_async._wire.submission import SUBMISSION_SECONDS
from ideogram_async.errors import Billed, DecodeError, InvalidRequestError
from ideogram_async.models.base import Reply

OBJECT = "price_quote"


def check_quotable(request: Request[object]) -> None:
    """Check that the operation has quotes. Elsewhere the service may ignore `dry_run`, and run the call.

    Raises:
        InvalidRequestError: If it has none.
    """
    if not request.endpoint.has_quote:
        problem = f"{request.endpoint} has no quotes; client.estimate reads the price table"
        raise InvalidRequestError([("request", problem)], subject=type(request).__name__)


def quote_call(call: Call) -> Call:
    """Return the call that asks for the price of another one."""
    return attrs.evolve(
        call,
        params=(*call.params, ("dry_run", "true")),
        weight=0,
        images=0,
        charged=False,
        poll=None,
        timeout=SUBMISSION_SECONDS,
        state=CallState(),
    )


def quoting(send: Send, _: Poll) -> Send:
    """Wrap the HTTP layer: what is not a quote has run, and is never sent again."""

    async def send_quote(call: Call) -> Reply:
        reply = await send(call)
        if reply.is_success and not _is_quote(reply):
            raise _ran_error(call, reply)

        return reply

    return send_quote


def _is_quote(reply: Reply) -> bool:
    if reply.cut is not None:
        return f'"{OBJECT}"'.encode() in reply.raw

    return json_object(reply.raw).get("object") == OBJECT


def _ran_error(call: Call, reply: Reply) -> DecodeError:
    """Return the error of a call that was to be quoted."""
    generation = json_object(reply.raw).get("generation_id")
    suffix = f" as generation {generation}" if generation else ""
    message = f"the service answered with something other than a quote: the call ran{suffix}"
    error = decode_error(attrs.evolve(call, charged=True), reply, message, [])
    if reply.cut is not None and not error.links:
        # It may have been the beginning of a quote.
        error.billed = Billed.UNKNOWN

    return error
