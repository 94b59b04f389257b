"""The class that people import: its settings and its operations."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ideogram_async.client.batches import Batches
from ideogram_async.client.calls import Calls
from ideogram_async.client.images import Images
from ideogram_async.operations import Operation
from ideogram_async.requests import (
    Describe,
    Edit,
    Generate,
    GenerateTransparent,
    Inpaint,
    LayerizeText,
    Reframe,
    Remix,
    RemoveBackground,
    ReplaceBackground,
    Upscale,
)
from ideogram_async.secret import Secret

if TYPE_CHECKING:
    from decimal import Decimal

    from ideogram_async.exchange.sessions import SessionFactory
    from ideogram_async.limiter.limiter import Limiter
    from ideogram_async.namespaces import Datasets, Legacy, Models
    from ideogram_async.transport.emitter import Listener
    from ideogram_async.transport.policy import Retry, Timeout

__all__ = ["SERVICE", "Ideogram"]

SERVICE = "https://api.ideogram.ai"
MEBIBYTE = 2**20


class Ideogram(Calls, Images, Batches):
    """A client of the Ideogram image API.

    One client serves any number of tasks, in one event loop after another. Its sessions open at the first call;
    `async with`, `aclose` or the end of the loop closes them, and a later call opens new ones.

    Args:
        api_key: The key, or a function (plain or async) that is asked for it before each attempt. From
            `IDEOGRAM_API_KEY` if not given. Without one, or with an empty one, the first call raises
            `AuthenticationError`.
        base_url: Where the service is, from `IDEOGRAM_BASE_URL` if not given. https, or http to this machine.
        max_in_flight: Images in progress at once, over all calls; 10 is what the service allows an account.
        timeout: Seconds for one attempt, or a `Timeout`; from `IDEOGRAM_TIMEOUT` if not given, else 300 s. Time in
            the client's own queue does not count.
        retry: What is tried again, how often and for how long; see `Retry`.
        limiter: Shared with other clients of the same account, in place of `max_in_flight`.
        prices: Prices of your own in USD by rate, such as `{"v3.TURBO": "0.025"}`.
        validate: Whether requests are held against the rules of the service before they are sent.
        on_event: Called with every `Event`; may be async.
        session_factory: Makes the HTTP sessions: `(purpose, **settings) -> aiohttp.ClientSession`, where the purpose
            is `"api"` or `"images"`. Pass the settings on.
        proxy: The URL of an HTTP proxy.
        trust_env: Whether proxies and netrc are taken from the environment.
        extra_headers: Sent with every call to the service, never to image hosts.
        reuse_connections: Whether connections are kept. Faster by a round trip or two, at the risk that a dead one
            leaves a paid call in doubt.
        image_hosts: Where images may be fetched from; each name includes its subdomains. Any public host if not given.
        max_image_bytes: The largest image to download, in bytes; 64 MiB if not given.
        max_upload_bytes: The largest file, or group of reference images, to upload, in bytes; 10 MiB if not given.

    Raises:
        ValueError: If a setting makes no sense.
        TypeError: If one is of a wrong kind.
    """

    generate = Operation(Generate)
    generate_transparent = Operation(GenerateTransparent)
    inpaint = Operation(Inpaint)
    remix = Operation(Remix)
    reframe = Operation(Reframe)
    replace_background = Operation(ReplaceBackground)
    remove_background = Operation(RemoveBackground)
    layerize_text = Operation(LayerizeText)
    edit = Operation(Edit)
    upscale = Operation(Upscale)
    describe = Operation(Describe)

    def __init__(
        self,
        api_key: str | Callable[[], str | Awaitable[str]] | None = None,
        *,
        base_url: str | None = None,
        max_in_flight: int = 10,
        timeout: Timeout | float | None = None,
        retry: Retry | None = None,
        limiter: Limiter | None = None,
        prices: Mapping[str, Decimal | str | float] | None = None,
        validate: bool = True,
        on_event: Listener | None = None,
        session_factory: SessionFactory | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        extra_headers: Mapping[str, str] | None = None,
        reuse_connections: bool = False,
        image_hosts: Sequence[str] | None = None,
        max_image_bytes: int = 64 * MEBIBYTE,
        max_upload_bytes: int = 10 * MEBIBYTE,
    ) -> None:
        # First of all, and whatever comes of it: a bare key among the locals of this frame could show in a traceback.
        try:
            # An empty key counts as given: a tenant without one must not spend the money of the environment's.
            api_key = os.environ.get("IDEOGRAM_API_KEY", "") if api_key is None else api_key
            key = api_key if callable(api_key) else Secret(api_key)
        finally:
            del api_key

        from ideogram_async.exchange import stack
        from ideogram_async.prices import PriceTable
        from ideogram_async.settings import check_counts, check_kinds, timeout_from_environment

        check_counts(max_in_flight=max_in_flight, max_image_bytes=max_image_bytes, max_upload_bytes=max_upload_bytes)
        check_kinds(
            retry=retry, on_event=on_event, limiter=limiter, session_factory=session_factory, image_hosts=image_hosts
        )
        self._shared = stack.Shared.of(
            key=key,
            base_url=(os.environ.get("IDEOGRAM_BASE_URL") or SERVICE) if base_url is None else base_url,
            limiter=max_in_flight if limiter is None else limiter,
            image_hosts=image_hosts,
            session_factory=session_factory,
            proxy=proxy,
            trust_env=trust_env,
            reuse_connections=reuse_connections,
            max_image_bytes=max_image_bytes,
            max_upload_bytes=max_upload_bytes,
        )
        self._prices = PriceTable(prices)
        self._view = stack.View(
            timeout=timeout_from_environment() if timeout is None else timeout,
            retry=retry,
            extra_headers=extra_headers,
            validate=validate,
            on_event=on_event,
        )
        self._exchange = self._assemble()

    @property
    def legacy(self) -> Legacy:
        """The operations of the older models."""
        from ideogram_async.namespaces import Legacy

        return Legacy(self)

    @property
    def datasets(self) -> Datasets:
        """Sets of images to train on."""
        from ideogram_async.namespaces import Datasets

        return Datasets(self)

    @property
    def models(self) -> Models:
        """Custom models."""
        from ideogram_async.namespaces import Models

        return Models(self)

    def __repr__(self) -> str:
        # A traceback that shows locals shows the client whose making has failed, too.
        shared = getattr(self, "_shared", None)
        return f"<Ideogram {shared.base_url} {shared.limiter!r}>" if shared else "<Ideogram>"
