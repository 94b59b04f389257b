"""Values of closed lists as options: their help texts, and the types from which completions are made."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal, cast

from cyclopts import Token

from ideogram_async._rows.fields import Field
from ideogram_async.cli.catalog import closed_list, list_name

MAX_INLINE = 7
"""Number of values that a help text lists."""


def accepted_values(field: Field) -> tuple[str, ...]:
    """Return the values that a field accepts; none if it has no closed list."""
    enum, excluded = closed_list(field)
    return tuple(str(member) for member in enum if member not in excluded) if enum else ()


def choices_note(field: Field, help: str) -> str:
    """Return the values of a field that its help text does not list, or the command that lists them."""
    enum, _ = closed_list(field)
    values = accepted_values(field)
    if enum is None or sum(bool(re.search(rf"\b{value}\b", help)) for value in values) > 1:
        return ""

    if len(values) <= MAX_INLINE:
        return f"One of {', '.join(values)}."

    return f"See: `ideogram-async values {list_name(enum)}`"


def literal(values: Sequence[str]) -> type:
    """Return the type from which completions are made. The rule of a field checks its value, not cyclopts."""
    # Type checkers accept only literal members.
    of: Any = Literal
    return cast(type, of[tuple(values)])


def take_text(_: object, tokens: Sequence[Token]) -> str:
    """Return the value of an option unchanged."""
    return tokens[-1].value


def take_texts(_: object, tokens: Sequence[Token]) -> list[str]:
    """Return the values of an option that may be repeated unchanged."""
    return [token.value for token in tokens]
