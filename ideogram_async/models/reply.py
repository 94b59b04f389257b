"""What came back over the wire, before anyone reads it."""

from __future__ import annotations

from typing import Any

from attrs import field, frozen

__all__ = ["Reply"]


@frozen(kw_only=True)
class Reply:
    """An answer of the service as it arrived; `answer.meta` of everything decoded from it."""

    status: int
    headers: dict[str, str] = field(factory=dict, repr=False)
    """Names in lower case."""
    raw: bytes = field(repr=False)
    """The body, whole unless `cut` says otherwise."""
    cut: str | None = None
    """Why the body is not whole, where it is not."""
    attempts: int = 1
    """How many times the call was sent, refusals with 429 included."""
    elapsed: float = 0.0
    """Seconds from the last attempt's start to its last byte."""
    in_doubt: bool = False
    """Whether an earlier attempt of the same call may have run, and been paid for, too."""

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300

    @property
    def request_id(self) -> str | None:
        """The id to quote to the service's support."""
        return self.headers.get("x-request-id") or self.headers.get("cf-ray")

    def json(self) -> Any:
        """Parse the body.

        Raises `ValueError` if it is no JSON.
        """
        import json

        try:
            return json.loads(self.raw)
        except RecursionError:
            raise ValueError("nested too deeply") from None
