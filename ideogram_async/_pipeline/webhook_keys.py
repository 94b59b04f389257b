"""Cache of the keys that verify deliveries to a webhook.

A forged delivery looks like one that is signed with a new key, so a limit applies to the fetches.
"""

from __future__ import annotations

import asyncio
import copy
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from attrs import define, field

from ideogram_async._transport.emitter import logger
from ideogram_async.errors import IdeogramError
from ideogram_async.v2.account import WebhookSigningJwks

Fetch: TypeAlias = Callable[[], Awaitable[WebhookSigningJwks]]
MAX_AGE = 24 * 3600.0
"""Seconds for which keys are used. Source: https://developer.ideogram.ai/ideogram-api/webhooks"""
MIN_INTERVAL = 60.0
"""Seconds between two fetches."""


@define(eq=False)
class WebhookKeys:
    """The keys, shared by all views of a client. Concurrent callers in an event loop share a fetch.

    After a failed fetch the next one is possible at once, because the service repeats the delivery soon. After further
    failures in a row the pause doubles, up to that between successful ones.
    """

    _clock: Callable[[], float] = time.monotonic
    _keys: WebhookSigningJwks | None = field(default=None, init=False)
    _fetched_at: float = field(default=-math.inf, init=False)
    _error: IdeogramError | None = field(default=None, init=False)
    """The error of the last fetch."""
    _failures: int = field(default=0, init=False)
    """Failed fetches in a row."""
    _next_at: float = field(default=-math.inf, init=False)
    """The earliest time of the next fetch."""
    _task: asyncio.Task[WebhookSigningJwks | IdeogramError] | None = field(default=None, init=False)

    async def current(self, fetch: Fetch) -> WebhookSigningJwks:
        """Return the keys, fetched if there are none or they are too old.

        Raises:
            IdeogramError: If they cannot be fetched.
        """
        is_fresh = self._clock() - self._fetched_at <= MAX_AGE
        return self._keys if self._keys is not None and is_fresh else await self._refresh(fetch)

    async def newer(self, keys: WebhookSigningJwks, fetch: Fetch) -> WebhookSigningJwks | None:
        """Return the keys that replace these, or `None` if it is too early to fetch them.

        Raises:
            IdeogramError: If they cannot be fetched.
        """
        if self._keys is not keys:
            return self._keys

        is_early = self._error is None and self._clock() < self._next_at and self._current_task() is None
        return None if is_early else await self._refresh(fetch)

    async def _refresh(self, fetch: Fetch) -> WebhookSigningJwks:
        """Wait for the fetch of another caller, or for a new one if it is not too early."""
        task = self._current_task()
        if task is None:
            if self._error is not None and self._clock() < self._next_at:
                raise copy.copy(self._error)

            # A task: the cancellation of one caller does not concern the others.
            task = self._task = asyncio.create_task(self._fetch(fetch))

        outcome = await asyncio.shield(task)
        if isinstance(outcome, IdeogramError):
            # A copy: each raise of an error adds to its traceback.
            raise copy.copy(outcome)

        return outcome

    def _current_task(self) -> asyncio.Task[WebhookSigningJwks | IdeogramError] | None:
        task = self._task
        is_running = task is not None and not task.done() and task.get_loop() is asyncio.get_running_loop()
        return task if is_running else None

    async def _fetch(self, fetch: Fetch) -> WebhookSigningJwks | IdeogramError:
        began = self._clock()
        self._next_at = began + MIN_INTERVAL
        try:
            keys = await fetch()
        except IdeogramError as error:
            self._failures += 1
            pause = 0.0 if self._failures == 1 else min(MIN_INTERVAL, 2.0 ** min(self._failures, 10))
            self._next_at = self._clock() + pause
            self._error = error.with_traceback(None)
            logger.warning("the keys of webhooks cannot be fetched: %s", error)
            return error

        self._keys, self._fetched_at, self._error, self._failures = keys, began, None, 0
        return keys
