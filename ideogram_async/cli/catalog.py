"""Catalog of the operations under their command names: `generate`, `legacy-edit`, `v2 upscale-auto`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from functools import cache
from itertools import chain

from attrs import frozen

import ideogram_async.requests
from ideogram_async._client import Ideogram
from ideogram_async._namespaces import Datasets, Legacy, Models
from ideogram_async._operations import Endpoint, operations_of, summary_of
from ideogram_async._rows.fields import UNCHECKED, AnyRequest, Field, FieldKind, field_kind, fields_of, operation_name
from ideogram_async.requests._rules import Choice, Texts

NAMESPACES = ((Ideogram, "", ""), (Legacy, "", "legacy-"), (Datasets, "datasets", ""), (Models, "models", ""))
"""Classes with their command group and the prefix of their command names."""
SECOND_CONTRACT = "v2"
"""Group of the operations of the second contract. It is imported when it is used."""

UNCHECKED_IN_PYTHON = re.compile(r"Unchecked\((['\"])(?P<value>.*)\1\)(?=\n|$)", re.MULTILINE)
LONG_LIST = re.compile(r"the \d+ (\w+) values")
# How a program passes what is not a path.
FILE_IN_PYTHON = re.compile(r"; use (ImageFile\.from_url|Path\(|base64\.|the bytes of)[^\n]*")

CODE = re.compile(r"\n\n(?: {4}.*\n)+(?=\n)")
# Parts of docstrings that refer to Python.
FOR_CLI = {
    "hex strings, pairs of hex and weight, or `ColorPaletteMember`s": "`#FF5733`, or `#FF5733:0.6` with its weight",
    "see `client.estimate`": "see `ideogram-async estimate`",
    "as `CustomModel.custom_model_uri` names it": "as `ideogram-async models list` shows it",
    "`client.models.wait` waits": "`ideogram-async models wait` waits",
    '`"EMBER"`': "`EMBER`",
    '`"ember"`': "`ember`",
    "s or `AssetIdentifier`s": "s or `asset:TYPE:ID`",
    "`AssetIdentifier`s": "`asset:TYPE:ID`",
    "an `AssetIdentifier`": "`asset:TYPE:ID`",
    "one `AssetIdentifier`": "one `asset:TYPE:ID`",
    "a `JsonPrompt`": "a structured prompt as `@FILE.json`",
    "By default the client's `private` is sent.": "The default.",
    'such as `{"background": ...}`': "such as `background=transparent`",
    "see `client.quote`": "see `--quote`",
    "this library has no class for": "has no command",
    "`answer.json_prompt`": "to edit and draw it",
    ', such as `["TRAINING", "COMPLETED"]`': "",
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
    def full_name(self) -> str:
        """The words to type: `datasets create`."""
        return f"{self.group} {self.name}".strip()

    @property
    def attribute(self) -> str:
        """Its name in an import path: `legacy_edit`, `datasets_create`."""
        return self.full_name.replace(" ", "_").replace("-", "_")

    @property
    def help(self) -> str:
        """The docstring of the request class, for the command line."""
        return for_cli(summary_of(self.request), fields_of(self.request))

    @property
    def estimate_help(self) -> str:
        return f"Estimate the price of `{self.name}` from a dated table. Sends nothing."


def commands() -> Iterator[Command]:
    """Yield all operations, those of the second contract last, which are then imported."""
    return chain(first_commands(), (command for commands in (second_commands,) for command in commands()))


@cache
def first_commands() -> tuple[Command, ...]:
    """Return the operations of the first contract, in the order of the client."""
    return tuple(command for namespace in NAMESPACES for command in _commands_of(*namespace))


@cache
def second_commands() -> tuple[Command, ...]:
    """Return the operations of the second contract, and those of the account."""
    from ideogram_async._namespaces_v2 import V2, Account
    from ideogram_async.v2 import Custom

    custom = Command("custom", Custom, SECOND_CONTRACT)
    return (*_commands_of(V2, SECOND_CONTRACT), custom, *_commands_of(Account, "account"))


def _commands_of(namespace: type, group: str, prefix: str = "") -> Iterator[Command]:
    for name, request in operations_of(namespace).items():
        yield Command(prefix + name.replace("_", "-"), request, group)


def find_command(full_name: str) -> Command:
    """Return an operation by the words to type."""
    return next(command for command in commands() if command.full_name == full_name)


def command_name(request: AnyRequest) -> str:
    """Return the name of a request's command: `generate`, `datasets create`."""
    return next(each.full_name for each in commands() if each.request is type(request))


