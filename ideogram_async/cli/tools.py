"""Commands `estimate`, `models wait`, `demo` and `sandbox`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from ideogram_async import GetModelResponse
from ideogram_async.cli.catalog import AnyRequest, Command, command_function, rule_for_cli
from ideogram_async.cli.console import Exit, console, escape, format_usd, print_json, run_async, to_json_fields
from ideogram_async.cli.errors import UsageError, print_error
from ideogram_async.cli.options import JSON, Json, client_from_environment, client_without_key, operation_command
from ideogram_async.cli.render import print_answer
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
    price = client_without_key().estimate(request)
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


def wait(model_id: str, *, poll: float = 30.0, timeout: float | None = None, json: Json = False) -> int:
    """Run `models wait`.

    Args:
        model_id: The model.
        poll: Seconds between two requests.
        timeout: Seconds to wait in total; no limit by default.
    """
    if not poll > 0 or (timeout is not None and not timeout > 0):
        raise UsageError("--poll and --timeout must be more than 0 seconds", "Pass a larger number.")

    try:
        answer = run_async(_wait(model_id, poll, timeout, as_json=json))
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


async def _wait(model_id: str, poll: float, timeout: float | None, *, as_json: bool) -> GetModelResponse:
    target = console()
    async with client_from_environment() as client:
        if not as_json and target.is_terminal:
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
