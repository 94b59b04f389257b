"""The call: one request as it is sent, and its progress over all attempts."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TypeAlias

from attrs import define, field, frozen

from ideogram_async._accepted import Accepted
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
    """Attempts so far, including those rejected with 429."""
    began: float = 0.0
    """Start of the last attempt, by the clock of the event loop."""
    deadline: float | None = None
    """Time at which the call ends, by the clock of the event loop. Extended by the time in this client's own queue."""
    acquire_by: float = math.inf
    """Time at which a call rejected with 429 stops waiting for slots. Extended like the deadline."""
    queued: float = 0.0
    """Seconds in this client's own queue so far."""
    in_doubt: bool = False
    """Whether an earlier attempt may have run without a response."""
    accepted: Accepted | None = None
    """The acceptance, if the service has accepted the call and finishes it later."""

    @property
    def was_sent(self) -> bool:
        """Return whether the current attempt may have been sent."""
        return self.phase in (Phase.SENT, Phase.ANSWERING)

    def elapsed(self) -> float:
        """Return the seconds since the start of the last attempt."""
        return asyncio.get_running_loop().time() - self.began

    @property
    def may_have_run(self) -> bool:
        """Return whether any attempt may have been processed without a response."""
        return self.in_doubt or self.was_sent


@frozen
class Part:
    """One part of a form."""

    name: str
    body: str | ImageFile
    content_type: str | None = None
    """Content type of a text, if the contract requires one. An `ImageFile` has its own."""


@frozen(kw_only=True)
class Call:
    """A request as it is sent, with its cost."""

    operation: str
    """Method and path as in the contract; identifies the operation in events and errors."""
    method: str
    path: str
    """Below the base URL, percent-encoded."""
    form: tuple[Part, ...] | None = None
    json: bytes | None = None
    params: tuple[tuple[str, str], ...] = ()
    weight: int = 1
    """Concurrency slots that the call needs: its images in progress."""
    poll: str | None = None
    """Path of a generation without its id, if the service may accept the call first and finish it later."""
    timeout: float | None = None
    """Seconds for one attempt, if not those of the client."""
    charged: bool = True
    """Whether the call may cost money, so that sending it again may be billed twice."""
    needs_key: bool = True
    """Whether the API key is sent."""
    images: int = 0
    """Images that the call makes."""
    model: str | None = None
    """The requested model, if the request contains one."""
    prompt: RedactedStr | None = None
    state: CallState = field(factory=CallState, eq=False, repr=False)


Send: TypeAlias = Callable[[Call], Awaitable[Reply]]
