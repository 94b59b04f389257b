"""Options of commands. Those of an operation are derived from its request class: names, types and help."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import attrs
from attrs import frozen
from cyclopts import Parameter

from ideogram_async._client import Ideogram
from ideogram_async._operations import field_docs
from ideogram_async.cli.catalog import (
    AnyRequest,
    Command,
    Field,
    FieldKind,
    build_request,
    field_kind,
    fields_of,
    for_cli,
)
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.values import parse_text, parse_texts

TYPES: dict[FieldKind, type] = {
    FieldKind.TEXT: str,
    FieldKind.TEXTS: list[str],
    FieldKind.NUMBER: int,
    FieldKind.FLAG: bool,
    FieldKind.FILE: Path,
    FieldKind.FILES: list[Path],
    FieldKind.PALETTE: list[str],
}

LISTS = (FieldKind.TEXTS, FieldKind.FILES, FieldKind.PALETTE)
OUTPUT = "Output"
Switch: Parameter = Parameter(negative=(), show_default=False)
Json = Annotated[bool, Parameter(help="Write JSON, for machines.", negative=(), show_default=False)]
"""The switch `--json`."""

JSON = inspect.Parameter(
    "json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[Json, Parameter(group=OUTPUT)]
)

FOLDER = inspect.Parameter(
    "output",
    inspect.Parameter.KEYWORD_ONLY,
    default=None,
    annotation=Annotated[
        Path | None,
        Parameter(
            name=["--output", "-o"],
            help="The folder for the images; if omitted, their links are printed.",
            group=OUTPUT,
        ),
    ],
)

NO_KEY = "No API key. Set IDEOGRAM_API_KEY; get a key at https://ideogram.ai/manage-api."
WITHOUT_KEY = "To try it without a key: ideogram-async demo, or batch run with --sandbox"


@Parameter(name="*")
@frozen(kw_only=True)
class BatchRunOptions:
    """The options of `client.batch`."""

    max_cost_usd: Annotated[str | None, Parameter(show_default=False)] = None
    """Budget in USD, such as 5.00. It includes earlier runs into the folder, and costs in doubt. No limit by
    default."""
    retry_ambiguous: Annotated[bool, Switch] = False
    """Send ambiguous jobs once more. They may have run, so that may be billed twice."""
    names: Annotated[str | None, Parameter(show_default=False)] = None
    """File name template; default {id}-{index}. Also available: {key}, {number}, {prompt} and {seed}."""
    ordered: Annotated[bool, Switch] = False
    """Report results in input order instead of completion order."""
    sidecars: Annotated[bool, Switch] = False
    """Write a JSON file next to each image: request, seed, price, sha256."""
    max_downloads: int = 16
    """Maximum number of concurrent downloads."""


def operation_command(
    command: Command, run: Callable[..., int], *more: inspect.Parameter, help: str = ""
) -> Callable[..., int]:
    """Build a function with the signature of a request class, from which cyclopts derives the command.

    Args:
        command: The operation.
        run: Called with the request and with the values of `more`.
        more: Options that are not fields of the class.
        help: Text for `--help`; that of the operation by default.
    """
    docs, fields = field_docs(command.request), fields_of(command.request)
    own = [_parameter(field, for_cli(docs.get(name, ""), fields)) for name, field in fields.items()]
    signature = inspect.Signature([*own, *more])

    def call(*args: object, **kwargs: object) -> int:
        values = signature.bind(*args, **kwargs).arguments
        options = {parameter.name: values[parameter.name] for parameter in more if parameter.name in values}
        return run(_parse_request(command, values), **options)

    call.__dict__["__signature__"] = signature
    call.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    call.__doc__ = help or command.help
    return call


def _parse_request(command: Command, values: dict[str, object]) -> AnyRequest:
    fields = {name: field for name, field in fields_of(command.request).items() if values.get(name) is not None}
    return build_request(command.request, {name: _parse(field, values[name]) for name, field in fields.items()})


def _parse(field: Field, value: object) -> object:
    match value:
        case str():
            return parse_text(field, value, Path())
        case list() if field_kind(field) is not FieldKind.FILES:
            return parse_texts(field, value)
        case _:
            return value


def _parameter(field: Field, help: str) -> inspect.Parameter:
    kind, is_required = field_kind(field), field.default is attrs.NOTHING
    is_list = kind in LISTS
    repeat = "May be repeated." if is_list and field.kw_only else ""
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY if field.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=inspect.Parameter.empty if is_required else None,
        annotation=Annotated[
            TYPES[kind] if is_required else TYPES[kind] | None,
            Parameter(help=" ".join([*help.split(), repeat]).strip(), negative=() if is_list else None),
        ],
    )


def client_from_environment() -> Ideogram:
    """Return a client that can send.

    Raises:
        UsageError: If there is no key, or an environment variable is invalid.
    """
    if not os.environ.get("IDEOGRAM_API_KEY", "").strip():
        raise UsageError(NO_KEY, WITHOUT_KEY)

    return client_without_key()


def client_without_key() -> Ideogram:
    """Return a client that plans and estimates; it needs no key.

    Raises:
        UsageError: If an environment variable is invalid.
    """
    try:
        return Ideogram()
    except (TypeError, ValueError) as error:
        raise UsageError(f"Invalid environment variable: {error}", "Correct it, or unset it.") from None
