"""The client of the Ideogram API."""

from __future__ import annotations

import copy
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Self, TypeVar, overload

from ideogram_async import _types as t
from ideogram_async._names import NamedArguments, named_arguments
from ideogram_async._operations import Request, Sender, operation
from ideogram_async._redaction import Secret
from ideogram_async.files import HasUrl
from ideogram_async.models.base import Price, Reply
from ideogram_async.models.images import ImageAnswer
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
    from ideogram_async._pipeline.pipeline import Pipeline
    from ideogram_async._prices import PriceTable

R = TypeVar("R")
N = TypeVar("N", bound="t.Namespace")
SERVICE = "https://api.ideogram.ai"
MEBIBYTE = 2**20
GRACE = 30.0
"""Seconds for batches and started calls to finish when the client is closed: as containers usually get to stop."""


class NamespaceOf(Generic[N]):
    """A namespace as an attribute: its class on the client class, an instance of it on a client."""

    def __init__(self, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, client: None, owner: type) -> type[N]: ...
    @overload
    def __get__(self, client: Sender, owner: type) -> N: ...
    def __get__(self, client: Sender | None, owner: type) -> type[N] | N:
        # Loaded at its first use: few programs use the older models, or train one.
        namespace: type[N] = getattr(t, self._name)
        return namespace if client is None else namespace(client)


