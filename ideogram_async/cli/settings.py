"""The client that a command uses: all settings come from the environment."""

from __future__ import annotations

import os
from typing import Any

from ideogram_async.cli.trouble import UsageError
from ideogram_async.client import Ideogram

__all__ = ["client_of_environment", "client_without_key"]

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
