"""The options of a command, made of a request class: names, types and words are the class's own."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import attrs
from attrs import frozen
from cyclopts import Parameter

from ideogram_async._client import Ideogram
from ideogram_async._operations import field_docs
from ideogram_async.cli.catalog import Kind, fields_of, kind_of, told
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.values import from_text, from_texts

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


Switch = Parameter(negative=(), show_default=False)


@Parameter(name="*")
@frozen(kw_only=True)
class Asked:
    """The options that are those of `client.batch`."""

    max_cost_usd: Annotated[str | None, Parameter(show_default=False)] = None
    """The most that may be spent, in USD, such as 5.00. Earlier runs into the folder count, and what is in doubt. No
    limit if not given."""
    retry_ambiguous: Annotated[bool, Switch] = False
    """Send jobs once more that may have run. That can pay twice."""
    names: Annotated[str | None, Parameter(show_default=False)] = None
    """How files are called; `{id}-{index}` if not given. There are also {key}, {number}, {prompt} and {seed}."""
    ordered: Annotated[bool, Switch] = False
    """Tell results in the order of the input, not as they are ready."""
    sidecars: Annotated[bool, Switch] = False
    """Write a JSON file beside each image: request, seed, price, sha256."""
    max_downloads: int = 16
    """Images that are downloaded at once."""


NO_KEY = "There is no key: set IDEOGRAM_API_KEY to one from https://ideogram.ai/manage-api."

WITHOUT = "To try things without a key: ideogram-async demo, or batch run with --sandbox"


def client_of_environment(**options: Any) -> Ideogram:
    """Make a client that can send.

    Raises:
        UsageError: If there is no key, or a setting makes no sense.
    """
    if not os.environ.get("IDEOGRAM_API_KEY", "").strip():
        raise UsageError(NO_KEY, WITHOUT)

    return client_without_key(**options)


def client_without_key(**options: Any) -> Ideogram:
    """Make a client that plans and estimates; it need not have a key.

    Raises:
        UsageError: If a setting makes no sense.
    """
    try:
        return Ideogram(**options)
    except (TypeError, ValueError) as error:
        raise UsageError(f"A setting of the environment makes no sense: {error}", "Correct it, or unset it.") from None