class Ideogram(NamedArguments):
    """A client of the Ideogram image API.

    One client serves any number of tasks, in one event loop after another. Its sessions open at the first call;
    `async with`, `aclose` or the end of the loop closes them, and a later call opens new ones.

    Args:
        api_key: The API key, or a function (plain or async) that returns it and is called for each attempt. Read from
            `IDEOGRAM_API_KEY` if not passed. Without a key, or with an empty one, the first call raises
            `AuthenticationError`.
        base_url: The URL of the service, read from `IDEOGRAM_BASE_URL` if not passed. https, or http to this machine.
        max_in_flight: Concurrency limit of all calls, in images; 10 is what the service allows an account.
        timeout: Seconds for one attempt, or a `Timeout`; read from `IDEOGRAM_TIMEOUT` if not passed, else 300 s. Time
            in the client's own queue does not count.
        retry: The retry policy; see `Retry`.
        limiter: A limiter to share with other clients of the same account, in place of `max_in_flight`.
        prices: Your own prices in USD by rate, such as `{"v3.TURBO": "0.025"}`.
        validate: Whether requests are checked against the service's rules before they are sent.
        on_event: Called with every `Event`; may be async.
        session_factory: Returns the HTTP sessions: `(purpose, **settings) -> aiohttp.ClientSession`, where the purpose
            is `"api"` or `"images"`. Pass the settings on.
        proxy: The URL of an HTTP proxy, such as `http://localhost:3128`.
        trust_env: Whether proxies and netrc are read from the environment.
        extra_headers: Sent with every call to the service, never to image hosts.
        reuse_connections: Whether connections are kept. Faster by a round trip or two, at the risk that a dead
            connection leaves the outcome of a call unknown.
        image_hosts: The hosts that images may be downloaded from; each name includes its subdomains. Any public host
            if not passed.
        max_image_bytes: The largest image to download, in bytes; 64 MiB if not passed.
        max_upload_bytes: The largest file, or group of reference images, to upload, in bytes; 10 MiB if not passed.
        ledger: The record of the calls of `once`, such as a `SqliteLedger`. Closing the client closes it.
        private: Sent with every request of the second contract that has this field and leaves it open, so that results
            stay out of the public feed. `None` leaves it to the service, which may publish them.

    Raises:
        ValueError: If a setting is invalid.
        TypeError: If a setting has a wrong type.
    """

    def __init__(
        self,
        api_key: str | Callable[[], str | Awaitable[str]] | None = None,
        *,
        base_url: str | None = None,
        max_in_flight: int = 10,
        timeout: t.Timeout | float | None = None,
        retry: t.Retry | None = None,
        limiter: t.Limiter | None = None,
        prices: Mapping[str, Decimal | str | float] | None = None,
        validate: bool = True,
        on_event: t.Listener | None = None,
        session_factory: t.SessionFactory | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        extra_headers: Mapping[str, str] | None = None,
        reuse_connections: bool = False,
        image_hosts: Sequence[str] | None = None,
        max_image_bytes: int = 64 * MEBIBYTE,
        max_upload_bytes: int = 10 * MEBIBYTE,
        ledger: t.Ledger | None = None,
        private: bool | None = True,
    ) -> None:
        from ideogram_async._pipeline.pipeline import Pipeline
        from ideogram_async._pipeline.settings import ClientConfig, RequestOptions, parse_proxy
        from ideogram_async._prices import PriceTable

        # First, and in a `finally`: a traceback may show the locals of this frame.
        try:
            # An empty key counts as passed: a tenant without a key must not use the one of the environment.
            api_key = os.environ.get("IDEOGRAM_API_KEY", "") if api_key is None else api_key
            key = api_key if callable(api_key) else Secret(api_key)
            proxy_url = None if proxy is None else parse_proxy(proxy)
        finally:
            del api_key, proxy

        config = ClientConfig.of(
            key=key,
            base_url=(os.environ.get("IDEOGRAM_BASE_URL") or SERVICE) if base_url is None else base_url,
            max_in_flight=max_in_flight,
            limiter=limiter,
            image_hosts=image_hosts,
            session_factory=session_factory,
            proxy=proxy_url,
            trust_env=trust_env,
            reuse_connections=reuse_connections,
            max_image_bytes=max_image_bytes,
            max_upload_bytes=max_upload_bytes,
            ledger=ledger,
            private=private,
        )
        options = RequestOptions(
            timeout=timeout, retry=retry, extra_headers=extra_headers, validate=validate, on_event=on_event
        )
        self._prices: PriceTable = PriceTable(prices)
        self._pipeline: Pipeline = Pipeline(config, options)

    @operation(Generate)
    def generate(self) -> None: ...
    @operation(GenerateTransparent)
    def generate_transparent(self) -> None: ...
    @operation(Inpaint)
    def inpaint(self) -> None: ...
    @operation(Remix)
    def remix(self) -> None: ...
    @operation(Reframe)
    def reframe(self) -> None: ...
    @operation(ReplaceBackground)
    def replace_background(self) -> None: ...
    @operation(RemoveBackground)
    def remove_background(self) -> None: ...
    @operation(LayerizeText)
    def layerize_text(self) -> None: ...
    @operation(Edit)
    def edit(self) -> None: ...
    @operation(Upscale)
    def upscale(self) -> None: ...
    @operation(Describe)
    def describe(self) -> None: ...

    legacy: NamespaceOf[t.Legacy] = NamespaceOf("Legacy")
    datasets: NamespaceOf[t.Datasets] = NamespaceOf("Datasets")
    models: NamespaceOf[t.Models] = NamespaceOf("Models")
    v2: NamespaceOf[t.V2] = NamespaceOf("V2")
    generations: NamespaceOf[t.Generations] = NamespaceOf("Generations")
    account: NamespaceOf[t.Account] = NamespaceOf("Account")
    webhooks: NamespaceOf[t.Webhooks] = NamespaceOf("Webhooks")

    async def send(self, request: Request[R], /) -> R:
        """Send a request and return its answer. Every operation uses it.

        A cancellation ends the wait and releases the slots at once; a call that was sent continues at the service.

        Raises:
            InvalidRequestError: If the request breaks rules; the error lists all of them, and nothing was sent.
            APIStatusError: If the service rejects it or fails.
            NotSentError: If no byte was sent.
            AmbiguousError: If it costs money, was sent, and its outcome is unknown.
            DecodeError: If the answer of a success cannot be read.
        """
        return await self._pipeline.send(request)

    async def start(self, request: Request[R], /, *, on_done: t.OnDone[R] | None = None) -> t.RunningCall[R]:
        """Send a request in a task of the client's own, so that no cancellation loses a billed answer.

            call = await client.start(Generate("a red fox"), on_done=keep)
            answer = await call

        Returns as soon as the request is checked, its files are copied, and the call is in flight or queued. From then
        on, cancelling `await call` ends the wait and never the call. At most ten calls for each slot of the limiter
        are in flight or queued; more are refused. A cancellation before it returns costs nothing.

        Closing the client gives started calls a grace period; see `aclose`. A call that has not ended by then raises
        `AmbiguousError` if it was sent, else `NotSentError`, and so does one that the end of its event loop ends.

        Args:
            request: Any request.
            on_done: Called once with the call when it has ended, with or without an error; may be async. Without it,
                keep the returned call: an unread answer is billed, too.

        Raises:
            InvalidRequestError: If the request breaks rules; nothing was sent.
            NotSentError: If too many calls are in flight or queued; nothing was sent, retry later.
        """
        return await self._pipeline.start(request, on_done)

    async def submit(self, request: Request[object], /, *, webhook_url: str | None = None) -> t.Accepted:
        """Submit a request of the second contract: the service accepts it, and finishes it later.

            async def make(request):
                ticket = await client.submit(request)
                return await client.generations.wait(ticket)

            answers = await asyncio.gather(*map(make, requests))

        The ticket is a value, and `str(ticket)` is the id: once you have stored it, nothing can be lost or billed
        twice. If the service answers at once, `wait` returns that answer without asking.

        The generation holds its slots until `wait` has returned it, the ticket is dropped, or `Timeout.total` has
        passed; without a total, until one of the first two. So submit and wait in the same task, as above: a program
        that submits everything first, and keeps the tickets, waits for slots that nothing releases.

        A cancellation before it returns leaves the outcome unknown, as with every call that costs money.

        Args:
            request: A request that can be accepted, not a description or one of the first contract.
            webhook_url: A public https address that the service calls with the result, at most 2048 characters.

        Raises:
            InvalidRequestError: If the request breaks rules, or cannot be submitted; nothing was sent.
            IdeogramError: What `send` raises.
        """
        return await self._pipeline.submit(request, webhook_url)

    async def quote(self, request: Request[object], /) -> t.Quote:
        """Ask the service for the price of a request. Costs nothing, needs no slot, and is retried like a GET.

            price = await client.quote(v2.UpscaleAuto("poster.png", upscale_factor="x4"))

        The request is sent exactly as `send` would send it; the service checks and prices it, and neither runs it nor
        reviews it for safety.

        Raises:
            InvalidRequestError: If the request breaks rules, or its operation has no quotes; nothing was sent.
            DecodeError: If the service ran the call instead. It was billed: the error has its links and bytes.
            IdeogramError: What `send` raises.
        """
        return await self._pipeline.quote(request)

    async def once(
        self, key: str, request: Request[R], /, *, ledger: t.Ledger | None = None, wait: float | None = None
    ) -> R:
        """Send a request unless the call of this key was sent before, and return its answer.

            async with Ideogram(ledger=SqliteLedger("calls.sqlite3")) as client:
                answer = await client.once("order-4711/hero", Generate("a red fox"))

        The call is on record before its first byte, and its answer before its slots are released. So each key is bought
        once, by however many callers in however many processes that share the ledger, and however often they are
        killed and repeat it. A repeat returns the recorded answer; `answer.meta.replayed` is then set. The links in
        it expire within 24 hours. A call that was certainly not billed frees its key.

        A request that the service can accept first, as most of the second contract, is submitted, and its id is on
        record before the result is asked for. From then on nothing is in doubt: each caller of the key waits for
        that generation, also after its client was killed.

        A cancellation ends the wait. A call that was sent continues, and the next caller of its key gets the answer.
        One that waits for its slots ends with its last caller. Closing the client gives it a grace period; see
        `aclose`.

        Args:
            key: The name of this purchase, 1 to 255 bytes without control characters.
            request: A request that costs money.
            ledger: The record, in place of the client's.
            wait: Seconds to wait for the answer to a call that another caller has sent; `None` waits to its end.

        Raises:
            InvalidRequestError: If the key cannot be used, or the request breaks rules; nothing was sent.
            KeyConflictError: If the key belongs to another request; nothing was sent.
            InProgressError: If another caller's call has no answer after `wait` seconds.
            InDoubtError: If an attempt may have been billed, and its answer is unknown. The key is not sent again
                before it is resolved in the ledger. If the attempt is answered after all, the next call returns it.
            GenerationFailed: If the service has accepted the call, and it has failed; the key is free.
            WaitTimeout: If the service has accepted the call and has not finished it in time, or the client was closed
                before that. Repeat the key to wait again, which costs nothing.
            BudgetError: If the budget of the ledger does not cover the call; nothing was sent.
            LedgerError: If the ledger is unavailable, damaged, or belongs to another service; nothing was sent.
            IdeogramError: What `send` raises, if the call was refused or not sent, or its answer cannot be read.
        """
        return await self._pipeline.once(key, request, prices=self._prices, ledger=ledger, wait=wait)

    async def raw(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        fields: Mapping[str, object] | None = None,
        params: Mapping[str, object] | None = None,
        charged: bool = True,
        weight: int = 1,
    ) -> Reply:
        """Call a path that this library has no request for, with the same retry, limiter and errors.

        Raises what `send` raises; a cancellation has the same effect.

        Args:
            method: The HTTP method. GET costs nothing and needs no slot, regardless of the last two arguments.
            path: The path below the base URL, from its first `/`.
            json: A JSON body.
            fields: A form: strings, numbers, booleans, `Path`s, bytes, `(name, bytes)` pairs, `ImageFile`s of these,
                dicts as JSON, and lists of all these. `None` is omitted.
            params: The query; lists repeat their name, and `None` is omitted.
            charged: Whether it may cost money, so that it is not retried when its outcome is unknown.
            weight: Its number of images in progress.
        """
        from ideogram_async._wire.encode import encode_raw

        call = encode_raw(method, path, json=json, fields=fields, params=params, charged=charged, weight=weight)
        return await self._pipeline.raw(call)

    async def download(self, image: str | HasUrl, target: str | os.PathLike[str]) -> Path:
        """Download an image, streamed, verified and written atomically; return its path.

        A file path is used exactly; the log has a warning if its name states another format than the image has. A
        folder (an existing one, or a string that ends in `/`) is created, and the file in it is named
        `<link id>.<extension>`. A file with the same bytes is kept; one with other bytes is never overwritten. Costs
        nothing; no failure ever leads to a new generation. A cancellation leaves no file or a complete one.

        Raises:
            DownloadError: If the image cannot be downloaded; see its subclasses.
            OSError: If the target cannot be written.
        """
        return await self._pipeline.download(lambda downloads: downloads.download(image, target))

    async def keep(self, image: str | HasUrl | ImageAnswer, sink: t.Sink, *, name: str) -> tuple[t.Stored, ...]:
        """Store an image, or all images of an answer, in a sink, such as an object store. Repeating it is safe.

            kept = await client.keep(answer, ObjectSink(store, "orders/"), name="order-4711")

        An image is named `<name>.<extension>`, those of an answer `<name>-<index>.<extension>`; withheld ones are left
        out. A name with the same bytes is kept; one with other bytes is never overwritten. Costs nothing. Each image
        is verified while it arrives, and an incomplete one is never stored.

        Args:
            image: A link, an image of an answer, or an answer.
            sink: Where to store them; see `ideogram_async.sinks`.
            name: The name without its extension. It may contain `/`.

        Raises:
            DownloadError: If an image cannot be downloaded, after all others are stored; see its subclasses.
            FileConflictError: If a name is taken by other bytes.
            OSError: If the sink cannot be written.
            ValueError: If the name has an empty part, or one that is `.` or `..`.
        """
        return await self._pipeline.download(lambda downloads: downloads.keep(image, sink, name))

    async def fetch(self, image: str | HasUrl) -> bytes:
        """Return an image's bytes, verified. Costs nothing; a cancellation leaves nothing behind.

        Raises:
            DownloadError: If the image cannot be downloaded; see its subclasses.
        """
        return await self._pipeline.download(lambda downloads: downloads.fetch(image))

    def stream(self, image: str | HasUrl) -> AbstractAsyncContextManager[t.ImageStream]:
        """Open an image as a stream of chunks: `async with client.stream(image) as stream`.

        `stream.content_type` and `stream.length` (in bytes, `None` if the host does not send it) are set before the
        first chunk. Costs nothing; leaving the block closes the connection.

        Raises:
            DownloadError: On opening or while iterating; see its subclasses.
        """
        return self._pipeline.stream(image)

    @named_arguments
    def batch(
        self,
        jobs: t.Jobs | None,
        folder: str | os.PathLike[str],
        *,
        max_cost_usd: Decimal | str | float | None = None,
        max_downloads: int = 16,
        retry_ambiguous: bool = False,
        retry_rejected: bool = False,
        accept_loss: bool = False,
        names: str | None = None,
        ordered: bool = False,
        sidecars: bool = False,
        on_event: t.Listener | None = None,
        grace: float = GRACE,
        max_uncollected: int | None = None,
        sink: t.Sink | None = None,
        accept: str = "auto",
    ) -> t.Batch:
        """Run many jobs into a folder: `async with client.batch(jobs, "out/") as batch: async for result in batch`.

        Running the same call again resumes an earlier run. Finished jobs are not sent a second time. Leaving the block
        in any way lets the calls in flight finish; see `Batch`.

        Args:
            jobs: Requests or `Job`s, from any iterable or async iterable, read lazily. `None` sends pending jobs.
            folder: The folder of the journal in `.ideogram/`, and of the images if there is no `sink`.
            max_cost_usd: The budget in USD, including earlier runs and jobs whose outcome is unknown.
            max_downloads: Maximum number of concurrent downloads.
            retry_ambiguous: Whether a job whose outcome is unknown is sent once more. It may be billed twice.
            retry_rejected: Whether a job that the service rejected is sent again.
            accept_loss: Whether a journal that has lost records is used anyway. What it lost may be billed twice.
            names: The template of file names, such as `{id}-{seed}-{index}`.
            ordered: Whether results come in input order instead of completion order.
            sidecars: Whether a JSON file is written next to each image.
            on_event: Called with every event of the batch and its calls, in place of the client's.
            grace: Seconds that calls in flight have to finish after a cancellation; 0 gives them up at once. A second
                cancellation gives them up, too. After any stop, accepted jobs are waited for at most this long.
            max_uncollected: Images that may be billed in a row without one being stored; then the batch waits, and if
                their downloads have failed, stops. The default is twice the limit, at least 10.
            sink: Where the images go, such as an `ObjectSink`; the folder itself if not passed. The journal stays in
                the folder. Every run of a folder has the same sink.
            accept: Which jobs the service accepts first and finishes later, so that a crash leaves at most four jobs in
                doubt: `"auto"`, those whose operation can; `"never"`, none, unless the operation always does;
                `"always"`, all, and others are rejected unpaid. A URL with `{key}`, such as
                `https://example.com/hooks/{key}`, is `"always"` with a webhook for each job; the batch polls as well.

        Raises, on entering the block:
            BatchLockedError: If the folder is locked by another process.
            JournalError: If the folder's journal is damaged or foreign, or its images are in another sink.
            OSError: If the folder or the sink cannot be written.
            ValueError: If a setting is invalid.
        """
        from ideogram_async._batch.batch import Batch
        from ideogram_async._batch.options import BatchOptions, to_folder

        view = self if on_event is None else self.with_options(on_event=on_event)
        options = BatchOptions(
            max_cost_usd=max_cost_usd,
            max_downloads=max_downloads,
            retry_ambiguous=retry_ambiguous,
            retry_rejected=retry_rejected,
            accept_loss=accept_loss,
            names=names,
            ordered=ordered,
            sidecars=sidecars,
            grace=grace,
            max_uncollected=max_uncollected,
            sink=sink,
            accept=accept,
        )
        return Batch(view._pipeline.transport, self._prices, jobs, to_folder(folder), options)

    async def run_batch(
        self, jobs: t.Jobs | None, folder: str | os.PathLike[str], *, progress: bool = False, **options: Any
    ) -> t.Report:
        """Run a batch to its end and return its report. Takes and raises what `batch` does.

        Args:
            jobs: The jobs of `batch`.
            folder: The folder of `batch`.
            progress: Whether the standard error stream, or a notebook, shows the jobs finished, the cost and the images
                in flight: as a bar if tqdm is installed, as text otherwise. The total is shown if `jobs` has a length.
            options: The other arguments of `batch`.
        """
        from ideogram_async._batch.display import ProgressDisplay

        batch = self.batch(jobs, folder, **options)
        # Around the batch, so that it shows how calls in flight finish after a stop.
        with ProgressDisplay(batch, jobs, self.limiter) if progress else nullcontext():
            async with batch:
                async for _ in batch:
                    pass

        return batch.report()

    async def plan(self, jobs: t.Jobs) -> t.Plan:
        """Read all jobs of a batch, and return their number, images, price and problems. Sends nothing."""
        from ideogram_async._batch.plan import make_plan

        return await make_plan(jobs, self._prices, self._pipeline.config)

    def estimate(self, request: Request[object], /) -> Price:
        """Return the price of a request in USD, from a dated table; an unknown price is `None`. Sends nothing."""
        return self._prices.estimate(request)

    @property
    def limiter(self) -> t.Limiter:
        """The limiter of images in progress; `statistics()` returns its state."""
        return self._pipeline.config.limiter

    @named_arguments
    def with_options(
        self,
        *,
        timeout: t.Timeout | float | None = None,
        retry: t.Retry | None = None,
        extra_headers: Mapping[str, str] | None = None,
        validate: bool | None = None,
        on_event: t.Listener | None = None,
    ) -> Self:
        """Return a view with other options; it shares the sessions and the limiter. `None` keeps an option."""
        from ideogram_async._pipeline.pipeline import Pipeline
        from ideogram_async._pipeline.settings import RequestOptions

        current = self._pipeline.options
        options = RequestOptions(
            timeout=current.timeout if timeout is None else timeout,
            retry=current.retry if retry is None else retry,
            extra_headers=current.extra_headers if extra_headers is None else extra_headers,
            validate=current.validate if validate is None else validate,
            on_event=current.on_event if on_event is None else on_event,
        )
        view = copy.copy(self)
        view._pipeline = Pipeline(self._pipeline.config, options)
        return view

    def __copy__(self) -> Self:
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__)
        return view

    def __reduce__(self) -> NoReturn:
        # Connections, the limiter and the key stay in their process.
        raise TypeError("a client cannot be pickled or deep-copied: create one in each process, with Ideogram()")

    async def aclose(self, *, grace: float = GRACE) -> None:
        """Close the running loop's sessions. A second call does nothing; a later API call opens new sessions.

        Batches send nothing new. They, started and keyed calls get `grace` seconds to finish. Then calls in flight end:
        `AmbiguousError` for those that were sent and cost money, `NotSentError` for the rest; batches and ledgers list
        theirs as ambiguous. A cancellation changes nothing, a second one ends the grace period.

        Args:
            grace: Seconds; 0 gives up at once. If several tasks close the client, the shortest period counts.
        """
        await self._pipeline.config.sessions.close(grace)
        if (ledger := self._pipeline.config.ledger) is not None:
            await ledger.aclose()

    if not TYPE_CHECKING:

        def __enter__(self) -> NoReturn:
            raise TypeError("use `async with` for a client, not `with`")

        def __exit__(self, *_: object) -> None: ...

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        # A traceback that shows locals also shows a client whose construction failed.
        pipeline = getattr(self, "_pipeline", None)
        return f"<Ideogram {pipeline.config.base_url} {pipeline.config.limiter!r}>" if pipeline else "<Ideogram>"
