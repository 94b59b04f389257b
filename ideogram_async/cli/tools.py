"""What an operation will cost."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from cyclopts import Parameter
from rich.text import Text

from ideogram_async.cli.catalog import worded
from ideogram_async.cli.console import Exit, console, money, plain, safe, say_json
from ideogram_async.cli.errors import UsageError, say_trouble
from ideogram_async.cli.options import Json, client_of_environment, client_without_key
from ideogram_async.cli.render import tell_answer
from ideogram_async.enums import ModelStatus
from ideogram_async.models import GetModelResponse


def estimate(request: Any, *, json: bool = False) -> int:
    """Say what a request will cost, and where that price stands. Sends nothing."""
    price = client_without_key().estimate(request)
    problems = request.problems()
    if json:
        say_json({"price": price, "problems": [{"field": field, "rule": rule} for field, rule in problems]})
    else:
        target = console()
        target.print(Text(money(price.usd), "bold"))
        if price.per_image is not None and price.per_image != price.usd:
            target.print(Text(f"  {money(price.per_image)} an image", "dim"))

        if price.as_of is not None:
            target.print(Text(f"  as of {price.as_of}, {price.source}", "dim"))

        for field, rule in problems:
            target.print(Text(f"  {field}: {safe(worded(rule))}", "yellow"))

    return Exit.USAGE if problems else Exit.OK


Words = Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]


def demo(*words: Words) -> int:
    """Make some images against a sandbox; buys nothing."""
    from ideogram_async.demo import main

    return main(words, prog="ideogram-async demo")


def sandbox(*words: Words) -> int:
    """Serve a sandbox until Ctrl-C: a local stand-in that behaves and bills alike, and costs nothing."""
    from ideogram_async.sandbox.command import main

    return main(words, prog="ideogram-async sandbox")


GOES_ON = "The training goes on, and so does the waiting with the same command."


def wait(model_id: str, *, poll: float = 30.0, timeout: float | None = None, json: Json = False) -> int:
    """Wait until a model is trained, or its training has failed. Costs nothing.

    Exits with 0 once it is trained, and with 1 if it has failed or takes longer than `--timeout`. Ctrl-C ends the
    waiting, not the training.

    Args:
        model_id: Which one.
        poll: Seconds between two looks.
        timeout: Seconds to wait in all; for ever if not given.
    """
    if not poll > 0 or (timeout is not None and not timeout > 0):
        raise UsageError("--poll and --timeout are seconds, and more than 0", "Give a larger number.")

    try:
        answer = asyncio.run(_waited(model_id, poll, timeout, as_json=json))
    except KeyboardInterrupt:
        say_trouble("Interrupted.", GOES_ON, as_json=json, name="Interrupted")
        return Exit.INTERRUPTED
    except TimeoutError:
        say_trouble(f"{model_id} is not trained after {timeout:g} s.", GOES_ON, as_json=json, name="TimeoutError")
        return Exit.FAILED

    if json:
        say_json(plain(answer))
    else:
        tell_answer(answer, (), None)

    return Exit.OK if answer.model.status == ModelStatus.COMPLETED else Exit.FAILED


async def _waited(model_id: str, poll: float, timeout: float | None, *, as_json: bool) -> GetModelResponse:
    target = console()
    async with client_of_environment() as client:
        if not as_json and target.is_terminal:
            target.print(Text(f"Waiting for {safe(model_id)}; Ctrl-C ends the waiting, not the training.", "dim"))

        return await client.models.wait(model_id, poll=poll, timeout=timeout)
