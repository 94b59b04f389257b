"""The operations under the names that they have here: `generate`, `legacy-edit`, `datasets create`."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from enum import Enum
from typing import Any, TypeAlias

import attrs
from attrs import frozen

import ideogram_async.requests
from ideogram_async._client import Ideogram
from ideogram_async._namespaces import Datasets, Legacy, Models
from ideogram_async._operations import operations_of
from ideogram_async.enums import Unchecked
from ideogram_async.requests._file_rules import ImageRule, ImagesRule
from ideogram_async.requests._palette import PaletteRule
from ideogram_async.requests._rules import Choice, Flag, Integer, Texts

Field: TypeAlias = "attrs.Attribute[Any]"


class Kind(Enum):
    """What a field holds, for somebody who writes text."""

    TEXT = "text"
    TEXTS = "texts"
    NUMBER = "number"
    FLAG = "flag"
    FILE = "file"
    FILES = "files"
    PALETTE = "palette"


def fields_of(request: type[Any]) -> dict[str, Field]:
    """List a request's fields in the order of its signature: required ones first."""
    fields = {field.name: field for field in attrs.fields(request)}
    return dict(sorted(fields.items(), key=lambda item: item[1].kw_only))


def kind_of(field: Field) -> Kind:
    """Say what a field holds."""
    match field.metadata.get("rule"):
        case Integer():
            return Kind.NUMBER
        case Flag():
            return Kind.FLAG
        case ImageRule():
            return Kind.FILE
        case ImagesRule():
            return Kind.FILES
        case PaletteRule():
            return Kind.PALETTE
        case Texts():
            return Kind.TEXTS
        case _:
            return Kind.TEXT


PREFIX = "unchecked:"


def word(rule: Any, text: str) -> str:
    """Write a word of a closed list as the list does: `turbo` is `TURBO`. Other text stays as it is."""
    if not isinstance(rule, Choice):
        return text

    bare = text.strip()
    if bare.casefold().startswith(PREFIX):
        return Unchecked(bare[len(PREFIX) :])

    words = {each.casefold(): str(each) for each in rule.enum}
    return words.get(bare.casefold(), text)


# What the classes say in words of Python.
ELSEWHERE = {
    "hex strings, pairs of hex and weight, or `ColorPaletteMember`s": "`#FF5733`, or `#FF5733:0.6` with its weight",
    "see `client.estimate`": "see `ideogram-async estimate`",
    "as `CustomModel.custom_model_uri` names it": "as `ideogram-async models list` tells it",
    "`client.models.wait` waits": "`ideogram-async models wait` waits",
    '`"EMBER"`': "`EMBER`",
}

NEWER = re.compile(r"Unchecked\((['\"])(?P<word>.*)\1\)(?=\n|$)", re.MULTILINE)


def told(words: str, fields: Collection[str]) -> str:
    """Say what a class says of itself or of a field: a field is an option here, and another request a command."""
    for there, here in ELSEWHERE.items():
        words = words.replace(there, here)

    return re.sub(r"`(\w+)`", lambda found: f"`{_name(found[1], fields)}`", words)


def worded(rule: str) -> str:
    """Say a rule as it holds here, where nobody can write `Unchecked("BALANCED")`."""
    return NEWER.sub(lambda found: PREFIX + found["word"], rule)


def _name(word: str, fields: Collection[str]) -> str:
    if word in fields:
        return "--" + word.replace("_", "-")

    is_request = word in ideogram_async.requests.__all__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", word).lower() if is_request else word


@frozen
class Named:
    """An operation and its name."""

    name: str
    """As it is typed: `legacy-edit`."""
    request: type[Any]
    group: str = ""
    """The word before the name, if there is one: `datasets`."""

    @property
    def is_legacy(self) -> bool:
        """Whether it is one of the older models'."""
        return self.name.startswith("legacy-")

    @property
    def makes_images(self) -> bool:
        """Whether its answer holds images."""
        return bool(self.request.endpoint.makes_images)

    @property
    def words(self) -> str:
        """What it does; the page of its rules stands below."""
        return told(inspect.getdoc(self.request) or "", fields_of(self.request))


def operations() -> Iterator[Named]:
    """List all operations, in the order of the client."""
    for owner, group, prefix in (
        (Ideogram, "", ""),
        (Legacy, "", "legacy-"),
        (Datasets, "datasets", ""),
        (Models, "models", ""),
    ):
        for name, request in operations_of(owner).items():
            yield Named(prefix + name.replace("_", "-"), request, group)


def makers() -> dict[str, Named]:
    """List the operations that a batch takes: those that make images."""
    return {named.name: named for named in operations() if named.makes_images}
