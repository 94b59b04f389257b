"""The class that people import: its settings and its operations."""

from __future__ import annotations

import copy
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from ideogram_async._operations import Operation, Request
from ideogram_async._redaction import Secret
from ideogram_async.files import HasUrl
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

if TYPE_CHECKING:
    from decimal import Decimal

    from ideogram_async._batch.batch import Batch
    from ideogram_async._batch.report import Plan, Report
    from ideogram_async._batch.source import Jobs
    from ideogram_async._download.stream import ImageStream
    from ideogram_async._limiter.limiter import Limiter
    from ideogram_async._namespaces import Datasets, Legacy, Models
    from ideogram_async._pipeline.pipeline import ClientConfig, Pipeline, RequestOptions
    from ideogram_async._pipeline.running_call import OnDone, RunningCall
    from ideogram_async._pipeline.sessions import SessionFactory
    from ideogram_async._prices import PriceTable
    from ideogram_async._transport.emitter import Listener
    from ideogram_async._transport.policy import Retry, Timeout
    from ideogram_async.models.base import Price, Reply

GRACE = 30.0

"""Seconds that detached calls have to end when the client is closed: what a container is given to stop, too."""


class Wired:
    """A client that is wired up. `Ideogram` reads the settings."""

    _config: ClientConfig
    _options: RequestOptions
    _prices: PriceTable
    _pipeline: Pipeline

    @property
    def limiter(self) -> Limiter:
        """What keeps the images in progress within the account's limit; `statistics()` tells how full it is."""
        return self._config.limiter

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
        from ideogram_async._pipeline.settings import check_kinds

        check_kinds(retry=retry, on_event=on_event)
        view = copy.copy(self)
        view._options = self._options.changed({name: value for name, value in given.items() if value is not None})
        view._pipeline = view._assemble()
        return view

    async def aclose(self, *, grace: float = GRACE) -> None:
        """Close the running loop's sessions. Twice is fine, and a later call opens new ones.

        Started calls get `grace` seconds to finish. Then calls in flight end: `AmbiguousError` for those that were sent
        and cost money, `NotSentError` for the rest.

        Args:
            grace: Seconds. 0 ends detached calls at once, like any other.
        """
        await self._config.sessions.close(grace)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _assemble(self) -> Pipeline:
        from ideogram_async._pipeline.pipeline import Pipeline

        return Pipeline(self._config, self._options)


class Batches(Wired):
    """Runs many jobs into a folder, and says before what they make and cost."""

    def batch(
        self,
        jobs: Jobs | None,
        folder: str | os.PathLike[str],
        *,
        max_cost_usd: Decimal | str | float | None = None,
        max_downloads: int = 16,
        retry_ambiguous: bool = False,
        names: str | None = None,
        ordered: bool = False,
        sidecars: bool = False,
        on_event: Listener | None = None,
    ) -> Batch:
        """Run many jobs into a folder: `async with client.batch(jobs, "out/") as batch: async for result in batch`.

        The same call goes on where an earlier one ended, however it ended; what is stored is not asked for again.

        Args:
            jobs: Requests or `Job`s, from any iterable or async iterable, pulled lazily. `None` sends what is pending.
            folder: Where images go, and the journal in `.ideogram/`.
            max_cost_usd: The most that may be spent, earlier runs included, and what is in doubt.
            max_downloads: Images that are downloaded at once.
            retry_ambiguous: Whether a job that may have run is sent once more. That can pay twice.
            names: How files are called, such as `{id}-{seed}-{index}`.
            ordered: Whether results come in the order of the input, not as they are ready.
            sidecars: Whether each image gets a JSON file beside it.
            on_event: Called with every event of the batch and its calls, in place of the client's.

        Raises, on entering the block:
            BatchLockedError: If another process is at work in the folder.
            JournalError: If the folder's journal cannot be trusted.
            OSError: If the folder cannot be written.
            ValueError: If a setting makes no sense.
        """
        from ideogram_async._batch.batch import Batch
        from ideogram_async._batch.options import BatchOptions

        view = self if on_event is None else self.with_options(on_event=on_event)
        options = BatchOptions(
            max_cost_usd=max_cost_usd,
            max_downloads=max_downloads,
            retry_ambiguous=retry_ambiguous,
            names=names,
            ordered=ordered,
            sidecars=sidecars,
        )
        return Batch(view._pipeline.transport, self._prices, jobs, Path(folder), options)

    async def run_batch(self, jobs: Jobs | None, folder: str | os.PathLike[str], **options: Any) -> Report:
        """Run a batch to its end, and return its report. Takes and raises what `batch` does."""
        async with self.batch(jobs, folder, **options) as batch:
            async for _ in batch:
                pass

        return batch.report()

    async def plan(self, jobs: Jobs) -> Plan:
        """Go over all jobs of a batch, and say what they would make and cost. Sends nothing."""
        from ideogram_async._batch.plan import make_plan

        return await make_plan(
            jobs,
            self._prices,
            limit=int(self.limiter.statistics().limit),
            max_upload_bytes=self._config.max_upload_bytes,
            loopback=self._config.hosts.loopback,
        )

    def estimate(self, request: Request[Any], /) -> Price:
        """Say what a request will cost in USD, by a dated table; what is not known is `None`. Nothing is sent."""
        return self._prices.estimate(request)


R = TypeVar("R")


