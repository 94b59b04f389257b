"""A request class, worn as a method: `generate = Operation(Generate)`.

The method has the class's signature and its words, so both are written once.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Coroutine, Iterator
from enum import Enum
from functools import cached_property
from itertools import pairwise
from types import MethodType
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, overload

from attrs import frozen

from ideogram_async.models.images import ImageAnswer

R_co = TypeVar("R_co", covariant=True)


class Body(Enum):
    """How the fields of a request travel."""

    FORM = "multipart/form-data"
    JSON = "application/json"
    QUERY = None
    """In the URL; there is no body."""


@frozen
class Endpoint(Generic[R_co]):
    """One operation of the contract."""

    method: str
    path: str
    """As in the contract: `{dataset_id}` stands for the field of that name."""
    body: Body
    answer: type[R_co]
    envelope: str | None = None
    """The JSON object that holds every field but the files, where the contract has one."""

    @property
    def charged(self) -> bool:
        """Whether sending it may cost money: every POST. A second one is a second purchase."""
        return self.method == "POST"

    @property
    def makes_images(self) -> bool:
        """Whether its answer contains images."""
        return issubclass(self.answer, ImageAnswer)

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


class Request(Protocol[R_co]):
    """Anything that knows its endpoint: what `Ideogram.send` takes."""

    @property
    def endpoint(self) -> Endpoint[R_co]:
        """Where it goes. The classes leave it without an annotation: with one it would be a field."""
        ...

    def problems(
        self, *, max_upload_bytes: int = ..., loopback: bool = ..., validate: bool = ...
    ) -> list[tuple[str, str]]:
        """List every broken rule as `(field, rule)`; an empty list means that the request may be sent."""
        ...


P = ParamSpec("P")

R = TypeVar("R")

CHARGED = """Returns `{answer}`.

Raises `InvalidRequestError` before anything is sent, `APIStatusError` if the service refuses or fails, `NotSentError`
if not one byte left, `AmbiguousError` if it was sent and may have run, and `DecodeError` if its answer cannot be read.
`error.billed` tells whether it was paid for.

A cancellation ends the wait at once, not the work: what was sent goes on at the service, and is paid for."""

FREE = """Returns `{answer}`. Costs nothing.

Raises `InvalidRequestError` before anything is sent, `APIStatusError` if the service refuses or fails,
`TransportError` if no answer came, and `DecodeError` if the answer cannot be read.

A cancellation leaves nothing behind."""


class Sender(Protocol):
    """What wears operations."""

    async def send(self, request: Request[R], /) -> R:
        """Send a request, and return its answer."""
        ...


class Bare(str):
    """An annotation as it stands in the source: `help` would put it in quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class Operation(Generic[P, R]):
    """Makes a method of a request class."""

    def __init__(self, request: Callable[P, Request[R]]) -> None:
        self.request = request

    def __set_name__(self, owner: type, name: str) -> None:
        self.__name__ = name
        self.__qualname__ = f"{owner.__qualname__}.{name}"
        self.__module__ = owner.__module__

    @overload
    def __get__(self, sender: None, owner: type) -> Operation[P, R]: ...
    @overload
    def __get__(self, sender: Sender, owner: type) -> Callable[P, Coroutine[Any, Any, R]]: ...
    def __get__(self, sender: Sender | None, owner: type) -> Any:
        return self if sender is None else MethodType(self, sender)

    def __call__(self, sender: Sender, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]:
        return sender.send(self.request(*args, **kwargs))

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.request)
        sender = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)
        fields = [field.replace(annotation=Bare(field.annotation)) for field in signature.parameters.values()]
        return inspect.Signature([sender, *fields], return_annotation=_endpoint(self.request).answer)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        # Made when somebody asks: reading the sources takes some milliseconds.
        return self._words

    @cached_property
    def _words(self) -> str:
        endpoint = _endpoint(self.request)
        ending = (CHARGED if endpoint.charged else FREE).format(answer=endpoint.answer.__name__)
        fields = "\n".join(_field_words(self.request))
        sections = [inspect.getdoc(self.request) or "", f"Args:\n{fields}" if fields else "", ending]
        return "\n\n".join(section for section in sections if section)


def field_docs(kind: type) -> dict[str, str]:
    """Read the words below each field of a class and of its bases, which Python itself does not keep."""
    docs: dict[str, str] = {}
    for base in reversed(kind.__mro__[:-1]):
        try:
            tree = ast.parse(inspect.cleandoc(inspect.getsource(base)))
        except (OSError, SyntaxError):
            continue

        body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef)), [])
        for field, words in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and (text := _text(words)):
                docs[field.target.id] = inspect.cleandoc(text)

    return docs


def _field_words(request: Any) -> Iterator[str]:
    docs = field_docs(request)
    for name in inspect.signature(request).parameters:
        words = f"{name}: {docs.get(name, '')}".rstrip()
        yield textwrap.fill(words, 110, initial_indent=" " * 4, subsequent_indent=" " * 8, break_on_hyphens=False)


def _text(node: ast.stmt) -> str | None:
    match node:
        case ast.Expr(ast.Constant(str(text))):
            return text
        case _:
            return None


def _endpoint(request: Any) -> Any:
    return request.endpoint
