"""What every part of the client stands on: its settings, its way to the service, and its end."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from ideogram_async.exchange.exchange import Exchange
    from ideogram_async.exchange.stack import Shared, View
    from ideogram_async.limiter.limiter import Limiter
    from ideogram_async.prices import PriceTable
    from ideogram_async.transport.emitter import Listener
    from ideogram_async.transport.policy import Retry, Timeout

__all__ = ["GRACE", "Wired"]

GRACE = 30.0
"""Seconds that detached calls have to end when the client is closed: what a container is given to stop, too."""


class Wired:
    """A client that is wired up. `Ideogram` reads the settings."""

    _shared: Shared
    _view: View
    _prices: PriceTable
    _exchange: Exchange

    @property
    def limiter(self) -> Limiter:
        """What keeps the images in progress within the account's limit; `statistics()` tells how full it is."""
        return self._shared.limiter

    def with_options(
        self,
        *,
        timeout: Timeout | float | None = None,
        retry: Retry | None = None,
        extra_headers: Mapping[str, str] | None = None,
        validate: bool | None = None,
        on_event: Listener | None = None,
    ) -> Self:
        """Return a view with other options; it shares the sessions and the limiter. What is not given stays."""
        given = {
            "timeout": timeout,
            "retry": retry,
            "extra_headers": extra_headers,
            "validate": validate,
            "on_event": on_event,
        }
        from ideogram_async.settings import check_kinds

        check_kinds(retry=retry, on_event=on_event)
        view = copy.copy(self)
        view._view = self._view.changed({name: value for name, value in given.items() if value is not None})
        view._exchange = view._assemble()
        return view

    async def aclose(self, *, grace: float = GRACE) -> None:
        """Close the running loop's sessions. Twice is fine, and a later call opens new ones.

        Detached calls are waited for, `grace` seconds at most. Then calls on their way end: `AmbiguousError` for those
        that were sent and cost money, `NotSentError` for the rest.

        Args:
            grace: Seconds. 0 ends detached calls at once, like any other.
        """
        await self._shared.sessions.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _assemble(self) -> Exchange:
        from ideogram_async.exchange.exchange import Exchange
        from ideogram_async.exchange.stack import Stack

        return Exchange(Stack(self._shared, self._view))
