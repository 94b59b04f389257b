"""Rules for the values of fields, and the base class of requests.

A rule is kept in the metadata of its field. `problems` checks it; construction never does. A rule has two parts: the
type of the value, which is always checked, and what the service accepts, which `validate=False` skips.
"""

# No `from __future__ import annotations`: attrs copies the types of a converter into `__init__`, and they must be
# readable there by `typing.get_type_hints`. The same holds for the other modules of requests and answers.

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from typing import Any, Generic, TypeVar

import attrs
from attrs import frozen

from ideogram_async.enums import Unchecked
from ideogram_async.models.base import _ValueObject  # pyright: ignore[reportPrivateUsage]
from ideogram_async.models.training import AssetIdentifier

T = TypeVar("T")

MAX_QUOTED = 60
"""Characters of a value that a message quotes."""


@frozen(kw_only=True, eq=False, repr=False)
class Limits:
    """Limits that the client adds to the rules of the service."""

    max_upload_bytes: int = 10 * 2**20
    loopback: bool = False
    """Whether links to this machine are accepted, such as those of a sandbox."""


@frozen(eq=False, repr=False)
class Rule(Generic[T]):
    """A rule for the value of one field; `T` is the type of a value that passes `type_error`."""

    def type_error(self, value: Any) -> str | None:
        """Return a message if the value has the wrong type, `None` otherwise."""
        raise NotImplementedError

    def check(self, value: T, limits: Limits) -> Iterator[str]:
        """Yield a message for each rule of the service that the value breaks; an `Unchecked` one breaks none."""
        return iter(()) if isinstance(value, Unchecked) else self.violations(value, limits)

    def violations(self, value: T, limits: Limits) -> Iterator[str]:
        """Yield a message for each rule of the service that the value breaks."""
        return iter(())


@frozen(eq=False, repr=False)
class Text(Rule[str]):
    """A string."""

    pattern: str | None = None
    message: str = ""
    """The message if the string does not match `pattern`."""
    may_be_empty: bool = True

    def type_error(self, value: object) -> str | None:
        if isinstance(value, str):
            return encoding_error(value)

        advice = "; send one request for each" if isinstance(value, list | tuple) else ""
        return f"must be a string, not {type_name(value)}{advice}"

    def violations(self, value: str, limits: Limits) -> Iterator[str]:
        if not self.may_be_empty and not value.strip():
            yield "must not be empty"
        elif self.pattern and not re.fullmatch(self.pattern, value):
            yield self.message


@frozen(eq=False, repr=False)
class Choice(Rule[str]):
    """A value of a closed list."""

    enum: type[StrEnum]
    excluded: tuple[str, ...] = ()
    """Values of the list that this operation does not accept."""

    def type_error(self, value: object) -> str | None:
        if isinstance(value, str):
            return encoding_error(value)

        word = _word(value)
        advice = f"; did you mean {word!r}?" if word in tuple(self.enum) else ""
        return f"must be a value of {self.enum.__name__} or its string, not {type_name(value)}{advice}"

    def violations(self, value: str, limits: Limits) -> Iterator[str]:
        accepted = [str(member) for member in self.enum if member not in self.excluded]
        if value in accepted:
            return

        listed = ", ".join(accepted) if len(accepted) <= 16 else f"the {len(accepted)} {self.enum.__name__} values"
        advice = self._advice(str(value), kind=type(value).__name__ if isinstance(value, StrEnum) else "")
        yield f"{quote(str(value))} is not one of {listed}{advice}"

    def _advice(self, value: str, *, kind: str) -> str:
        spellings = {_spelling(member): str(member) for member in self.enum}
        respelled = spellings.get(_spelling(value))
        if respelled is None and kind:
            return f"; it is a value of {kind}"

        # A newer value would look like the others: `fast` is not one, and neither is `17:9`.
        is_short = 0 < len(value) <= MAX_QUOTED
        may_be_newer = respelled is None and is_short and _characters(value) <= _characters("".join(self.enum))
        cutoff = 0.8 if may_be_newer else 0.6
        close = get_close_matches(_spelling(value), spellings, n=1, cutoff=cutoff) if is_short else ()
        respelled = respelled or next((spellings[word] for word in close), None)
        hint = "" if respelled is None or respelled in self.excluded else f"; did you mean {respelled!r}?"
        if not may_be_newer:
            return hint

        return f"{hint + ' For' if hint else '; for'} a newer value, pass Unchecked({value!r})"


@frozen(eq=False, repr=False)
class Texts(Rule[tuple[str, ...]]):
    """Several strings."""

    each: Rule[str]
    maximum: int | None = None

    def type_error(self, value: object) -> str | None:
        if not isinstance(value, tuple):
            return f"must be a list of strings, not {type_name(value)}"

        errors = (f"[{n}] {error}" for n, item in enumerate(value) if (error := self.each.type_error(item)))
        return next(errors, None)

    def violations(self, value: tuple[str, ...], limits: Limits) -> Iterator[str]:
        if self.maximum is not None and len(value) > self.maximum:
            yield f"accepts at most {self.maximum}, not {len(value)}"

        for n, item in enumerate(value):
            for violation in self.each.check(item, limits):
                yield f"[{n}] {violation}"


