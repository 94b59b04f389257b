"""Recorded requests, and the replies to them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, TypeAlias

from attrs import define, field, frozen

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

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()


@define(eq=False)
class RecordedGeneration:
    """A call that was accepted, and what became of it."""

    operation: str
    """Method and path template of the call."""
    generation_id: str
    images: int
    created: str
    status: str = "pending"
    """`pending`, `completed` or `failed`."""
    polls: int = 0
    """How often it was asked for."""
    failure_reason: str | None = None
    usage_cost_usd_micros: int | None = field(default=None, repr=False)
    data: list[JsonObject] = field(factory=list[JsonObject], repr=False)

    def to_json(self) -> JsonObject:
        """Return the reply to a poll."""
        reply: JsonObject = {"generation_id": self.generation_id, "status": self.status, "created": self.created}
        if self.status == "failed":
            return {**reply, "failure_reason": self.failure_reason}
        if self.status == "pending":
            return reply

        cost = self.usage_cost_usd_micros
        return {
            **reply,
            "response_type": "url",
            "data": self.data,
            **({} if cost is None else {"usage_cost_usd_micros": cost}),
        }

    def delivery(self) -> JsonObject:
        """Return the body of a webhook."""
        return {"generation_id": self.generation_id, "created": self.created, "data": self.data}


@frozen
class RecordedDelivery:
    """An attempt to deliver a result to a `webhook_url`."""

    generation_id: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    status: int | None
    """The status of the answer; `None` if there was none."""


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
        # A lone surrogate, which UTF-8 cannot encode, is written as JSON's own escape.
        body = json.dumps(value, ensure_ascii=False).encode("utf-8", "backslashreplace")
        return cls(status, body, {"Content-Type": "application/json"})


class RefusalError(Exception):
    """A request was refused, with the service's error format; nothing ran and nothing is billed."""

    def __init__(self, status: int, error: str, **details: object) -> None:
        super().__init__(status, error)
        self.reply: Reply = Reply.of_json({"error": error, **details}, status=status)
