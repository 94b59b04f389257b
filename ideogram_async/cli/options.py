"""Options of commands. Those of an operation are derived from its request class: names, types and help."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, get_origin

import attrs
from cyclopts import Group, Parameter

from ideogram_async._operations import field_docs
from ideogram_async._rows.fields import AnyRequest, Field, FieldKind, build_request, field_kind, fields_of
from ideogram_async._rows.values import parse_asset, parse_text, parse_texts
from ideogram_async.cli.catalog import Command, for_cli
from ideogram_async.cli.choices import accepted_values, choices_note, literal, take_text, take_texts
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.settings import DEFAULT_SETTINGS, Settings

TYPES: dict[FieldKind, type] = {
    FieldKind.TEXT: str,
    FieldKind.PROMPT: str,
    FieldKind.TIME: str,
    FieldKind.TEXTS: list[str],
    FieldKind.NUMBER: int,
    FieldKind.FLAG: bool,
    FieldKind.FILE: Path,
    FieldKind.FILES: list[Path],
    FieldKind.NAMED_FILES: list[str],
    FieldKind.OBJECT: list[str],
    FieldKind.PALETTE: list[str],
}

LISTS = tuple(kind for kind, option in TYPES.items() if get_origin(option) is list)
OUTPUT = Group("Output", sort_key=80)
Switch: Parameter = Parameter(negative=(), show_default=False)
Json = Annotated[bool, Parameter(help="Write JSON, for machines.", negative=(), show_default=False)]
"""The switch `--json`."""

JSON = inspect.Parameter(
    "json", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Annotated[Json, Parameter(group=OUTPUT)]
)


def _option(name: str, annotation: object, default: object, help: str, *names: str) -> inspect.Parameter:
    names = names or (f"--{name.replace('_', '-')}",)
    parameter = Parameter(name=names, help=help, group=OUTPUT, negative=(), show_default=False)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[annotation, parameter]
    )


FOLDER = _option("output", Path, Path(), "The folder for the images; the current one by default.", "--output", "-o")
NO_SAVE = _option("no_save", bool, False, "Print the links of the images, and save none. They expire within 24 hours.")
SUBMIT = _option("submit", bool, False, "Print the id of the generation, and do not wait: `wait ID` saves the images.")
WEBHOOK_URL = _option(
    "webhook_url", str | None, None, "With --submit: public https URL that the service calls with the result."
)
QUOTE = _option("quote", bool, False, "Ask the service for the price, and generate nothing. Costs nothing.")
DRY_RUN = _option("dry_run", bool, False, "Print the request and its price, and send nothing. Needs no API key.")
YES = _option("yes", bool, False, "Do not ask before a call of more than 25 USD.", "--yes", "-y")

SETTINGS = inspect.Parameter("settings", inspect.Parameter.KEYWORD_ONLY, default=DEFAULT_SETTINGS, annotation=Settings)


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
    # An option that is also a field of the class sets both.
    others = {parameter.name for parameter in more}
    own = [
        _parameter(field, for_cli(docs.get(name, ""), fields)) for name, field in fields.items() if name not in others
    ]
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
    try:
        match value:
            case str():
                return parse_text(field, value, Path())
            case list() if field_kind(field) is not FieldKind.FILES:
                return parse_texts(field, value)
            case list():
                return [parse_asset(str(item)) or item for item in value]
            case Path():
                return parse_asset(str(value)) or value
            case _:
                return value
    except ValueError as error:
        message = f"{_option_name(field)} {error}"
        raise UsageError(message, "Correct the option.") from None


def _option_name(field: Field) -> str:
    name = field.name.replace("_", "-")
    name = name.removesuffix("-time") if field_kind(field) is FieldKind.TIME else name
    return f"--{name}" if field.kw_only else name.upper()


def _parameter(field: Field, help: str) -> inspect.Parameter:
    kind, is_required = field_kind(field), field.default is attrs.NOTHING
    is_list, values = kind in LISTS, accepted_values(field)
    repeat = "May be repeated." if is_list and field.kw_only else ""
    item = literal(values) if values else str
    option = TYPES[kind] if not values else list[item] if is_list else item  # type: ignore[valid-type]
    name = field.name.replace("_", "-")
    parameter = Parameter(
        # A time is long to type: --start is short for --start-time.
        name=[f"--{name.removesuffix('-time')}", f"--{name}"] if kind is FieldKind.TIME else None,
        help=" ".join([*help.split(), *filter(None, (repeat, choices_note(field, help)))]),
        negative=() if is_list else None,
        converter=(take_texts if is_list else take_text) if values else None,
        show_choices=False,
    )
    return inspect.Parameter(
        field.name,
        inspect.Parameter.KEYWORD_ONLY if field.kw_only else inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=inspect.Parameter.empty if is_required else None,
        annotation=Annotated[option if is_required else option | None, parameter],
    )
