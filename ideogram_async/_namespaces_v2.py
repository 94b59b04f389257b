"""Groups of operations of the second contract, such as `client.v2` and `client.webhooks`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

import attrs

from ideogram_async import v2, webhooks
from ideogram_async._accepted import Accepted
from ideogram_async._namespaces import Namespace
from ideogram_async._operations import operation

if TYPE_CHECKING:
    from ideogram_async._client import Ideogram
    from ideogram_async._pipeline.pipeline import Pipeline

FETCH_SECONDS = 10.0
"""Time to fetch the keys of webhooks."""


class V2(Namespace):
    """Operations of the second contract."""

    @operation(v2.Generate46)
    def generate_46(self) -> None: ...
    @operation(v2.Generate45)
    def generate_45(self) -> None: ...
    @operation(v2.Generate4)
    def generate_4(self) -> None: ...
    @operation(v2.Generate4Transparent)
    def generate_4_transparent(self) -> None: ...
    @operation(v2.Generate3)
    def generate_3(self) -> None: ...
    @operation(v2.Generate3Character)
    def generate_3_character(self) -> None: ...
    @operation(v2.PreciseEdit46)
    def precise_edit_46(self) -> None: ...
    @operation(v2.PreciseEdit45)
    def precise_edit_45(self) -> None: ...
    @operation(v2.Inpaint3)
    def inpaint_3(self) -> None: ...
    @operation(v2.Remix4)
    def remix_4(self) -> None: ...
    @operation(v2.Remix3)
    def remix_3(self) -> None: ...
    @operation(v2.Reframe3)
    def reframe_3(self) -> None: ...
    @operation(v2.RemoveBackground)
    def remove_background(self) -> None: ...
    @operation(v2.ReplaceBackground3)
    def replace_background_3(self) -> None: ...
    @operation(v2.UpscaleAuto)
    def upscale_auto(self) -> None: ...
    @operation(v2.Describe3)
    def describe_3(self) -> None: ...
    @operation(v2.Describe4)
    def describe_4(self) -> None: ...
    @operation(v2.Layerize3)
    def layerize_3(self) -> None: ...
    @operation(v2.MagicPrompt4)
    def magic_prompt_4(self) -> None: ...


class ClientNamespace(Namespace):
    """A group of operations that need more of their client than `send`."""

    def __init__(self, client: Ideogram) -> None:
        super().__init__(client)
        self._pipeline: Pipeline = client._pipeline  # pyright: ignore[reportPrivateUsage]


class Generations(ClientNamespace):
    """Generations that the service has accepted."""

    async def get(self, generation_id: str | Accepted, *, version: Literal["v1", "v2"] = "v2") -> v2.Generation:
        """Read a generation, in whatever state it is. Costs nothing.

        Args:
            generation_id: The id, or what `client.submit` returned.
            version: The version of the interface that made it.

        Raises:
            NotFoundError: If there is none.
            IdeogramError: What `send` raises.
        """
        request = v2.GetGenerationV1 if version == "v1" else v2.GetGeneration
        return await self.send(request(str(generation_id)))

    async def wait(self, ticket: str | Accepted, *, timeout: float | None = 600.0) -> v2.Generation:
        """Wait until a generation has ended, and return it. Costs nothing, and can be repeated in any process.

        It holds the slots of the generation: those of its `submit` if it was this client's, others if not.
        A cancellation loses nothing.

        Args:
            ticket: What `client.submit` returned, or an id.
            timeout: Seconds to wait, without the time in this client's own queue; `None` means no limit.

        Raises:
            GenerationFailed: If it has failed, which counts as not billed.
            WaitTimeout: If it has not ended in time, or the service does not know its id after a minute.
            APIStatusError: If the service refuses to answer.
        """
        return await self._pipeline.wait(ticket, timeout)


class Account(Namespace):
    """The account of the API key."""

    @operation(v2.GetAccountUsage)
    def usage(self) -> None: ...


class Webhooks(ClientNamespace):
    """Deliveries to a webhook, and the keys that verify them."""

    @operation(v2.GetWebhookKeys)
    def keys(self) -> None: ...

    async def unwrap(
        self, body: bytes, headers: webhooks.Headers, tolerance: float | None = webhooks.TOLERANCE
    ) -> webhooks.WebhookEvent:
        """Check the signature of a delivery with the service's keys, and return its content.

        The keys are cached for at most 24 hours. If none verifies the signature, they are fetched again, at most once a
        minute, however many forged deliveries arrive. Needs the extra `webhooks`.

        Args:
            body: The body, as it was received: parsed and serialized JSON has other bytes, and so another signature.
            headers: The headers of the request: a mapping or pairs, with names in any case.
            tolerance: Seconds between now and the time of the signature; `None` accepts any time.

        Raises:
            WebhookError: If the delivery is forged, stale or unreadable. Answer it with 400.
            IdeogramError: If the keys cannot be fetched. Answer with 503, so that the service repeats the delivery.
            TypeError: If `body` is not bytes.
            ImportError: If the extra `webhooks` is not installed.
        """
        now = time.time()
        delivery = webhooks.Delivery.of(body, headers)
        cache = self._pipeline.config.webhook_keys
        keys = await cache.current(self._fetch_keys)
        key_id = delivery.find_key(keys)
        if key_id is None and (newer := await cache.newer(keys, self._fetch_keys)) is not None:
            key_id = delivery.find_key(newer)

        return delivery.open(key_id, now=now, tolerance=tolerance)

    async def _fetch_keys(self) -> v2.WebhookSigningJwks:
        from ideogram_async._pipeline.pipeline import Pipeline

        config, options = self._pipeline.config, self._pipeline.options
        # The service waits for the response to its delivery.
        deadline = min(options.retry.deadline or FETCH_SECONDS, FETCH_SECONDS)
        options = attrs.evolve(options, retry=attrs.evolve(options.retry, deadline=deadline))
        return await Pipeline(config, options).send(v2.GetWebhookKeys())
