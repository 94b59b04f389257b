"""A key that hides itself.

Two classes, because two readers must be kept apart. People and their tools read `repr`, `str`, pickles and the
locals of a traceback: they see `***`. aiohttp must read the characters, and keeps them in frames of its own: it gets
a string whose `repr` hides them.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["MaskedStr", "Secret"]

MASK = "***"


class MaskedStr(str):
    """A string for an HTTP library: its characters are the key's, its `repr` is `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[Any, ...]:
        return MaskedStr, (MASK,)


class Secret:
    """The key at rest. Nothing but `reveal` gives it away.

    Raises:
        ValueError: If the key has control characters, or letters beyond ASCII: it could write headers of its own.
        TypeError: If it is no string.
    """

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        # The name is bound again before anything can fail: a traceback shows the locals of this frame, too.
        is_text, kind = isinstance(key, str), type(key).__name__
        key = MaskedStr(key.strip() if is_text else "")
        if not is_text:
            raise TypeError(f"the API key must be a string, not {kind}")

        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise ValueError("the API key has characters that no header may carry")

        self._key = key

    def reveal(self) -> MaskedStr:
        """Return the key for a request's header."""
        return self._key

    def __bool__(self) -> bool:
        return bool(self._key)

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[Any, ...]:
        return Secret, (MASK,)
