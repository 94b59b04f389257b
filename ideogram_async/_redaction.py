"""A key that hides itself, and words that do.

Two classes, because two readers must be kept apart. People and their tools read `repr`, `str`, pickles and the
locals of a traceback: they see `***`. aiohttp must read the characters, and keeps them in frames of its own: it gets
a string whose `repr` hides them.
"""

from __future__ import annotations

import re
from typing import Any, Self

MASK = "***"


class HeaderSecret(str):
    """A string for an HTTP library: its characters are the key's, its `repr` is `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[Any, ...]:
        return HeaderSecret, (MASK,)


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
        key = HeaderSecret(key.strip() if is_text else "")
        if not is_text:
            raise TypeError(f"the API key must be a string, not {kind}")

        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise ValueError("the API key has characters that no header may carry")

        self._key = key

    def reveal(self) -> HeaderSecret:
        """Return the key for a request's header."""
        return self._key

    def __bool__(self) -> bool:
        return bool(self._key)

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[Any, ...]:
        return Secret, (MASK,)


class RedactedStr(str):
    """Words that are nobody's business, a prompt say: `reveal` gives them away, and everybody else reads `***`.

    A string, so that whatever writes strings down writes the mask.
    """

    __slots__ = ("_words",)
    _words: str

    def __new__(cls, words: str) -> Self:
        """Hide the words."""
        made = super().__new__(cls, MASK)
        made._words = words
        return made

    def reveal(self) -> str:
        """Return the words."""
        return self._words

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RedactedStr) and self._words == other._words

    def __ne__(self, other: object) -> bool:
        # A string has one of its own, which would compare the masks.
        return not self == other

    def __hash__(self) -> int:
        return hash(self._words)

    def __reduce__(self) -> tuple[Any, ...]:
        return RedactedStr, (MASK,)
