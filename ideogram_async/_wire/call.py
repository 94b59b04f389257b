"""A call: one request as it goes over the wire, as often as it has to. Every layer is `Call -> Reply`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeAlias

from attrs import define, field, frozen

from ideogram_async._redaction import RedactedStr
from ideogram_async.errors import Phase
from ideogram_async.files import ImageFile
from ideogram_async.models.base import Reply

_ids = count(1)


@define(eq=False)
class CallState:
    """Progress of a call: its only mutable part, updated by each layer."""

    call_id: str = field(factory=lambda: f"call-{next(_ids)}")
    phase: Phase = Phase.QUEUED
    attempts: int = 0
    """Attempts begun, those refused with 429 included."""
    deadline: float | None = None
    """When the call ends by the event loop's clock. Moved on by every second in our own queue."""
    in_doubt: bool = False
    """Whether an attempt may have run without an answer."""
    clearance: Callable[[], Awaitable[None]] | None = None
    """Awaited before the first byte leaves, when the connection stands."""

    @property
    def was_sent(self) -> bool:
        """Whether the present attempt may have been sent."""
        return self.phase in (Phase.SENT, Phase.ANSWERING)

    @property
    def may_have_run(self) -> bool:
        """Whether any attempt may have been processed without a response."""
        return self.in_doubt or self.was_sent


@frozen
class Part:
    """One part of a form."""

    name: str
    body: str | ImageFile
    content_type: str | None = None
    """Sent with a text where the contract wants one; a file tells its own."""


@frozen(kw_only=True)
class Call:
    """What is to be sent, and what it may cost."""

    operation: str
    """Method and path as in the contract; names the call in events and errors."""
    method: str
    path: str
    """Below the base URL, percent-encoded."""
    form: tuple[Part, ...] | None = None
    json: bytes | None = None
    params: tuple[tuple[str, str], ...] = ()
    weight: int = 1
    """Places of the account's limit that it takes: images in progress."""
    charged: bool = True
    """Whether it may cost money, so that a second one may pay twice."""
    images: int = 0
    """Images that it is to make."""
    model: str | None = None
    """The model that it asks for, where it names one."""
    prompt: RedactedStr | None = None
    state: CallState = field(factory=CallState, eq=False, repr=False)


Send: TypeAlias = Callable[[Call], Awaitable[Reply]]
