"""Catalog of the operations under their command names: `generate`, `legacy-edit`, `datasets create`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from functools import cache
from typing import Any, TypeAlias, cast

import attrs
from attrs import frozen

import ideogram_async.requests
from ideogram_async._client import Ideogram
from ideogram_async._namespaces import Datasets, Legacy, Models
from ideogram_async._operations import Endpoint, Request, operations_of, summary_of
from ideogram_async.enums import Unchecked
from ideogram_async.requests._file_rules import ImageRule, ImagesRule
from ideogram_async.requests._palette import PaletteRule
from ideogram_async.requests._rules import Choice, Flag, Integer, Texts

Field: TypeAlias = "attrs.Attribute[Any]"
AnyRequest: TypeAlias = Request[object]
NAMESPACES = ((Ideogram, "", ""), (Legacy, "", "legacy-"), (Datasets, "datasets", ""), (Models, "models", ""))
"""Classes with their command group and the prefix of their command names."""

UNCHECKED = "unchecked:"
UNCHECKED_IN_PYTHON = re.compile(r"Unchecked\((['\"])(?P<value>.*)\1\)(?=\n|$)", re.MULTILINE)

# Parts of docstrings that refer to Python.
FOR_CLI = {
    "hex strings, pairs of hex and weight, or `ColorPaletteMember`s": "`#FF5733`, or `#FF5733:0.6` with its weight",
    "see `client.estimate`": "see `ideogram-async estimate`",
    "as `CustomModel.custom_model_uri` names it": "as `ideogram-async models list` shows it",
    "`client.models.wait` waits": "`ideogram-async models wait` waits",
    '`"EMBER"`': "`EMBER`",
}


@frozen
class Command:
    """An operation as a command."""

    name: str
    """The name to type: `legacy-edit`."""
    request: type[AnyRequest]
    group: str = ""
    """The group before the name, if it has one: `datasets`."""

    @property
    def endpoint(self) -> Endpoint:
        return self.request.endpoint

    @property
    def attribute(self) -> str:
        """Its name in an import path: `legacy_edit`, `datasets_create`."""
        return f"{self.group} {self.name}".strip().replace(" ", "_").replace("-", "_")

    @property
    def help(self) -> str:
        """The docstring of the request class, for the command line."""
        return for_cli(summary_of(self.request), fields_of(self.request))

    @property
    def estimate_help(self) -> str:
        return f"Estimate the price of `{self.name}` from a dated table. Sends nothing."


@cache
def commands() -> tuple[Command, ...]:
    """Return all operations, in the order of the client."""
    return tuple(
        Command(prefix + name.replace("_", "-"), request, group)
        for namespace, group, prefix in NAMESPACES
        for name, request in operations_of(namespace).items()
    )


@cache
def image_commands() -> Mapping[str, Command]:
    """Return the operations that a batch accepts, by name: those that make images."""
    return {command.name: command for command in commands() if command.endpoint.makes_images}


def command_function(attribute: str, build: Callable[[Command], Callable[..., int]]) -> Callable[..., int]:
    """Build the command that cyclopts imports as an attribute of a module.

    Raises:
        AttributeError: If no operation has that name.
    """
    for command in commands():
        if command.attribute == attribute:
            return build(command)

    raise AttributeError(attribute)


class FieldKind(Enum):
    """Kind of value that a field takes."""

    TEXT = "text"
    TEXTS = "texts"
    NUMBER = "number"
    FLAG = "flag"
    FILE = "file"
    FILES = "files"
    PALETTE = "palette"


KINDS: dict[type, FieldKind] = {
    Integer: FieldKind.NUMBER,
    Flag: FieldKind.FLAG,
    ImageRule: FieldKind.FILE,
    ImagesRule: FieldKind.FILES,
    PaletteRule: FieldKind.PALETTE,
    Texts: FieldKind.TEXTS,
}


def fields_of(request: type[AnyRequest]) -> dict[str, Field]:
    """Return the fields of a request class in the order of its signature: required ones first."""
    fields = {field.name: field for field in attrs.fields(cast(type[attrs.AttrsInstance], request))}
    return dict(sorted(fields.items(), key=lambda item: item[1].kw_only))


def field_kind(field: Field) -> FieldKind:
    """Return the kind of value that a field takes."""
    rule = field.metadata.get("rule")
    return next((kind for rules, kind in KINDS.items() if isinstance(rule, rules)), FieldKind.TEXT)


def build_request(request: type[AnyRequest], values: Mapping[str, object]) -> AnyRequest:
    """Build a request from the values of its fields."""
    return cast(Callable[..., AnyRequest], request)(**values)


def parse_choice(rule: object, text: str) -> str:
    """Convert text to the spelling of a closed list: `turbo` is `TURBO`. Other text stays unchanged."""
    if not isinstance(rule, Choice):
        return text

    value = text.strip()
    if value.casefold().startswith(UNCHECKED):
        return Unchecked(value[len(UNCHECKED) :])

    spellings = {str(choice).casefold(): str(choice) for choice in rule.enum}
    return spellings.get(value.casefold(), text)


def for_cli(doc: str, fields: Collection[str]) -> str:
    """Convert a docstring for the command line: a field becomes an option, another request a command."""
    for python, cli in FOR_CLI.items():
        doc = doc.replace(python, cli)

    return re.sub(r"`(\w+)`", lambda match: f"`{_cli_name(match[1], fields)}`", doc)


def rule_for_cli(rule: str) -> str:
    """Convert the text of a rule for the command line, where `Unchecked("BALANCED")` is `unchecked:BALANCED`."""
    return UNCHECKED_IN_PYTHON.sub(lambda match: UNCHECKED + match["value"], rule)


def _cli_name(name: str, fields: Collection[str]) -> str:
    if name in fields:
        return "--" + name.replace("_", "-")

    is_request = name in ideogram_async.requests.__all__
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower() if is_request else name