@frozen(eq=False, repr=False)
class Integer(Rule[int]):
    """A whole number between two bounds, both included."""

    minimum: int
    maximum: int

    def type_error(self, value: object) -> str | None:
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        advice = f"; did you mean {int(value)}?" if isinstance(value, str) and value.strip().isdecimal() else ""
        return None if is_whole else f"must be a whole number, not {type_name(value)}{advice}"

    def violations(self, value: int, limits: Limits) -> Iterator[str]:
        if not self.minimum <= value <= self.maximum:
            yield f"must be from {self.minimum} to {self.maximum}, not {value}"


@frozen(eq=False, repr=False)
class Flag(Rule[bool]):
    """A boolean."""

    def type_error(self, value: object) -> str | None:
        return None if isinstance(value, bool) else f"must be True or False, not {type_name(value)}"


def field_rule(
    rule: Rule[Any], *, wire: str | None = None, asset_wire: str | None = None, doc: str | None = None
) -> dict[str, object]:
    """Return the metadata of a field.

    Args:
        rule: Its rule.
        wire: Its name on the wire, if that differs.
        asset_wire: The name on the wire of assets that the service stores, which the field accepts in place of files.
        doc: Its documentation, for classes that `documented` completes.
    """
    metadata = {"rule": rule, "wire": wire, "asset_wire": asset_wire, "doc": doc}
    return {name: value for name, value in metadata.items() if value is not None}


def quote(value: object) -> str:
    """Return a value as a message quotes it. A long one is shortened: it may be the prompt of another column."""
    text = repr(value)
    return text if len(text) <= MAX_QUOTED else f"{text[:MAX_QUOTED]}…"


def encoding_error(text: str) -> str | None:
    """Return a message if a text cannot be encoded, `None` otherwise. Undecodable input becomes unpaired surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return f"cannot be encoded in UTF-8: {text[error.start]!a} at {error.start} is an unpaired surrogate"

    return None


def type_name(value: object) -> str:
    """Return the name of a value's type for a message."""
    return "None" if value is None else type(value).__name__


def _word(value: object) -> str:
    """Return the text that stands for a value in closed lists: `ON` for `True`, `1024x1024` for two numbers."""
    if isinstance(value, bool):
        return "ON" if value else "OFF"

    return "x".join(map(str, value)) if isinstance(value, tuple | list) else ""


def _spelling(text: str) -> str:
    """Return a text without the differences between spellings: `16:9` and `16x9`, `turbo` and `TURBO`."""
    spelling = re.sub(r"(?<=\d)[\W_]*x[\W_]*(?=\d)|[\W_]+", "_", text.strip().casefold())
    return spelling.removeprefix("aspect_").removeprefix("resolution_")


def _characters(text: str) -> set[str]:
    """Return the kinds of characters in a text: digits, letters of either case, and any other ones."""
    return {"0" if char.isdigit() else "A" if char.isupper() else "a" if char.islower() else char for char in text}


def as_texts(value: Iterable[str] | None) -> Iterable[str] | None:
    """Convert a list of strings to a tuple. Any other value is returned unchanged, and the field's rule reports it."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else value


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class RequestBase(_ValueObject):
    """A request. `None` is not sent. Construction accepts any value; `problems` validates."""

    def problems(
        self, *, max_upload_bytes: int = 10 * 2**20, loopback: bool = False, validate: bool = True
    ) -> list[tuple[str, str]]:
        """Return every problem as `(field, rule)`. An empty list means that the request can be sent.

        Reads the first bytes of files, so it blocks briefly.

        Args:
            max_upload_bytes: Maximum size of one image, or of one group of references.
            loopback: Whether links to this machine are accepted.
            validate: `False` checks types only, not the rules of the service.
        """
        limits = Limits(max_upload_bytes=max_upload_bytes, loopback=loopback)
        problems: list[tuple[str, str]] = []
        mistyped: set[str] = set()
        request_class: Any = type(self)
        for name, rule, is_optional in _rules_of(request_class):
            value = getattr(self, name)
            if value is None and is_optional:
                continue

            if error := rule.type_error(value):
                mistyped.add(name)
                problems.append((name, error))
            elif validate:
                problems += [(name, violation) for violation in rule.check(value, limits)]

        if validate:
            # A rule between fields assumes that each of them has the right type.
            problems += [(name, conflict) for name, conflict in self._conflicts() if name not in mistyped]

        return problems

    def sent_fields(self) -> Iterator[tuple[str, object]]:
        """Yield the fields that are sent, under their names on the wire.

        `None` and an empty list are not sent; an empty string has a meaning.
        """
        for each in attrs.fields(type(self)):
            value = getattr(self, each.name)
            if value is not None and value != ():
                yield _wire_name(each, value), value

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        """Yield the violated rules between fields. Each mixin adds its own."""
        return iter(())


def _wire_name(field: "attrs.Attribute[Any]", value: object) -> str:
    """Return the name of a field on the wire; assets that the service stores have another one than files."""
    first = value[0] if isinstance(value, tuple) else value
    is_asset = isinstance(first, AssetIdentifier) and "asset_wire" in field.metadata
    name: str = field.metadata["asset_wire"] if is_asset else field.metadata.get("wire", field.name)
    return name


@cache
def _rules_of(request: type[Any]) -> tuple[tuple[str, Rule[Any], bool], ...]:
    """Return the fields of a class that have a rule, and whether each is optional."""
    fields = [field for field in attrs.fields(request) if "rule" in field.metadata]
    return tuple((field.name, field.metadata["rule"], field.default is None) for field in fields)