def command_function(attribute: str, build: Callable[[Command], Callable[..., int]]) -> Callable[..., int]:
    """Build the command that cyclopts imports as an attribute of a module.

    Raises:
        AttributeError: If no operation has that name.
    """
    for command in commands():
        if command.attribute == attribute:
            return build(command)

    raise AttributeError(attribute)


@cache
def value_lists() -> Mapping[str, type[StrEnum]]:
    """Return the lists by the name of their option: `style-preset`.

    Those of older models begin with `legacy-`, those of the second contract with `v2-`, and with the name of the
    command if others have a shorter list there.
    """
    lists = dict(_first_lists())
    _add_lists(lists, second_commands())
    return dict(sorted(lists.items()))


def list_name(enum: type[StrEnum]) -> str:
    """Return the name of a list. The lists of the second contract are imported only if it is one of them."""
    lists = (lists for get in (_first_lists, value_lists) for lists in [get()])
    return next(name for each in lists for name, values in each.items() if [*values] == [*enum])


def users_of(enum: type[StrEnum]) -> list[str]:
    """Return the commands with an option that accepts the values of a list."""
    lists = (
        (command, closed_list(field)[0]) for command in commands() for field in fields_of(command.request).values()
    )
    return list(dict.fromkeys(command.full_name for command, each in lists if each and [*each] == [*enum]))


@cache
def _first_lists() -> Mapping[str, type[StrEnum]]:
    lists: dict[str, type[StrEnum]] = {}
    _add_lists(lists, first_commands())
    return lists


def _add_lists(lists: dict[str, type[StrEnum]], commands: Iterable[Command]) -> None:
    for command in commands:
        for field in fields_of(command.request).values():
            enum, _ = closed_list(field)
            if enum is not None and [*enum] not in map(list, lists.values()):
                lists[next(name for name in _list_names(command, field) if name not in lists)] = enum


def _list_names(command: Command, field: Field) -> tuple[str, ...]:
    name = field.name.replace("_", "-")
    if command.group != SECOND_CONTRACT:
        return name, f"legacy-{name}"

    return f"{SECOND_CONTRACT}-{name}", f"{SECOND_CONTRACT}-{command.name}-{name}"


def closed_list(field: Field) -> tuple[type[StrEnum] | None, tuple[str, ...]]:
    """Return the closed list of a field, and the values in it that the field does not accept."""
    rule = field.metadata.get("rule")
    if field_kind(field) is FieldKind.PALETTE:
        return rule.preset.enum, ()  # type: ignore[union-attr]

    choice = rule.each if isinstance(rule, Texts) else rule
    return (choice.enum, choice.excluded) if isinstance(choice, Choice) else (None, ())


def for_cli(doc: str, fields: Collection[str]) -> str:
    """Convert a docstring for the command line: a field becomes an option, another request a command."""
    doc = CODE.sub("\n", doc)
    for python, cli in FOR_CLI.items():
        doc = doc.replace(python, cli)

    return re.sub(r"`(\w+)`", lambda match: f"`{_cli_name(match[1], fields)}`", doc)


def rule_for_cli(rule: str) -> str:
    """Convert the text of a rule for the command line, where `Unchecked("BALANCED")` is `unchecked:BALANCED`."""
    rule = LONG_LIST.sub(lambda match: f"the values that `ideogram-async values {_list_name(match[1])}` lists", rule)
    rule = FILE_IN_PYTHON.sub("; pass the path of a local file", rule)
    return UNCHECKED_IN_PYTHON.sub(lambda match: UNCHECKED + match["value"], rule)


def _list_name(enum: str) -> str:
    return next((name for name, values in value_lists().items() if values.__name__ == enum), enum)


def _cli_name(name: str, fields: Collection[str]) -> str:
    if name in fields:
        return "--" + name.replace("_", "-")

    return operation_name(getattr(ideogram_async.requests, name)) if name in ideogram_async.requests.__all__ else name
