"""How the layers are put together: the whole policy in one line."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias

import aiohttp
from attrs import evolve, field, frozen
from yarl import URL

from ideogram_async.download import addresses
from ideogram_async.download.download import Downloads
from ideogram_async.download.links import Hosts
from ideogram_async.errors import AuthenticationError
from ideogram_async.exchange.sessions import SessionFactory, SessionOptions, Sessions
from ideogram_async.limiter.limiter import ImageLimiter, Limiter
from ideogram_async.secret import MaskedStr, Secret
from ideogram_async.transport.emitter import Emitter, Listener
from ideogram_async.transport.http import Http
from ideogram_async.transport.limited import limited
from ideogram_async.transport.policy import Retry, Timeout
from ideogram_async.transport.retry import retrying
from ideogram_async.transport.told import told
from ideogram_async.wire.call import Send

__all__ = ["KeySource", "Shared", "Stack", "View", "api_url"]

OUR_HEADERS = ("api-key", "host", "content-length", "content-type", "transfer-encoding")


def _headers(given: Mapping[str, str] | None) -> dict[str, str]:
    for name, value in (given or {}).items():
        if (
            name.lower() in OUR_HEADERS
            or not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name)
            or re.search(r"[\x00-\x08\x0a-\x1f\x7f]", value)
        ):
            raise ValueError(f"extra_headers: {name!r} cannot be sent")

    return dict(given or {})


def _timeout(given: Timeout | float | str | None) -> Timeout:
    return Timeout.of(given)


def _retry(given: Retry | None) -> Retry:
    return given or Retry()


KeySource: TypeAlias = Secret | Callable[[], str | Awaitable[str]]


@frozen(kw_only=True)
class Shared:
    """What all views of a client have in common."""

    key: KeySource
    base_url: URL
    sessions: Sessions
    limiter: Limiter
    hosts: Hosts
    max_image_bytes: int
    max_upload_bytes: int

    @classmethod
    def of(
        cls,
        *,
        key: KeySource,
        base_url: str,
        limiter: Limiter | int,
        image_hosts: Sequence[str] | None,
        session_factory: SessionFactory | None,
        proxy: str | None,
        trust_env: bool,
        reuse_connections: bool,
        max_image_bytes: int,
        max_upload_bytes: int,
    ) -> Shared:
        """Make it of a client's settings.

        Raises:
            ValueError: If one of them makes no sense.
        """
        url = api_url(base_url)
        loopback = is_loopback(url)
        options = SessionOptions(
            factory=session_factory,
            proxy=proxy,
            trust_env=trust_env,
            reuse_connections=reuse_connections,
            loopback=loopback,
        )
        return cls(
            key=key,
            base_url=url,
            sessions=Sessions(options),
            limiter=ImageLimiter(limiter) if isinstance(limiter, int) else limiter,
            hosts=Hosts(tuple(image_hosts) if image_hosts is not None else None, loopback=loopback),
            max_image_bytes=max_image_bytes,
            max_upload_bytes=max_upload_bytes,
        )

    async def find_key(self) -> MaskedStr:
        """Return the key, asked for anew if it comes from a function.

        Raises:
            AuthenticationError: If there is none.
        """
        if isinstance(self.key, Secret):
            secret = self.key
        else:
            given = self.key()
            try:
                # No key is no reason to fail here: like an empty one, it is missing.
                secret = Secret((await given if inspect.isawaitable(given) else given) or "")
            finally:
                # A traceback shows the locals of this frame.
                del given

        if not secret:
            raise AuthenticationError("no API key: set IDEOGRAM_API_KEY or pass api_key; nothing was sent", status=401)

        return secret.reveal()


@frozen(kw_only=True)
class View:
    """What each view of a client chooses for itself."""

    timeout: Timeout = field(converter=_timeout)
    retry: Retry = field(converter=_retry)
    extra_headers: dict[str, str] = field(converter=_headers, repr=False)
    validate: bool
    on_event: Listener | None

    def changed(self, options: Mapping[str, Any]) -> View:
        """Return a copy with other options."""
        return evolve(self, **options)


class Stack:
    """The layers of one view."""

    def __init__(self, shared: Shared, view: View) -> None:
        sessions = shared.sessions
        self.shared = shared
        self.view = view
        self.emit = Emitter(view.on_event, sessions.listeners)
        self._http = Http(
            session=lambda: sessions.here().api,
            base_url=shared.base_url,
            key=shared.find_key,
            timeout=view.timeout,
            extra_headers=view.extra_headers,
            emit=self.emit,
        )
        self.send = self.layered(self._http, view.retry)
        self.downloads = self.downloads_over(lambda: sessions.here().images, lambda: sessions.here().collecting)

    def downloads_over(
        self, session: Callable[[], aiohttp.ClientSession], places: Callable[[], asyncio.Semaphore]
    ) -> Downloads:
        """Collect images over a session, so many at once as there are places."""
        # Not the stack itself: what it keeps must not lead back to it.
        sessions = self.shared.sessions
        return Downloads(
            session,
            hosts=self.shared.hosts,
            max_image_bytes=self.shared.max_image_bytes,
            retry=self.view.retry,
            emit=self.emit,
            tasks=lambda: sessions.here().tasks,
            places=places,
        )

    def layered(self, last: Send, retry: Retry) -> Send:
        """Put the layers around the last one: the whole policy in one line."""
        return retrying(limited(last, self.shared.limiter, self.emit), retry, self.emit)

    def layered_with(self, wrap: Callable[[Send], Send], retry: Retry) -> Send:
        """Put the layers around the last one and another, which is inside the limiter: a journal, say."""
        return told(self.layered(wrap(self._http), retry), self.emit)


def api_url(given: str) -> URL:
    """Check the base URL: https, or http to this machine; a path is welcome, a query is not.

    Raises:
        ValueError: If the key would not be safe there.
    """
    url = URL(given)
    is_safe = url.scheme == "https" or (url.scheme == "http" and is_loopback(url))
    if not is_safe or not url.host or url.user or url.query_string or url.fragment:
        raise ValueError("base_url must be https, or http to this machine, without user, query and fragment")

    return url


def is_loopback(url: URL) -> bool:
    """Say whether a URL leads to this machine."""
    # Read as an address: a name may begin with "127." too, and lead anywhere.
    host = url.host or ""
    return host == "localhost" or addresses.is_loopback(host)
