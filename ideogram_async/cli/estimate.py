"""What an operation will cost."""

from __future__ import annotations

from typing import Any

from rich.text import Text

from ideogram_async.cli.exits import Exit
from ideogram_async.cli.say import console, money, safe, say_json
from ideogram_async.cli.settings import client_without_key
from ideogram_async.cli.wording import worded

__all__ = ["estimate"]


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
