"""Claims of keyed calls, checked before anything is sent."""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial

from ideogram_async._ledger.entries import Claim, Entry, Ledger
from ideogram_async._ledger.rules import CallState
from ideogram_async._ledger.serialization import HashedFiles, fingerprint_of, serialize
from ideogram_async._operations import Request
from ideogram_async._prices import PriceTable
from ideogram_async._transport.tasks import in_thread
from ideogram_async._wire.call import Call
from ideogram_async.errors import InvalidRequestError
from ideogram_async.v2.answers import Quote

MAX_KEY_BYTES = 255


async def make_claim(key: str, request: Request[object], call: Call, prices: PriceTable, ledger: Ledger) -> Claim:
    """Return the claim of a call. Its owner and the token of each attempt are set when it is sent.

    Args:
        key: The key.
        request: The request.
        call: The call that is sent for it.
        prices: The price table.
        ledger: The ledger.

    Raises:
        InvalidRequestError: If the key cannot be used, or the request costs nothing.
    """
    usd = prices.estimate(request).usd
    problem = key_problem(key)
    if problem is not None:
        raise InvalidRequestError([("key", problem)], subject="call")

    if not call.charged:
        raise InvalidRequestError([("request", f"{call.operation} costs nothing: send it")], subject="call")

    serialized = await in_thread(partial(serialize, request, HashedFiles()))
    return Claim(
        key=key,
        operation=call.operation,
        fingerprint=fingerprint_of(serialized),
        weight=call.weight,
        usd=usd,
        token="",
        owner="",
        request=serialized if ledger.keep_requests else None,
    )


def needs_quote(entry: Entry) -> bool:
    """Return whether the price of a call on record, if the table has none, must be asked for: the call may be sent.

    A call that has been sent needs no price, unless its outcome is not known yet: after a refusal it is sent again.
    """
    return entry.usd is None and entry.state in (CallState.PENDING, CallState.SENDING)


async def quoted_usd(request: Request[object], quote: Callable[[], Awaitable[Quote]], subject: str) -> Decimal:
    """Return the most that a request can cost, which the service states.

    Raises:
        InvalidRequestError: If its operation has no quotes.
    """
    if not request.endpoint.has_quote:
        rule = "is not known, so max_cost_usd cannot be kept: it can only be sent without max_cost_usd"
        raise InvalidRequestError([("price", rule)], subject=subject)

    return (await quote()).worst_usd


def key_problem(key: object) -> str | None:
    """Return why a key cannot be used, or `None`."""
    if not isinstance(key, str):
        return f"is {type(key).__name__}, not str"

    if any(unicodedata.category(character) in ("Cc", "Cs") for character in key):
        return f"{key!r} contains control characters"

    return None if 0 < len(key.encode()) <= MAX_KEY_BYTES else f"must have 1 to {MAX_KEY_BYTES} bytes"
