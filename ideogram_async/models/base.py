"""Base classes of answers, and the values that all operations share."""

from abc import abstractmethod
from collections.abc import Iterator, KeysView, Mapping, Sequence
from datetime import date
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeAlias, TypeVar, overload, runtime_checkable

import attrs
from attrs import field, frozen

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

__all__ = ["Answer", "Item", "LimiterStatistics", "ListAnswer", "Price", "Reply"]

T = TypeVar("T")
JsonObject: TypeAlias = dict[str, Any]
"""A JSON object."""


@runtime_checkable
class _HasDict(Protocol):
    """A value with a form in JSON: an item, or a structured prompt."""

    def to_dict(self) -> JsonObject: ...


@frozen(kw_only=True)
class Reply:
    """A response of the service as it was received. A decoded answer keeps it as `answer.meta`."""

    status: int
    headers: dict[str, str] = field(factory=dict, repr=False)
    """Response headers, with names in lower case."""
    raw: bytes = field(repr=False)
    """The body, complete unless `cut` is set."""
    cut: str | None = None
    """The reason, if the body is truncated."""
    attempts: int = 1
    """Number of attempts, including those rejected with 429."""
    elapsed: float = 0.0
    """Seconds from the start of the last attempt to the last byte."""
    in_doubt: bool = False
    """Whether an earlier attempt of the same call may have been processed and billed, too."""
    is_empty: bool = False
    """Whether the answer to a call that costs money has no items, such as images."""
    replayed: bool = False
    """Whether the answer comes from a ledger, or from another caller of the same key: this call was not sent."""

    @property
    def is_success(self) -> bool:
        """Return whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def request_id(self) -> str | None:
        """The request id, to quote to the service's support."""
        return self.headers.get("x-request-id") or self.headers.get("cf-ray")

    def json(self) -> Any:
        """Parse the body.

        Raises:
            ValueError: If the body is not valid JSON.
        """
        import json

        try:
            return json.loads(self.raw)
        except UnicodeDecodeError:
            return json.loads(self._declared_text())
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def _declared_text(self) -> str:
        """Decode a body that is not Unicode by the character set that the response declares."""
        import re

        charset = re.search(r"""charset\s*=\s*["']?([\w.:-]+)""", self.headers.get("content-type", ""), re.IGNORECASE)
        try:
            return self.raw.decode(charset[1] if charset else "utf-8")
        except LookupError:
            raise ValueError(f"the character set {charset and charset[1]!r} is not known") from None


@frozen(slots=False, eq=False, repr=False)
class _ValueObject:
    """Base class with repr, equality and hash by field, except fields declared with `repr=False` or `eq=False`."""

    def __repr__(self) -> str:
        # `None` means that a field is not set, and most fields of most values are not.
        fields = [field for field in attrs.fields(type(self)) if field.repr and getattr(self, field.name) is not None]
        positional = [repr(getattr(self, field.name)) for field in fields if not field.kw_only]
        named = [f"{field.name}={getattr(self, field.name)!r}" for field in fields if field.kw_only]
        return f"{type(self).__name__}({', '.join(positional + named)})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._content() == other._content()

    def __hash__(self) -> int:
        return hash((type(self), self._content()))

    def _content(self) -> tuple[object, ...]:
        return tuple(getattr(self, field.name) for field in attrs.fields(type(self)) if field.eq)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Item(_ValueObject):
    """An object in an answer."""

    extra: JsonObject = field(factory=dict, eq=False, repr=False)
    """Fields that the service sent in addition to the API contract, as parsed JSON."""

    def to_dict(self) -> JsonObject:
        """Return the fields as values that `json.dumps` accepts, with those of `extra` and without `meta`."""
        values = {name: getattr(self, name) for name in contract_fields(type(self))} | self.extra
        return {name: _json_value(value) for name, value in values.items()}

    @classmethod
    def _prepare(cls, value: Mapping[str, object]) -> Mapping[str, object]:
        """Return the fields of a JSON object under the names of this class."""
        return value

    @classmethod
    def _class_of(cls, _value: Mapping[str, object], /) -> "type[Item]":
        """Return the class of a JSON object: this one, or one of its subclasses."""
        return cls

    # With these two, `dict(answer)` is `to_dict()`: FastAPI encodes what a route returns that way.
    def keys(self) -> KeysView[str]:
        """Return the names of `to_dict()`."""
        return self.to_dict().keys()

    def __getitem__(self, name: str) -> object:
        if not isinstance(name, str):
            raise TypeError(f"a field is named by a string, not by {name!r}")

        return self.to_dict()[name]

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: "GetCoreSchemaHandler") -> "CoreSchema":
        from ideogram_async.models._pydantic import core_schema_of

        return core_schema_of(cls, contract_fields, handler)


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Answer(Item):
    """The decoded response to a call."""

    meta: Reply = field(default=Reply(status=200, raw=b""), eq=False, repr=False)
    """The response that it was decoded from: status, request id, headers, attempts, seconds and bytes."""

    def _rows(self) -> Sequence[Mapping[str, object]]:
        """Return what a notebook shows."""
        return [self.to_dict()]

    def _repr_html_(self) -> str:
        from ideogram_async._html import table

        return table(type(self).__name__, self._rows())


class ListAnswer(Answer, Generic[T]):
    """Base class of answers with exactly one list: `for`, `len()` and `[i]` use its items."""

    @property
    @abstractmethod
    def _items(self) -> tuple[T, ...]: ...

    def _rows(self) -> Sequence[Mapping[str, object]]:
        return [item.to_dict() if isinstance(item, Item) else {"value": item} for item in self._items]

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __bool__(self) -> bool:
        # An answer without items is not false.
        return True

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    @overload
    def __getitem__(self, index: str) -> object: ...
    def __getitem__(self, index: int | slice | str) -> object:
        return super().__getitem__(index) if isinstance(index, str) else self._items[index]


@frozen(kw_only=True)
class Price:
    """The estimated price of a request."""

    usd: Decimal | None
    """Price of the whole call; `None` if it is unknown."""
    per_image: Decimal | None
    """Price of one image, or of one call if the service bills per call."""
    as_of: date | None
    """Date when the source was read."""
    source: str | None
    """URL of the price, or `caller` for one of your own. A price that may change soon is marked (preview)."""


@frozen(kw_only=True)
class LimiterStatistics:
    """The state of the limiter in the running event loop."""

    limit: float
    """Maximum number of images in progress: the configured one, or less after a 429."""
    in_flight: int
    """Number of images in progress."""
    waiting: int
    """Number of queued calls."""
    rejected: int
    """Number of calls that the service rejected with 429."""


def contract_fields(item: type[Item]) -> "dict[str, attrs.Attribute[Any]]":
    """Return the fields that the contract defines for a class, by name."""
    return {field.name: field for field in attrs.fields(item) if field.name not in ("extra", "meta")}


def _json_value(value: object) -> object:
    match value:
        case _HasDict():
            return value.to_dict()
        case dict():
            return {key: _json_value(item) for key, item in value.items()}
        case list() | tuple():
            return [_json_value(item) for item in value]
        case Enum():
            return value.value
        case date():
            return value.isoformat()
        case Decimal():
            return str(value)
        case _:
            return value
