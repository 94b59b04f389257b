"""Operations of the contract: a request class, exposed as a method.

    @operation(Generate)
    def generate(self) -> None: ...

The method is a coroutine function with the signature and the docstring of the class, so both are written once.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Coroutine
from enum import Enum
from itertools import pairwise
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

from attrs import frozen

from ideogram_async.models.images import ImageAnswer

P = ParamSpec("P")

R = TypeVar("R")

R_co = TypeVar("R_co", covariant=True)

S = TypeVar("S", bound="Sender")

CHARGED = """Returns `{answer}`.

Raises `InvalidRequestError` before anything is sent, `APIStatusError` if the service refuses or fails, `NotSentError`
if no byte was sent, `AmbiguousError` if it was sent and its outcome is unknown, and `DecodeError` if its answer cannot
be read. `error.billed` is whether it was paid for.

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
class Endpoint(Generic[R_co]):
    """An operation of the contract."""

    method: str
    path: str
    """As in the contract: `{dataset_id}` stands for the field of that name."""
    body: Body
    answer: type[R_co]
    envelope: str | None = None
    """The JSON object that contains every field but the files, if the contract has one."""

    @property
    def charged(self) -> bool:
        """Whether a call may cost money: every POST. A second one is a second purchase."""
        return self.method == "POST"

    @property
    def makes_images(self) -> bool:
        """Whether the answer contains images."""
        return issubclass(self.answer, ImageAnswer)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Request(Protocol[R_co]):
    """A value that `Ideogram.send` accepts."""

    @property
    def endpoint(self) -> Endpoint[R_co]:
        """The operation that it is sent to."""
        ...

    def problems(
        self, *, max_upload_bytes: int = ..., loopback: bool = ..., validate: bool = ...
    ) -> list[tuple[str, str]]:
        """List every broken rule as `(field, rule)`; an empty list means that the request may be sent."""
        ...


class Sender(Protocol):
    """A class that has operations."""

    async def send(self, request: Request[R], /) -> R:
        """Send a request, and return its answer."""
        ...


def operation(
    request: Callable[P, Request[R]],
) -> Callable[[Callable[[S], None]], Callable[Concatenate[S, P], Coroutine[Any, Any, R]]]:
    """Expose a request class as a method, which replaces the decorated one."""

    def decorate(stub: Callable[[S], None]) -> Callable[Concatenate[S, P], Coroutine[Any, Any, R]]:
        async def send(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            return await self.send(request(*args, **kwargs))

        _describe(send, stub, cast(Any, request))
        return send

    return decorate


def operations_of(owner: type) -> dict[str, type[Any]]:
    """Return the request classes of a class's operations, by the name of the method."""
    return {name: method.request_class for name, method in vars(owner).items() if hasattr(method, "request_class")}


def field_docs(kind: type) -> dict[str, str]:
    """Read the docstrings of the fields of a class and of its bases, which Python itself does not keep."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        try:
            tree = ast.parse(inspect.cleandoc(inspect.getsource(base)))
        except (OSError, SyntaxError):
            continue

        body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef)), [])
        for field, doc in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and (text := _text(doc)):
                docs[field.target.id] = inspect.cleandoc(text)

    return docs


def _describe(method: Any, stub: Any, request: Any) -> None:
    """Give a method the name of its stub, and the signature and docstring of its request class."""
    endpoint = request.endpoint
    parameters = inspect.signature(request).parameters.values()
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
    method.__name__, method.__qualname__, method.__module__ = stub.__name__, stub.__qualname__, stub.__module__
    method.__signature__ = inspect.Signature([this, *parameters], return_annotation=endpoint.answer)
    method.__annotations__ = {**request.__init__.__annotations__, "return": endpoint.answer}
    ending = (CHARGED if endpoint.charged else FREE).format(answer=endpoint.answer.__name__)
    method.__doc__ = f"{inspect.getdoc(request) or ''}\n\n{ending}"
    method.request_class = request


def _text(node: ast.stmt) -> str | None:
    match node:
        case ast.Expr(ast.Constant(str(text))):
            return text
        case _:
            return None
