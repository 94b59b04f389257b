"""Waiting for a model to be trained."""

from __future__ import annotations

import asyncio

from rich.text import Text

from ideogram_async.cli.answers import tell_answer
from ideogram_async.cli.exits import Exit
from ideogram_async.cli.options import Json
from ideogram_async.cli.plain import plain
from ideogram_async.cli.say import console, safe, say_json
from ideogram_async.cli.settings import client_of_environment
from ideogram_async.cli.trouble import UsageError, say_trouble
from ideogram_async.enums import ModelStatus
from ideogram_async.models import GetModelResponse

__all__ = ["wait"]

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
