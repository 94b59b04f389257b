"""Answers of the second contract."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Self

from attrs import field, frozen

from ideogram_async.models.base import Answer, Item, JsonObject, ListAnswer
from ideogram_async.models.images import ImageAnswer, RemoveBackgroundImageObject
from ideogram_async.v2.json_prompt import JsonPrompt

MICROS, MILLIS = 1_000_000, 1_000


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GenerationItem(Item):
    """Base class of what a generation contains."""

    object_type: str | None = None
    """The kind of item; absent for an image."""

    @classmethod
    def _class_of(cls, value: Mapping[str, object], /) -> type["GenerationItem"]:
        """Return the class of an item, by its type. A class that is unknown here does not harm its siblings."""
        return ITEMS.get(value.get("object_type"), UnknownItem)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Image(RemoveBackgroundImageObject, GenerationItem):
    """An image."""

    prompt: str | None = None
    """The prompt used: not the one sent, if magic prompt rewrote it."""
    seed: int | None = None
    """The seed used."""
    resolution: str | None = None
    """Width by height in pixels."""
    asset_id: str | None = None
    """Its id, if it is stored on the account."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Layered(RemoveBackgroundImageObject, GenerationItem):
    """An image whose text is separate. Both of its pictures are stored."""

    base_image_url: str | None = None
    """Link to the image without text, valid for at most 24 hours."""
    text_blocks: tuple[JsonObject, ...] = ()
    """The blocks of text: words, position, color and font, as parsed JSON."""
    html_url: str | None = None
    """Link to the design as HTML. It is not stored."""
    seed: int | None = None
    resolution: str | None = None
    """Width by height in pixels."""
    prompt: None = None

    @property
    def pictures(self) -> tuple[Image, ...]:
        """The image without text, and the original."""
        return tuple(
            Image(url=url, is_image_safe=self.is_image_safe, seed=self.seed, resolution=self.resolution)
            for url in (self.base_image_url, self.url)
        )


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class UnknownItem(GenerationItem):
    """An item of another kind, such as SVG or a video. It is not stored: SVG may contain scripts."""

    raw: JsonObject = field(factory=dict)
    """The item, as parsed JSON."""

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> Self:
        """Return the item with the content of a JSON object."""
        return cls(object_type=str(value.get("object_type")), raw=dict(value))


ITEMS: Mapping[object, type[GenerationItem]] = {
    None: Image,
    "image.generation": Image,
    "image.without-prompt-or-seed": Image,
    "layerized_image": Layered,
    "layerized_design.generation": Layered,
}


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Generation(ImageAnswer, ListAnswer[GenerationItem]):
    """The result of a generation, from a synchronous call, a poll or a webhook. Iteration yields its items."""

    generation_id: str | None = None
    """The id, to poll for; absent only in some synchronous answers."""
    data: tuple[GenerationItem, ...] = ()
    """The items, usually `Image`s. Each is billed, also one that is not safe and has no link."""
    status: str = "completed"
    """pending, completed or failed."""
    seed: int | None = None
    generation_kind: str | None = None
    width: int | None = None
    """In pixels."""
    height: int | None = None
    """In pixels."""
    created: datetime | None = None
    usage_cost_usd: Decimal | None = None
    """The cost, if the service states it."""
    failure_reason: str | None = None
    """The reason, if it failed."""

    @classmethod
    def _prepare(cls, value: Mapping[str, object]) -> Mapping[str, object]:
        """Return the fields of a JSON object, with the cost in dollars."""
        if "data" not in value and not value.get("generation_id"):
            raise KeyError("data")

        micros = value.get("usage_cost_usd_micros")
        if type(micros) is not int:
            return value

        rest = {name: item for name, item in value.items() if name != "usage_cost_usd_micros"}
        return {**rest, "usage_cost_usd": Decimal(micros) / MICROS}

    @property
    def images(self) -> tuple[Image, ...]:
        """All pictures, in the order of the answer. A `Layered` item has two."""
        pictures: list[Image] = []
        for item in self.data:
            pictures += item.pictures if isinstance(item, Layered) else [item] if isinstance(item, Image) else []

        return tuple(pictures)

    @property
    def _items(self) -> tuple[GenerationItem, ...]:
        return self.data


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Quote(Answer):
    """The price of a request, stated by the service. It reserves nothing, and states no balance."""

    usd: Decimal
    """The price of the whole request."""
    worst_usd: Decimal
    """The most that it can cost: `usd`, unless the price is an estimate."""
    quantity: int
    """Units that are billed, usually images."""
    billing_identifier: str
    """The service's name of what is billed."""
    credits: Decimal
    """The price in credits of the service."""
    exact: bool
    """Whether the price is certain, and not an estimate."""

    @classmethod
    def _prepare(cls, value: Mapping[str, object]) -> Mapping[str, object]:
        """Return the fields of a JSON object, with amounts in whole units."""
        usd, bound = _amount(value["usd_micros"], MICROS), value.get("upper_bound_usd_micros")
        worst = usd if bound is None else max(usd, _amount(bound, MICROS))
        amounts = {"usd": usd, "worst_usd": worst, "credits": _amount(value["credit_millis"], MILLIS)}
        known = {"object", "qualifier", "usd_micros", "upper_bound_usd_micros", "credit_millis"}
        rest = {name: item for name, item in value.items() if name not in known}
        return {**rest, **amounts, "exact": value["qualifier"] == "exact"}


def _amount(value: object, parts: int) -> Decimal:
    if type(value) is not int:
        raise TypeError(f"expected int, got {type(value).__name__}")

    return Decimal(value) / parts


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class GeneratedDescription(Item):
    """A description of an image."""

    text: str


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DescribeImageIdeogramV3Response(ListAnswer[GeneratedDescription]):
    """Descriptions of an image. Iteration yields the descriptions."""

    created: datetime
    description_id: str
    descriptions: tuple[GeneratedDescription, ...]

    @property
    def _items(self) -> tuple[GeneratedDescription, ...]:
        return self.descriptions


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DescribeImageIdeogramV4Response(Answer):
    """A description of an image as a structured prompt."""

    created: datetime
    description_id: str
    json_prompt: JsonPrompt
    """The description. It can be changed, and sent as a prompt."""


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class MagicPromptV4Response(Answer):
    """A structured prompt, made from a text."""

    aspect_ratio: str
    json_prompt: JsonPrompt
    """The prompt. It can be changed, and sent."""
