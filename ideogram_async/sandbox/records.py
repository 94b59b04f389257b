"""Recorded requests, and the replies to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import field, frozen

JsonObject: TypeAlias = dict[str, object]


@frozen
class Part:
    """One part of a multipart body, byte for byte."""

    name: str
    filename: str | None
    content_type: str | None
    body: bytes = field(repr=False)

    @property
    def text(self) -> str:
        """The body, decoded as UTF-8."""
        return self.body.decode("utf-8", "replace")


@frozen
class RecordedRequest:
    """An API request that was received completely, accepted or refused."""

    operation: str
    """Method and path template of the contract, or method and path if the contract has no such operation."""
    method: str
    path: str
    """The decoded path."""
    headers: Mapping[str, str] = field(repr=False)
    """The headers; names are case-insensitive."""
    parts: tuple[Part, ...] = ()
    """The parts of a multipart body, in order."""
    json: Any = None
    """The value of a JSON body."""
    query: list[tuple[str, str]] = field(factory=list[tuple[str, str]])
    """The query as name and value pairs, in order."""
    status: int | None = None
    """The status of the reply, or `None` while the request is processed."""


@frozen
class RecordedImageRequest:
    """A request that the image origin received."""

    path: str
    headers: Mapping[str, str] = field(repr=False)
    """The headers; names are case-insensitive."""


@frozen
class Reply:
    """A status, headers and a body."""

    status: int
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(factory=dict[str, str])

    @classmethod
    def of_json(cls, value: object, *, status: int = 200) -> Reply:
        """Return a reply with a JSON body."""
        body = json.dumps(value, ensure_ascii=False).encode()
        return cls(status, body, {"Content-Type": "application/json"})


class RefusalError(Exception):
    """A request was refused, with the service's error format; nothing ran and nothing is billed."""

    def __init__(self, status: int, error: str, **details: object) -> None:
        super().__init__(status, error)
        self.reply: Reply = Reply.of_json({"error": error, **details}, status=status)
