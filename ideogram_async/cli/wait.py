"""Command `wait`: the images of a generation that was submitted."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ideogram_async.cli.call import Sending, folder_of, run_sending
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.options import FOLDER, NO_SAVE, Json
from ideogram_async.cli.settings import DEFAULT_WAIT_SETTINGS, WaitSettings
from ideogram_async.v2.account import GetGeneration

TIMEOUT = 600.0


def wait(
    generation_id: str,
    *,
    output: Path = Path(),
    no_save: bool = False,
    timeout: float = TIMEOUT,
    settings: WaitSettings = DEFAULT_WAIT_SETTINGS,
    json: Json = False,
) -> int:
    """Run `wait`.

    Args:
        generation_id: The id that `--submit` printed.
        timeout: Seconds to wait in total.
    """
    if not timeout > 0:
        raise UsageError("--timeout must be more than 0 seconds", "Pass a larger number.")

    sending = Sending(GetGeneration(generation_id), None if no_save else folder_of(output), settings, as_json=json)
    sending.name = f"Waiting for {generation_id}"
    sending.action = lambda client: client.generations.wait(generation_id, timeout=timeout)
    return run_sending(sending)


wait.__annotations__ |= {
    # Ids are URL-safe base64, and may begin with a hyphen.
    "generation_id": Annotated[str, Parameter(allow_leading_hyphen=True)],
    "output": FOLDER.annotation,
    "no_save": NO_SAVE.annotation,
}
