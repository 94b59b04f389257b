"""Operations of the contract: a request class, exposed as a method.

    @operation(Generate)
    def generate(self) -> None: ...

The method is a coroutine function with the signature and the docstring of the class, so both are written once.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Coroutine, Iterator
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    Protocol,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

from attrs import frozen

from ideogram_async._names import NamedArguments
from ideogram_async.files import ImageSource
from ideogram_async.models.images import ImageAnswer

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S", bound="Sender")

MAX_VALUES = 4
"""Values of a closed list that a signature shows."""

CHARGED = """Returns `{answer}`.

Raises `InvalidRequestError` before anything is sent, `APIStatusError` if the service refuses or fails, `NotSentError`
if no byte was sent, `AmbiguousError` if it was sent and its outcome is unknown, and `DecodeError` if its answer cannot
be read. `error.billed` states whether the call was billed.

A cancellation ends the wait at once, not the work: a call that was sent continues at the service, and is billed."""

FREE = """Returns `{answer}`. Costs nothing.

Raises `InvalidRequestError` before anything is sent, `APIStatusError` if the service refuses or fails,
`TransportError` if no answer was received, and `DecodeError` if the answer cannot be read.

A cancellation leaves nothing behind."""


class Body(Enum):
    """Encoding of a request's fields."""

    FORM = "multipart/form-data"
    JSON = "application/json"
    QUERY = None
    """In the URL; there is no body."""
    AUTO = "multipart/form-data or application/json"
    """A form if a file is sent, JSON otherwise."""


class Accept(Enum):
    """Support of an operation for calls that are accepted first and finished later."""

    NEVER = "never"
    OPTIONAL = "optional"
    """If the call asks for it."""
    ALWAYS = "always"


@frozen
class Endpoint:
    """An operation of the contract."""

    method: str
    path: str
    """As in the contract: `{dataset_id}` is replaced by the field of that name."""
    body: Body
    answer: type[Any]
    envelope: str | None = None
    """The JSON object that contains every field but the files, if the contract has one."""
    accept: Accept = Accept.NEVER
    has_webhook: bool = False
    """Whether the service calls a webhook with the result."""
    has_quote: bool = False
    """Whether the service states the price of a request without running it. Elsewhere the call may run."""
    needs_key: bool = True
    """Whether the API key is sent."""
    fixed_images: int | None = None
    """Images in the answer, if it does not depend on the request."""

    @property
    def charged(self) -> bool:
        """Return whether a call may cost money: every POST. Sending it again may bill again."""
        return self.method == "POST"

    @property
    def makes_images(self) -> bool:
        """Return whether the answer contains images."""
        return issubclass(self.answer, ImageAnswer)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class _Bare(str):
    """An annotation that `help` shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@cache
def _short(annotation: object) -> _Bare:
    """Return an annotation as in the source: without module names, with the name of its alias, and few values."""
    if annotation != ImageSource and get_origin(annotation) in (Union, UnionType):
        parts, sources = get_args(annotation), get_args(ImageSource)
        if {*sources} <= {*parts}:
            parts = (ImageSource, *(part for part in parts if part not in sources))

        return _Bare(" | ".join(map(_short, parts)))

    if get_origin(annotation) is Literal:
        values = [repr(value) for value in get_args(annotation)]
        shown = values if len(values) <= MAX_VALUES else [*values[:MAX_VALUES], "..."]
        return _Bare(f"Literal[{', '.join(shown)}]")

    text = "None" if annotation is NoneType else inspect.formatannotation(annotation)
    return _Bare(re.sub(r"\b(?:\w+\.)+", "", text.replace(inspect.formatannotation(ImageSource), "ImageSource")))


class _ShortSignature:
    """The signature of a request class, as `help` and live sessions show it."""

    def __get__(self, request: object, owner: Any) -> inspect.Signature:
        _, *parameters = inspect.signature(owner.__init__).parameters.values()
        return inspect.Signature([each.replace(annotation=_short(each.annotation)) for each in parameters])


class Request(NamedArguments, Generic[R_co]):
    """A value that `Ideogram.send` accepts."""

    __attrs_attrs__: ClassVar[Any]
    endpoint: ClassVar[Endpoint]
    """The operation that it is sent to."""
    mode_fields: ClassVar[tuple[str, ...]] = ()
    """Fields that decide how it is sent, and are not part of what is sent."""

    if not TYPE_CHECKING:  # Type checkers read the fields from `__init__`.
        __signature__ = _ShortSignature()

    def problems(
        self, *, max_upload_bytes: int = 10 * 2**20, loopback: bool = False, validate: bool = True
    ) -> list[tuple[str, str]]:
        """Return every problem as `(field, rule)`; an empty list means that the request can be sent."""
        raise NotImplementedError

    def sent_fields(self) -> Iterator[tuple[str, object]]:
        """Yield the fields that are sent, under their names on the wire."""
        raise NotImplementedError


class Sender(Protocol):
    """A class that has operations."""

    async def send(self, request: Request[R], /) -> R:
        """Send a request and return its answer."""
        ...


def operation(
    request: Callable[P, Request[R]],
) -> Callable[[Callable[[S], None]], Callable[Concatenate[S, P], Coroutine[Any, Any, R]]]:
    """Expose a request class as a method, which replaces the decorated one."""

    def decorate(stub: Callable[[S], None]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
        async def send(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return await self.send(request(*args, **kwargs))

        _describe(send, stub, cast("type[Request[object]]", request))
        return send

    return decorate


def operations_of(owner: type) -> dict[str, type[Request[object]]]:
    """Return the request classes of a class's operations, by the name of the method."""
    return {name: method.request_class for name, method in vars(owner).items() if hasattr(method, "request_class")}


def summary_of(request: type) -> str:
    """Return the docstring of a request class without its `Args` section."""
    return (inspect.getdoc(request) or "").partition("\n\nArgs:\n")[0]


def field_docs(request: type) -> dict[str, str]:
    """Return the documentation of each field, from the `Args` section of a request class."""
    arguments = (inspect.getdoc(request) or "").partition("\n\nArgs:\n")[2]
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {8}.*)*)", arguments, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text) for name, text in entries}


def _describe(method: Any, stub: Callable[..., object], request: type[Request[object]]) -> None:
    """Set a method's name from its stub, and its signature and docstring from its request class."""
    endpoint = request.endpoint
    parameters = inspect.signature(request).parameters.values()
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__, method.__qualname__, method.__module__ = stub.__name__, stub.__qualname__, stub.__module__
    method.__signature__ = inspect.Signature([this, *parameters], return_annotation=endpoint.answer)
    method.__annotations__ = {**request.__init__.__annotations__, "return": endpoint.answer}
    ending = (CHARGED if endpoint.charged else FREE).format(answer=endpoint.answer.__name__)
    method.__doc__ = f"{inspect.getdoc(request) or ''}\n\n{ending}"
    method.request_class = request
