"""What the sandbox remembers of each request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

__all__ = ["Arrival", "ImageArrival", "Part"]


@frozen
class Part:
    """One part of a multipart body, exactly as it came."""

    name: str
    filename: str | None
    content_type: str | None
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """Decode the body as UTF-8."""
        return self.body.decode("utf-8", "replace")


@frozen
class Arrival:
    """An API request that arrived whole, whether it was answered or refused."""

    operation: str
    """Method and path template of the contract, or method and path when the contract knows no such operation."""
    method: str
    path: str
    """The path as sent, decoded."""
    headers: Mapping[str, str] = field(repr=False)
    """The headers; names may be asked in any case."""
    parts: tuple[Part, ...] = ()
    """The parts of a multipart body, in order."""
    json: Any = None
    """The value of a JSON body."""
    query: list[tuple[str, str]] = field(factory=list[tuple[str, str]])
    """The query as name and value pairs, in order."""
    status: int | None = None
    """The status that was decided, or `None` while the work goes on."""


@frozen
class ImageArrival:
    """A request that the image origin saw."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    """The headers; names may be asked in any case."""
