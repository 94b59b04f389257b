"""Strings that print as `***`: the API key, and text such as a prompt.

The key needs two classes because it has two kinds of readers. `repr`, `str`, pickles and the locals in a traceback
show `***` of a `Secret`. aiohttp needs the characters and keeps them in its own frames, so it gets a `HeaderSecret`: a
string whose `repr` hides them.
"""

from __future__ import annotations

import re
from typing import Self

MASK = "***"


class HeaderSecret(str):
    """The API key as a string for an HTTP library. Its `repr` is `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[object, ...]:
        return HeaderSecret, (MASK,)


class Secret:
    """The API key. Only `reveal` returns its characters.

    Raises:
        ValueError: If the key contains control characters or is not ASCII: it could inject headers.
        TypeError: If the key is not a string.
    """

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        # Rebound before anything can fail: a traceback shows the locals of this frame, too.
        is_text, type_name = isinstance(key, str), type(key).__name__
        key = HeaderSecret(key.strip() if is_text else "")
        if not is_text:
            raise TypeError(f"the API key must be a string, not {type_name}")

        if not re.fullmatch(r"[\x21-\x7e]*", key):
            raise ValueError("the API key contains characters that are not allowed in an HTTP header")

        self._key = key

    def reveal(self) -> HeaderSecret:
        """Return the key for a request's header."""
        return self._key

    def __bool__(self) -> bool:
        return bool(self._key)

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[object, ...]:
        return Secret, (MASK,)


class RedactedStr(str):
    """A string that prints as `***`. `reveal()` returns the text.

    It is a string so that code that writes strings writes the mask.
    """

    __slots__ = ("_text",)
    _text: str

    def __new__(cls, text: str) -> Self:
        redacted = super().__new__(cls, MASK)
        redacted._text = text
        return redacted

    def reveal(self) -> str:
        """Return the text."""
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RedactedStr) and self._text == other._text

    def __ne__(self, other: object) -> bool:
        # `str` defines its own, which would compare the masks.
        return not self == other

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce__(self) -> tuple[object, ...]:
        return RedactedStr, (MASK,)
