"""Commands `estimate`, `values`, `models wait`, `demo`, `sandbox` and `skill`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from difflib import get_close_matches
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from ideogram_async import GetModelResponse
from ideogram_async._prices import format_usd
from ideogram_async._rows.fields import AnyRequest
from ideogram_async._rows.problems import list_items
from ideogram_async.cli.catalog import Command, command_function, rule_for_cli, users_of, value_lists
from ideogram_async.cli.choices import literal, take_text
from ideogram_async.cli.console import console, escape, print_json, print_wrapped, to_json_fields
from ideogram_async.cli.errors import UsageError, print_error
from ideogram_async.cli.exit_codes import Exit
from ideogram_async.cli.interrupts import run_async
from ideogram_async.cli.options import JSON, Json, operation_command
from ideogram_async.cli.render import print_answer
from ideogram_async.cli.settings import DEFAULT_WAIT_SETTINGS, Settings, WaitSettings, require_key
from ideogram_async.enums import ModelStatus

Arguments = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]
TRAINING = "The training continues; the same command waits again."


def __getattr__(name: str) -> Callable[..., int]:
    """Build `estimate` for an operation, which cyclopts imports by name when it is used."""
    return command_function(name, _build)


def _build(command: Command) -> Callable[..., int]:
    return operation_command(command, estimate, JSON, help=command.estimate_help)


def estimate(request: AnyRequest, *, json: bool = False) -> int:
    """Print the price of a request, and its source. Sends nothing."""
    price = Settings().client().estimate(request)
    problems = request.problems()
    if json:
        print_json({"price": price, "problems": [{"field": field, "rule": rule} for field, rule in problems]})
        return Exit.USAGE if problems else Exit.OK

    target = console()
    target.print(Text(format_usd(price.usd), "bold"))
    if price.per_image is not None and price.per_image != price.usd:
        target.print(Text(f"  {format_usd(price.per_image)} per image", "dim"))

    if price.as_of is not None:
        target.print(Text(f"  as of {price.as_of}, {price.source}", "dim"))

    for field, rule in problems:
        target.print(Text(f"  {field}: {escape(rule_for_cli(rule))}", "yellow"))

    return Exit.USAGE if problems else Exit.OK


def values(name: str | None = None, /, *, json: Json = False) -> int:
    """Run `values`.

    Args:
        name: The name of a list, such as style-preset. Without it, the names of all lists are printed.
    """
    lists = value_lists()
    if name is None:
        _print_lists(as_json=json)
        return Exit.OK

    key = name.removeprefix("--").replace("_", "-").casefold()
    if key not in lists:
        close = get_close_matches(key, lists, 1)
        hint = f"Did you mean {close[0]!r}?" if close else "To list them: ideogram-async values"
        raise UsageError(f"{name!r} is not a list of values.", hint)

    if json:
        print_json({"name": key, "values": list(lists[key])})
    else:
        sys.stdout.write("\n".join([*lists[key], ""]))

    return Exit.OK


values.__annotations__["name"] = Annotated[
    literal(tuple(value_lists())) | None, Parameter(converter=take_text, show_choices=False)
]


def _print_lists(*, as_json: bool) -> None:
    if as_json:
        print_json({"names": list(value_lists())})
        return

    target = console()
    width = max(map(len, value_lists()))
    for name, enum in value_lists().items():
        # A list of the second contract has no description of its own.
        text = vars(enum).get("__doc__") or f"For {list_items(users_of(enum))}."
        print_wrapped(target, Text(f"{name:<{width}}  ", "bold"), Text(text, "dim"), indent=width + 2)


def wait(
    model_id: str,
    *,
    poll: float = 30.0,
    timeout: float | None = None,
    settings: WaitSettings = DEFAULT_WAIT_SETTINGS,
    json: Json = False,
) -> int:
    """Run `models wait`.

    Args:
        model_id: The model.
        poll: Seconds between two requests.
        timeout: Seconds to wait in total; no limit by default.
    """
    if not poll > 0 or (timeout is not None and not timeout > 0):
        raise UsageError("--poll and --timeout must be more than 0 seconds", "Pass a larger number.")

    try:
        answer = run_async(_wait(model_id, poll, timeout, settings, as_json=json))
    except KeyboardInterrupt:
        print_error("Interrupted.", TRAINING, as_json=json, name="Interrupted")
        return Exit.INTERRUPTED
    except TimeoutError:
        message = f"{model_id} was not trained within {timeout:g} s."
        print_error(message, TRAINING, as_json=json, name="TimeoutError")
        return Exit.FAILED

    if json:
        print_json(to_json_fields(answer))
    else:
        print_answer(answer, (), None)

    return Exit.OK if answer.model.status == ModelStatus.COMPLETED else Exit.FAILED


async def _wait(
    model_id: str, poll: float, timeout: float | None, settings: Settings, *, as_json: bool
) -> GetModelResponse:
    require_key()
    target = console()
    async with settings.client(as_json=as_json) as client:
        if target.is_terminal and not (as_json or settings.is_quiet):
            target.print(Text(f"Waiting for {escape(model_id)}; Ctrl-C ends the wait, not the training.", "dim"))

        return await client.models.wait(model_id, poll=poll, timeout=timeout)


def demo(*arguments: Arguments) -> int:
    """Run `demo`."""
    from ideogram_async.demo import main

    return main(arguments, prog="ideogram-async demo")


def sandbox(*arguments: Arguments) -> int:
    """Run `sandbox`."""
    from ideogram_async.sandbox.command import main

    return main(arguments, prog="ideogram-async sandbox")


def skill(*arguments: Arguments) -> int:
    """Run `skill`."""
    from ideogram_async._skill import main

    return main(arguments, prog="ideogram-async skill")