class Calls(Wired):
    """Sends what there is to send."""

    async def send(self, request: Request[R], /) -> R:
        """Send any request, and return its answer. Every operation is built on it.

        Raises:
            InvalidRequestError: If the request breaks rules; all of them are listed, and nothing was sent.
            APIStatusError: If the service refuses it or fails.
            NotSentError: If not one byte could be sent.
            AmbiguousError: If it costs money, was sent, and nothing tells whether it ran.
            DecodeError: If a success cannot be read.

        A cancellation ends the wait at once and gives the places back; what was sent goes on at the service.
        """
        return await self._pipeline.send(request)

    async def start(self, request: Request[R], /, *, on_done: OnDone[R] | None = None) -> RunningCall[R]:
        """Send a request in a task of the client's own, so that no cancellation wastes what was paid for.

            call = await client.start(Generate("a red fox"), on_done=keep)
            answer = await call

        Returns as soon as the request is checked, its files are copied, and the call is on its way or in line. From
        then on whoever waits may leave: cancelling `await call` ends the waiting, never the call. At most ten calls
        for each place of the limiter are on their way or in line; more are refused.

        Closing the client gives them a grace period; see `aclose`. What has not ended by then ends with
        `AmbiguousError` if it was sent, else with `NotSentError`. So it does when the event loop ends.

        Args:
            request: Any request.
            on_done: Called once with the call when it has ended, well or badly, whoever waits for it; may be async.
                Without it, keep what is returned: an answer that nobody looks at was paid for all the same.

        Raises:
            InvalidRequestError: If the request breaks rules; nothing was sent.
            NotSentError: If too many are on their way or in line; nothing was sent, try later.

        A cancellation before it returns costs nothing.
        """
        return await self._pipeline.start(request, on_done)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        fields: Mapping[str, Any] | None = None,
        params: Mapping[str, Any] | None = None,
        charged: bool = True,
        weight: int = 1,
    ) -> Reply:
        """Call a path that this library does not know, with the same retry, limiter and errors.

        Args:
            method: The HTTP method. GET costs nothing and takes no place, whatever the last two say.
            path: Below the base URL, from its first `/`.
            json: A JSON body.
            fields: A form: strings, numbers, booleans, `Path`s, bytes, `(name, bytes)` pairs, `ImageFile`s of these,
                dicts as JSON, and lists of all that. `None` is not sent.
            params: The query; lists repeat their name, and `None` is not sent.
            charged: Whether it may cost money, so that it is not repeated when in doubt.
            weight: Images that it has in progress.

        Raises what `send` raises. A cancellation leaves behind what it leaves there.
        """
        from ideogram_async._wire.encode import encode_raw

        call = encode_raw(method, path, json=json, fields=fields, params=params, charged=charged, weight=weight)
        return await self._pipeline.raw(call)


class Images(Wired):
    """Collects images by their links. Costs nothing."""

    async def download(self, image: str | HasUrl, target: str | os.PathLike[str]) -> Path:
        """Store an image, streamed, verified and all at once; return its path.

        An explicit file path is kept exactly. A folder (one that exists, or a string that ends in `/`) is created, and
        gets `<link id>.<extension>`. The same bytes at the target are adopted, other bytes are left as they are.
        Costs nothing; no failure ever leads to a new generation. A cancellation leaves either nothing or all of it.

        Raises:
            DownloadError: One of its kinds, if the image cannot be collected.
            OSError: If the target cannot be written.
        """
        return await self._pipeline.download(lambda downloads: downloads.download(image, target))

    async def fetch(self, image: str | HasUrl) -> bytes:
        """Return an image's bytes, verified. Costs nothing; a cancellation leaves nothing behind.

        Raises:
            DownloadError: One of its kinds, if the image cannot be collected.
        """
        return await self._pipeline.download(lambda downloads: downloads.fetch(image))

    def stream(self, image: str | HasUrl) -> AbstractAsyncContextManager[ImageStream]:
        """Open an image to pass it on while it comes: `async with client.stream(image) as stream`.

        Iterating gives chunks of bytes; `stream.content_type` and `stream.length` (in bytes, `None` where the host does
        not tell) are known before the first. Costs nothing; leaving the block, also by a cancellation, ends the
        connection.

        Raises:
            DownloadError: One of its kinds, on opening or while iterating.
        """
        return self._pipeline.stream(image)


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
        limiter: ClientConfig with other clients of the same account, in place of `max_in_flight`.
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

        from ideogram_async._pipeline import pipeline
        from ideogram_async._pipeline.settings import check_counts, check_kinds, timeout_from_environment
        from ideogram_async._prices import PriceTable

        check_counts(max_in_flight=max_in_flight, max_image_bytes=max_image_bytes, max_upload_bytes=max_upload_bytes)
        check_kinds(
            retry=retry, on_event=on_event, limiter=limiter, session_factory=session_factory, image_hosts=image_hosts
        )
        self._config = pipeline.ClientConfig.of(
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
        self._options = pipeline.RequestOptions(
            timeout=timeout_from_environment() if timeout is None else timeout,
            retry=retry,
            extra_headers=extra_headers,
            validate=validate,
            on_event=on_event,
        )
        self._pipeline = self._assemble()

    @property
    def legacy(self) -> Legacy:
        """The operations of the older models."""
        from ideogram_async._namespaces import Legacy

        return Legacy(self)

    @property
    def datasets(self) -> Datasets:
        """Sets of images to train on."""
        from ideogram_async._namespaces import Datasets

        return Datasets(self)

    @property
    def models(self) -> Models:
        """Custom models."""
        from ideogram_async._namespaces import Models

        return Models(self)

    def __repr__(self) -> str:
        # A traceback that shows locals shows the client whose making has failed, too.
        shared = getattr(self, "_config", None)
        return f"<Ideogram {shared.base_url} {shared.limiter!r}>" if shared else "<Ideogram>"
