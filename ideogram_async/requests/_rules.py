"""What a field may hold. Rules are values in a field's metadata; `problems` asks them, construction never does.

A rule tells two things apart: what the field's type is, which always holds, and what the service accepts, which
`validate=False` skips.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from functools import cache
from typing import Any

import attrs
from attrs import frozen

from ideogram_async.enums import Unchecked
from ideogram_async.models.base import Value


@frozen(kw_only=True, eq=False, repr=False)
class Limits:
    """What the client adds to the rules of the service."""

    max_upload_bytes: int = 10 * 2**20
    loopback: bool = False
    """Whether links to this machine are accepted, as a sandbox gives them."""


@frozen(eq=False, repr=False)
class Rule:
    """What a field's value has to be."""

    def type_error(self, value: Any) -> str | None:
        """Say what is wrong with the value's type, `None` if nothing is."""
        raise NotImplementedError

    def violations(self, value: Any, limits: Limits) -> Iterator[str]:
        """Say which rules of the service a value of the right type breaks."""
        return iter(())


@frozen(eq=False, repr=False)
class Text(Rule):
    """A string."""

    pattern: str | None = None
    says: str = ""
    """The pattern in words."""
    may_be_empty: bool = True

    def type_error(self, value: Any) -> str | None:
        return encoding_error(value) if isinstance(value, str) else f"must be a string, not {kind(value)}"

    def violations(self, value: str, limits: Limits) -> Iterator[str]:
        if not self.may_be_empty and not value.strip():
            yield "must not be empty"
        elif self.pattern and not re.fullmatch(self.pattern, value):
            yield self.says


@frozen(eq=False, repr=False)
class Texts(Rule):
    """Several strings."""

    each: Text | Choice
    most: int | None = None

    def type_error(self, value: Any) -> str | None:
        if not isinstance(value, tuple):
            return f"must be a list of strings, not {kind(value)}"

        told = (f"[{n}] {problem}" for n, item in enumerate(value) if (problem := self.each.type_error(item)))
        return next(told, None)

    def violations(self, value: tuple[str, ...], limits: Limits) -> Iterator[str]:
        if self.most is not None and len(value) > self.most:
            yield f"takes {self.most} at most, not {len(value)}"

        for n, item in enumerate(value):
            for problem in self.each.violations(item, limits):
                yield f"[{n}] {problem}"


@frozen(eq=False, repr=False)
class Integer(Rule):
    """A whole number within bounds, both included."""

    least: int
    most: int

    def type_error(self, value: Any) -> str | None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return None if is_whole else f"must be a whole number, not {kind(value)}"

    def violations(self, value: int, limits: Limits) -> Iterator[str]:
        if not self.least <= value <= self.most:
            yield f"must be from {self.least} to {self.most}, not {value}"


@frozen(eq=False, repr=False)
class Flag(Rule):
    """Yes or no."""

    def type_error(self, value: Any) -> str | None:
        return None if isinstance(value, bool) else f"must be True or False, not {kind(value)}"


@frozen(eq=False, repr=False)
class Choice(Rule):
    """One word of a closed list, or an `Unchecked` one."""

    words: type[StrEnum]
    refused: tuple[str, ...] = ()
    """Words of the list that this operation does not take."""

    def type_error(self, value: Any) -> str | None:
        if isinstance(value, str):
            return encoding_error(value)

        return f"must be a value of {self.words.__name__} or its string, not {kind(value)}"

    def violations(self, value: str, limits: Limits) -> Iterator[str]:
        if isinstance(value, Unchecked):
            return

        taken = [str(word) for word in self.words if word not in self.refused]
        if value not in taken:
            listed = ", ".join(taken) if len(taken) <= 16 else f"the {len(taken)} {self.words.__name__} values"
            yield f"{str(value)!r} is not one of {listed}; a newer value is written Unchecked({str(value)!r})"


def field_rule(given: Rule, *, wire: str | None = None) -> dict[str, Any]:
    """Make a field's metadata: its rule, and its name on the wire where that differs."""
    return {"rule": given} if wire is None else {"rule": given, "wire": wire}


def encoding_error(text: str) -> str | None:
    """Say why a text cannot travel: half a character, as undecodable input leaves behind, has no bytes in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"cannot be sent: {text[error.start]!a} at {error.start} is half a character"

    return None


def kind(value: object) -> str:
    """Name a value's type, for people."""
    return "None" if value is None else type(value).__name__


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class RequestBase(Value):
    """A request. `None` is not sent, and nothing is refused before sending."""

    def problems(
        self, *, max_upload_bytes: int = 10 * 2**20, loopback: bool = False, validate: bool = True
    ) -> list[tuple[str, str]]:
        """List every fault at once, as `(field, rule)`; an empty list means that it may be sent.

        Reads the first bytes of files, so it blocks for a moment.

        Args:
            max_upload_bytes: What one image, or one group of references, may weigh.
            loopback: Whether links to this machine are accepted.
            validate: `False` judges types only, not the rules of the service.
        """
        limits = Limits(max_upload_bytes=max_upload_bytes, loopback=loopback)
        problems: list[tuple[str, str]] = []
        wrong: set[str] = set()
        kind: Any = type(self)
        for name, rule, is_optional in _rules_of(kind):
            value = getattr(self, name)
            if value is None and is_optional:
                continue

            if problem := rule.type_error(value):
                wrong.add(name)
                problems.append((name, problem))
            elif validate:
                problems += [(name, broken) for broken in rule.violations(value, limits)]

        if validate:
            # A rule between fields presumes that each of them has the right type.
            problems += [(name, broken) for name, broken in self._conflicts() if name not in wrong]

        return problems

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        """List the rules between fields that are broken. Each mixin adds its own."""
        return iter(())


@cache
def _rules_of(kind: type[RequestBase]) -> tuple[tuple[str, Rule, bool], ...]:
    """List the fields that have a rule, and whether each may be left out. Looked up once a class."""
    ruled = [field for field in attrs.fields(kind) if "rule" in field.metadata]
    return tuple((field.name, field.metadata["rule"], field.default is None) for field in ruled)


def as_texts(value: Iterable[str] | None) -> Any:
    """Freeze a list of strings; anything else stays as it is, for the rule to judge."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else value
