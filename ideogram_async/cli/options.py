"""The options of a command, made of a request class: names, types and words are the class's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import attrs
from cyclopts import Parameter

from ideogram_async.cli.fields import Kind, fields_of, kind_of
from ideogram_async.cli.values import from_text, from_texts
from ideogram_async.cli.wording import told
from ideogram_async.operations import field_docs

__all__ = ["FOLDER", "JSON", "Json", "command_of", "request_of"]

TYPES: dict[Kind, Any] = {
    Kind.TEXT: str,
    Kind.TEXTS: list[str],
    Kind.NUMBER: int,
    Kind.FLAG: bool,
    Kind.FILE: Path,
    Kind.FILES: list[Path],
    Kind.PALETTE: list[str],
}
ONCE_EACH = "Given once for each."
LISTS = (Kind.TEXTS, Kind.FILES, Kind.PALETTE)
OUTPUT = "Output"
FOR_MACHINES = "Write JSON, for machines."
Json = Annotated[bool, Parameter(help=FOR_MACHINES, negative=(), show_default=False)]
"""The switch `--json`."""
JSON = inspect.Parameter(
    "json",
    inspect.Parameter.KEYWORD_ONLY,
    default=False,
    annotation=Annotated[bool, Parameter(help=FOR_MACHINES, negative=(), group=OUTPUT, show_default=False)],
)
FOLDER = inspect.Parameter(
    "output",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"], help="The folder for the images; without it their links are shown.", group=OUTPUT
        ),
    ],
)


def command_of(
    request: type[Any], words: str, act: Callable[..., int], more: list[inspect.Parameter]
) -> Callable[..., int]:
    """Make a function with the signature of a request class; cyclopts makes the command of it.

    Args:
        request: The class.
        words: What the command does.
        act: Called with the request and with what `more` was given.
        more: Options that are no fields of the class.
    """
    docs, fields = field_docs(request), fields_of(request)
    own = [_parameter(name, field, told(docs.get(name, ""), fields)) for name, field in fields.items()]
    names = {parameter.name for parameter in more}

    def command(*args: Any, **kwargs: Any) -> int:
        given = inspect.signature(command).bind(*args, **kwargs).arguments
        asked = {name: value for name, value in given.items() if name in fields and value is not None}
        return act(request_of(request, asked), **{name: value for name, value in given.items() if name in names})

    signature = inspect.Signature([*own, *more])
    command.__dict__["__signature__"] = signature
    command.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    command.__doc__ = words
    return command


def request_of(request: type[Any], given: dict[str, Any]) -> Any:
    """Make the request of what the options were given."""
    fields = attrs.fields_dict(request)
    return request(**{name: _value(fields[name], value) for name, value in given.items()})


def _value(field: Any, value: Any) -> Any:
    match value:
        case str():
            return from_text(field, value, Path())
        case list() if kind_of(field) is not Kind.FILES:
            return from_texts(field, value)
        case _:
            return value


def _parameter(name: str, field: Any, words: str) -> inspect.Parameter:
    kind = kind_of(field)
    is_list = kind in LISTS
    said = " ".join([*words.split(), ONCE_EACH if is_list and field.kw_only else ""]).strip()
    typed = TYPES[kind] if field.default is attrs.NOTHING else TYPES[kind] | None
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY if field.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=inspect.Parameter.empty if field.default is attrs.NOTHING else None,
        annotation=Annotated[typed, Parameter(help=said, negative=() if is_list else None)],
    )
