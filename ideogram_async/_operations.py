"""Operations of the contract: a request class, exposed as a method.

    @operation(Generate)
    def generate(self) -> None: ...

The method is a coroutine function with the signature and the docstring of the class, so both are written once.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Coroutine
from enum import Enum
from functools import cache
from typing import Any, ClassVar, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

from attrs import frozen

from ideogram_async.files import ImageSource
from ideogram_async.models.images import ImageAnswer

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
S = TypeVar("S", bound="Sender")

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


class Request(Generic[R_co]):
    """A value that `Ideogram.send` accepts."""

    __attrs_attrs__: ClassVar[Any]
    endpoint: ClassVar[Endpoint]
    """The operation that it is sent to."""

    def problems(
        self, *, max_upload_bytes: int = 10 * 2**20, loopback: bool = False, validate: bool = True
    ) -> list[tuple[str, str]]:
        """Return every problem as `(field, rule)`; an empty list means that the request can be sent."""
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


class _Bare(str):
    """An annotation that `help` shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


@cache
def _short(annotation: object) -> _Bare:
    """Return an annotation as in the source: without module names, and with the name of its alias."""
    text = inspect.formatannotation(annotation).replace(inspect.formatannotation(ImageSource), "ImageSource")
    return _Bare(re.sub(r"\b(?:\w+\.)+", "", text))


def _describe(method: Any, stub: Callable[..., object], request: type[Request[object]]) -> None:
    """Set a method's name from its stub, and its signature and docstring from its request class."""
    endpoint = request.endpoint
    parameters = inspect.signature(request).parameters.values()
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__, method.__qualname__, method.__module__ = stub.__name__, stub.__qualname__, stub.__module__
    shown = [parameter.replace(annotation=_short(parameter.annotation)) for parameter in parameters]
    method.__signature__ = inspect.Signature([this, *shown], return_annotation=endpoint.answer)
    method.__annotations__ = {**request.__init__.__annotations__, "return": endpoint.answer}
    ending = (CHARGED if endpoint.charged else FREE).format(answer=endpoint.answer.__name__)
    method.__doc__ = f"{inspect.getdoc(request) or ''}\n\n{ending}"
    method.request_class = request
