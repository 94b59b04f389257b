"""Submissions: calls that the service accepts first and finishes later."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ideogram_async._operations import Accept, Endpoint

SUBMISSION_SECONDS = 60.0
"""Time limit of a submission: its acknowledgement comes at once."""


@frozen
class Submission:
    """A request to the service to accept a call first."""

    webhook_url: str | None = None
    """Address that the service calls with the result."""

    def problems(self, endpoint: Endpoint) -> Iterator[tuple[str, str]]:
        """Yield why an operation cannot be submitted like this."""
        if endpoint.accept is Accept.NEVER:
            yield "request", f"{endpoint} cannot be submitted; send it"
        elif self.webhook_url is not None and not endpoint.has_webhook:
            yield "webhook_url", f"is not available for {endpoint}"

    def fields(self, endpoint: Endpoint) -> dict[str, object]:
        """Return the fields that ask for it."""
        if self.webhook_url is not None:
            return {"webhook_url": self.webhook_url}

        return {"async": True} if endpoint.accept is Accept.OPTIONAL else {}
