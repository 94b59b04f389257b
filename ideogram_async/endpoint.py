"""Where a request goes, how it travels and what comes back."""

from __future__ import annotations

from enum import Enum
from typing import Generic, Protocol, TypeVar

from attrs import frozen

__all__ = ["Body", "Endpoint", "Request"]

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
