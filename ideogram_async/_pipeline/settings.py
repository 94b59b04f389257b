"""A client's settings, judged before anything is built of them: a wrong one fails where it was written."""

from __future__ import annotations

import os
from typing import Any

from ideogram_async._transport.policy import Retry


def check_counts(**given: Any) -> None:
    """Let whole numbers from 1 pass.

    Raises:
        TypeError: If one is no whole number.
        ValueError: If one is less than 1.
    """
    for name, value in given.items():
        if not isinstance(value, int) or isinstance(value, bool):
            raise TypeError(f"{name} must be a whole number, not {type(value).__name__}")

        if value < 1:
            raise ValueError(f"{name} must be at least 1, not {value}")


def check_kinds(
    *, retry: Any, on_event: Any, limiter: Any = None, session_factory: Any = None, image_hosts: Any = None
) -> None:
    """Judge what a type checker would have seen, and what would show only when money has been spent.

    Raises:
        TypeError: If one is of a wrong kind.
    """
    # One name is a sequence of letters: as such it would refuse every image that was paid for.
    expected = {
        "retry": (retry, "a Retry", isinstance(retry, Retry)),
        "on_event": (on_event, "a function", callable(on_event)),
        "limiter": (limiter, "a Limiter", callable(getattr(limiter, "acquire", None))),
        "session_factory": (session_factory, "a function", callable(session_factory)),
        "image_hosts": (image_hosts, "a list of names", not isinstance(image_hosts, str)),
    }
    for name, (value, kind, is_right) in expected.items():
        if value is not None and not is_right:
            raise TypeError(f"{name} must be {kind}, not {type(value).__name__}")


def timeout_from_environment() -> float | None:
    """Read `IDEOGRAM_TIMEOUT`, in seconds; `None` where it is missing or empty.

    Raises:
        ValueError: If it is no number.
    """
    given = os.environ.get("IDEOGRAM_TIMEOUT", "").strip()
    try:
        return float(given) if given else None
    except ValueError:
        raise ValueError(f"IDEOGRAM_TIMEOUT must be a number of seconds, not {given!r}") from None
