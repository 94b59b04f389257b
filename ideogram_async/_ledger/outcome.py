"""Outcome of an attempt, as it is recorded."""

from __future__ import annotations

import json

from attrs import field, frozen

from ideogram_async._accepted import Accepted
from ideogram_async._ledger.rules import Verdict
from ideogram_async._wire.acceptance import is_failure
from ideogram_async._wire.decode import has_content
from ideogram_async.models.base import Reply

NO_CONTENT = "the response is empty, or a page without links; it may come from a proxy"


@frozen(kw_only=True)
class Outcome:
    """The outcome of one attempt to send a call, or its acceptance."""

    verdict: Verdict
    token: str = ""
    """Identifies the attempt in a ledger, where numbers start again once a key is free."""
    status: int | None = None
    raw: bytes | None = field(default=None, repr=False)
    """The body of the reply, or the acknowledgement."""
    headers: str | None = field(default=None, repr=False)
    """The headers of the reply, as JSON."""
    error: str | None = None
    """The reason for an unusable reply, or for none."""
    generation_id: str | None = None
    """The id of the generation, if the attempt was accepted."""

    @property
    def may_have_run(self) -> bool:
        """Return whether the attempt may have been billed."""
        return self.verdict is not Verdict.NOT_BILLED

    @classmethod
    def of_acceptance(cls, accepted: Accepted, token: str = "") -> Outcome:
        """Return the outcome of an attempt that was accepted and has not ended."""
        return cls(verdict=Verdict.ACCEPTED, token=token, raw=accepted.raw, generation_id=accepted.generation_id)

    @classmethod
    def of_reply(cls, operation: str, reply: Reply, token: str = "") -> Outcome:
        """Return the outcome of an attempt with a reply."""
        is_empty = reply.is_success and not has_content(operation, reply)
        return cls(
            verdict=verdict_of(operation, reply),
            token=token,
            status=reply.status,
            raw=reply.raw,
            headers=json.dumps(reply.headers),
            error=reply.cut or (NO_CONTENT if is_empty else None),
        )

    @classmethod
    def of_error(cls, error: BaseException, *, may_have_run: bool, token: str = "") -> Outcome:
        """Return the outcome of an attempt without a reply."""
        message = str(error) if isinstance(error, Exception) else "cancelled"
        verdict = Verdict.UNKNOWN if may_have_run else Verdict.NOT_BILLED
        return cls(verdict=verdict, token=token, error=message or type(error).__name__)


def verdict_of(operation: str, reply: Reply) -> Verdict:
    """Return the verdict on an attempt with this reply."""
    if reply.is_success and is_failure(reply.raw):
        return Verdict.NOT_BILLED

    if reply.is_success and has_content(operation, reply):
        return Verdict.ANSWERED

    return Verdict.UNKNOWN if reply.is_success or reply.status >= 500 else Verdict.NOT_BILLED
