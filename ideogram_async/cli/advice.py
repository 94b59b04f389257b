"""What to do next, for somebody at a command line: an error's own advice speaks of the library's settings."""

from __future__ import annotations

from ideogram_async.errors import (
    APIStatusError,
    AuthenticationError,
    Billed,
    DecodeError,
    HostRefusedError,
    IdeogramError,
    ImageTooLargeError,
    InvalidRequestError,
    NotSentError,
    RateLimitError,
)

__all__ = ["advice_of"]

ADVICE: dict[type[IdeogramError], str] = {
    AuthenticationError: "Set IDEOGRAM_API_KEY to a key that is valid.",
    HostRefusedError: "Only https links to public hosts are followed.",
    ImageTooLargeError: "The link still works: open it elsewhere.",
    InvalidRequestError: "Correct what is named, and try again.",
    NotSentError: "Check the network, the proxy and IDEOGRAM_BASE_URL, then try again: ideogram-async doctor",
    RateLimitError: "Wait for other work on the account to end, then try again.",
}


def advice_of(error: IdeogramError) -> str:
    """Say what to do about an error."""
    if isinstance(error, DecodeError) and error.billed is Billed.YES:
        left = "what it made is at these links" if error.links else "nothing in it leads to an image"
        return f"Do not send it again; {left}."

    if type(error) is APIStatusError:
        return "The service refused it; sent unchanged it may fail again."

    return ADVICE.get(type(error), error.advice)
