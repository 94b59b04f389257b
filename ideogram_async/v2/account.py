"""Reading a generation, the usage of the account, and the keys of webhooks."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import ClassVar

from attrs import field, frozen

from ideogram_async._operations import Body, Endpoint, Request
from ideogram_async.enums import Unchecked
from ideogram_async.models.base import Item, JsonObject, ListAnswer
from ideogram_async.requests._rules import RequestBase, Text, Texts, as_texts, field_rule
from ideogram_async.v2._fields import documented
from ideogram_async.v2._rules import AwareTime
from ideogram_async.v2._values import BucketWidth, UsageSource, one_of
from ideogram_async.v2.answers import Generation

SPANS = {"1d": timedelta(days=92), "1h": timedelta(hours=168)}
"""The longest time that one answer covers."""


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class GetGeneration(RequestBase, Request[Generation]):
    """Read a generation.

    Source: https://developer.ideogram.ai/ideogram-api/production-integration
    """

    endpoint: ClassVar[Endpoint] = Endpoint("GET", "/v2/generations/{generation_id}", Body.QUERY, Generation)

    generation_id: str = field(metadata=field_rule(Text(may_be_empty=False), doc="The id of the generation."))


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class GetGenerationV1(GetGeneration):
    """Read a generation of the first version of the interface.

    Source: https://developer.ideogram.ai/ideogram-api/production-integration
    """

    endpoint: ClassVar[Endpoint] = Endpoint("GET", "/v1/generations/{generation_id}", Body.QUERY, Generation)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class WebhookSigningJwk(Item):
    """A public key of webhook deliveries, as a JSON Web Key."""

    kty: str | None = None
    crv: str | None = None
    x: str | None = None
    kid: str | None = None
    alg: str | None = None
    use: str | None = None

    @classmethod
    def _prepare(cls, value: Mapping[str, object]) -> Mapping[str, object]:
        """Return the fields of a JSON object. A key that cannot be used must not hide the others."""
        return {name: item for name, item in value.items() if isinstance(item, str)}


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class WebhookSigningJwks(ListAnswer[WebhookSigningJwk]):
    """The public keys of webhook deliveries: the current one, and those retired recently. Iteration yields them."""

    signing_keys: tuple[WebhookSigningJwk, ...]
    """The keys, `keys` in the JSON."""

    @classmethod
    def _prepare(cls, value: Mapping[str, object]) -> Mapping[str, object]:
        """Return the fields of a JSON object. `keys` is a method of all answers."""
        return {"signing_keys" if name == "keys" else name: item for name, item in value.items()}

    @property
    def _items(self) -> tuple[WebhookSigningJwk, ...]:
        return self.signing_keys


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class GetWebhookKeys(RequestBase, Request[WebhookSigningJwks]):
    """Read the public keys of webhook deliveries. No API key is sent.

    Source: https://developer.ideogram.ai/ideogram-api/webhooks
    """

    endpoint: ClassVar[Endpoint] = Endpoint(
        "GET", "/v1/.well-known/jwks.json", Body.QUERY, WebhookSigningJwks, needs_key=False
    )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class AccountUsageBilledUnits(Item):
    """Units of a line, such as images."""

    quantity: Decimal
    unit: str
    unit_price: Decimal


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class AccountUsageApiKey(Item):
    """An API key, without its secret."""

    id: str
    label: str | None = None
    redacted_key: str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class AccountUsageLineItem(Item):
    """Billed units and cost of one product in one bucket."""

    product: str
    endpoint: str
    description: str
    source: str
    cost_total: Decimal
    currency_code: str
    billed_units: AccountUsageBilledUnits | None = None
    api_key: AccountUsageApiKey | None = None
    user_email: str | None = None
    dimensions: JsonObject | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class AccountUsageBucket(Item):
    """Billed products of a day or an hour."""

    start_time: datetime
    end_time: datetime
    line_items: tuple[AccountUsageLineItem, ...]


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GetAccountUsageResponse(ListAnswer[AccountUsageBucket]):
    """Billed products of the account, in buckets. Iteration yields the buckets."""

    buckets: tuple[AccountUsageBucket, ...]

    @property
    def _items(self) -> tuple[AccountUsageBucket, ...]:
        return self.buckets


@frozen(slots=False, eq=False, repr=False, field_transformer=documented)
class GetAccountUsage(RequestBase, Request[GetAccountUsageResponse]):
    """Read what the account was billed. Lags by minutes. The owner of the key needs the right to see billing.

    Source: https://developer.ideogram.ai/api-reference/account/usage
    """

    endpoint: ClassVar[Endpoint] = Endpoint("GET", "/v2/account/usage", Body.QUERY, GetAccountUsageResponse)

    start_time: datetime = field(metadata=field_rule(AwareTime(), doc="Start, with a time zone."))
    end_time: datetime | None = field(
        default=None, kw_only=True, metadata=field_rule(AwareTime(), doc="End, with a time zone; now by default.")
    )
    bucket_width: BucketWidth | Unchecked | None = field(
        default=None,
        kw_only=True,
        metadata=field_rule(
            one_of("BucketWidth", BucketWidth),
            doc="1d (default) for days, at most 92 of them, or 1h for hours, at most 168.",
        ),
    )
    sources: Iterable[UsageSource | str] | None = field(
        default=None,
        kw_only=True,
        converter=as_texts,
        metadata=field_rule(Texts(one_of("UsageSource", UsageSource)), doc="api, app or both (default)."),
    )

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        yield from super()._conflicts()
        end = datetime.now(UTC) if self.end_time is None else self.end_time
        if not all(isinstance(each, datetime) and each.tzinfo for each in (self.start_time, end)):  # pyright: ignore[reportUnnecessaryIsInstance]
            return

        width = str(self.bucket_width or "1d")
        if end < self.start_time:
            yield "start_time", "must be before end_time"
        elif end - self.start_time > SPANS.get(width, timedelta.max):
            yield "start_time", f"must be at most {SPANS[width]} before end_time with buckets of {width}"

    def sent_fields(self) -> Iterator[tuple[str, object]]:
        """Yield the fields that are sent, with times in ISO 8601."""
        for name, value in super().sent_fields():
            yield name, value.isoformat() if isinstance(value, datetime) else value
