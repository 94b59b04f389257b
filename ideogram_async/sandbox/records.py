"""What the sandbox remembers of each request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

__all__ = ["Answer", "Arrival", "ImageArrival", "Part", "RefusalError", "refusal"]


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


@frozen
class Answer:
    """A status, headers and a body."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(factory=dict[str, str])

    @classmethod
    def of_json(cls, value: Any, *, status: int = 200) -> Answer:
        """Answer with JSON."""
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(status, body, {"Content-Type": "application/json"})


class RefusalError(Exception):
    """A request is refused; nothing ran and nothing is billed."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def refusal(status: int, error: str, **more: Any) -> RefusalError:
    """Refuse with the service's form of an error."""
    return RefusalError(Answer.of_json({"error": error, **more}, status=status))
