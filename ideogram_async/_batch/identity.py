"""Identity of a job: the rules of ids, and its key."""

from __future__ import annotations

import hashlib
import unicodedata

LETTERS = "abcdefghijklmnopqrstuvwxyz234567"
PAIRS = [first + second for first in LETTERS for second in LETTERS]
PAIR_SHIFTS = range(90, -1, -10)
"""Bit positions of the letter pairs in a key of 100 bits."""


def id_problems(id: str | None) -> list[tuple[str, str]]:
    """Return what is wrong with the id of a job, as `(field, rule)`."""
    if id == "":
        return [("id", "is empty")]

    has_control_characters = id is not None and any(unicodedata.category(character) == "Cc" for character in id)
    return [("id", f"{id!r} contains control characters")] if has_control_characters else []


def job_key(fingerprint: str, *, id: str | None, occurrence: int) -> str:
    """Return a job's key, 20 letters and digits: derived from the user's id, or from the content and its occurrence."""
    name = f"id {id}" if id is not None else f"content {fingerprint} {occurrence}"
    # The start of `base64.b32encode`, in half the time: a long batch needs very many keys.
    number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:13]) >> 4
    return "".join([PAIRS[number >> shift & 1023] for shift in PAIR_SHIFTS])
