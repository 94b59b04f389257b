"""What the sandbox answers, before it goes over the wire."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

__all__ = ["Answer", "RefusalError", "refusal"]


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
