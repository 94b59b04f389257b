"""Strings that print as `***`: the API key, and text such as a prompt.

The key needs two classes because it has two kinds of readers. `repr`, `str`, pickles and the locals in a traceback
show `***` of a `Secret`. aiohttp needs the characters and keeps them in its own frames, so it gets a `HeaderSecret`: a
string whose `repr` hides them.
"""

from __future__ import annotations

import re
from typing import Self

MASK = "***"
MIN_KEY_CHARS = 16
"""Shorter keys, as tests use them, are not searched for: they could be words of the text."""

LINK = re.compile(rb"""https?:(?:/|\\/){2}(?:[^\s"'<>\\{}]|\\/|\\u00[2-7][0-9a-fA-F])*""")


def mask_user(url: str) -> str:
    """Replace the user and the password in a URL, also in a malformed one."""
    return re.sub(r"^([\w+.-]+://)?.*@", rf"\1{MASK}@", url, flags=re.DOTALL)


class HeaderSecret(str):
    """The API key, or the URL of a proxy, as a string for an HTTP library. Its `repr` is `***`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return MASK

    def __reduce__(self) -> tuple[object, ...]:
        return HeaderSecret, (MASK,)


class Secret:
    """The API key. Only `reveal` returns its characters.

    Raises:
        ValueError: If the key is in quotes, contains control characters or is not ASCII: it could inject headers.
        TypeError: If the key is not a string.
    """

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        # Rebound before anything can fail: a traceback shows the locals of this frame, too.
        is_text, type_name = isinstance(key, str), type(key).__name__
        key = HeaderSecret(key.strip() if is_text else "")
        if not is_text:
            raise TypeError(f"the API key must be a string, not {type_name}")

        if key[:1] in ("'", '"'):
            raise ValueError("the API key begins with a quote; remove the quotes around it")

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


def mask_key(text: str, key: str) -> str:
    """Replace the key in a text. A short key is not searched for."""
    return text.replace(key, MASK) if len(key) >= MIN_KEY_CHARS else text


def mask_key_in_body(body: bytes, key: str, *, keep_links: bool) -> bytes:
    """Replace the key in a body, in plain text or with characters escaped as in JSON, a URL or HTML.

    Args:
        body: The body.
        key: The key. A short one is not searched for.
        keep_links: Whether links stay as they are: a changed link cannot be downloaded.
    """
    if len(key) < MIN_KEY_CHARS:
        return body

    if keep_links:
        pattern = b"".join(map(_escaped_forms, key))
        return re.sub(b"(%b)|%b" % (LINK.pattern, pattern), lambda match: match[1] or MASK.encode(), body)

    # In UTF-16, a zero byte separates the characters; `LINK` would not find links there.
    first, *others = map(_escaped_forms, key)
    pattern = first + rb"(\0*)" + rb"\0*".join(others)
    return re.sub(pattern, lambda match: match[1].join([b"*"] * len(MASK)), body)


def _escaped_forms(character: str) -> bytes:
    """Return a pattern of a character, plain or escaped."""
    code, plain = ord(character), r"\\?/" if character == "/" else re.escape(character)
    return rf"(?:{plain}|(?i:\\u00{code:02x}|%{code:02x}|&\#x0*{code:x};)|&\#0*{code};)".encode()
