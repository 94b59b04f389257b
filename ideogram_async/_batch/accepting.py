"""Calls of a batch that the service accepts first, and finishes later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack

from attrs import Attribute, field, frozen

from ideogram_async._accepted import Accepted
from ideogram_async._batch.identity import job_key
from ideogram_async._download.hosts import Hosts
from ideogram_async._operations import Accept, Endpoint
from ideogram_async._pipeline.submissions import webhook_problems
from ideogram_async._transport.polling import Poll
from ideogram_async._wire.call import Call, Send
from ideogram_async._wire.submission import Submission
from ideogram_async.errors import InvalidRequestError
from ideogram_async.models.base import Reply

MAX_SUBMISSIONS = 4
"""Submissions in flight: a crash leaves at most these in doubt."""
MODES = ("auto", "never", "always")
KEY = "{key}"


def _check_mode(_: object, __: Attribute[str], mode: object) -> None:
    expected = f"must be 'auto', 'never', 'always', or a URL with {KEY} such as https://example.com/hooks/{KEY}"
    if not isinstance(mode, str):
        raise TypeError(f"accept {expected}, not {type(mode).__name__}")

    if mode not in MODES and KEY not in mode:
        raise ValueError(f"accept {expected}, not {mode!r}")

    if {"{", "}"} & {*mode.replace(KEY, "")}:
        raise ValueError(f"accept: the only placeholder is {KEY}, in {mode!r}")


@frozen
class Acceptance:
    """The calls of a batch that are submitted, and the webhook that the service calls with their results.

    Raises:
        TypeError: If the mode is not a string.
        ValueError: If it is neither a mode nor the template of a URL.
    """

    mode: str = field(validator=_check_mode)

    def check(self, hosts: Hosts) -> None:
        """Check the address of the webhook.

        Args:
            hosts: Whether it may be on this machine.

        Raises:
            ValueError: If it is not allowed.
        """
        if self.mode not in MODES:
            for problem in webhook_problems(self._webhook_url(job_key("", id="", occurrence=0)), hosts):
                raise ValueError(f"accept: {self.mode!r} {problem}")

    def submission(self, endpoint: Endpoint, key: str) -> Submission | None:
        """Return how a job is submitted, or `None` if its call is answered at once.

        Raises:
            InvalidRequestError: If all jobs are to be submitted, and this one cannot be.
        """
        is_always, can_accept = endpoint.accept is Accept.ALWAYS, endpoint.accept is not Accept.NEVER
        if self.mode in ("auto", "never"):
            return Submission() if is_always or (can_accept and self.mode == "auto") else None

        submission = Submission(None if self.mode == "always" else self._webhook_url(key))
        if not can_accept or (submission.webhook_url is not None and not endpoint.has_webhook):
            problem = "accepted first" if not can_accept else "delivered to a webhook"
            text = f"{endpoint} cannot be {problem}; use accept='auto' for the jobs of this operation"
            raise InvalidRequestError([("accept", text)], subject="job")

        return submission

    def _webhook_url(self, key: str) -> str:
        return self.mode.replace(KEY, key)


def submitting(build: Callable[[Poll], Send], poll: Poll, submissions: asyncio.Semaphore) -> Send:
    """Return a layer that limits the submissions in flight: one ends when its acceptance is on record.

    Args:
        build: Builds the layers that record and send the call.
        poll: Waits for the accepted generation.
        submissions: Held by each submission in flight.
    """

    async def send_submission(call: Call) -> Reply:
        async with AsyncExitStack() as held:

            async def poll_accepted(accepted: Accepted, pause: float | None) -> Reply:
                await held.aclose()
                return await poll(accepted, pause)

            await held.enter_async_context(submissions)
            return await build(poll_accepted)(call)

    return send_submission


def announcing(send: Send, is_asked: asyncio.Event) -> Send:
    """Wrap a layer so that it sets an event after the first call."""

    async def send_announced(call: Call) -> Reply:
        try:
            return await send(call)
        finally:
            is_asked.set()

    return send_announced
