"""Preview of a request: how it would be sent, and its price."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from rich.text import Text

from ideogram_async import Ideogram
from ideogram_async._formats import HEADER_BYTES
from ideogram_async._prices import format_usd
from ideogram_async._rows.fields import AnyRequest
from ideogram_async._wire.call import Call, Part
from ideogram_async._wire.encode import encode
from ideogram_async.cli.console import console, escape, print_json, print_wrapped
from ideogram_async.errors import InvalidRequestError

LABEL_WIDTH = 18


def print_request(client: Ideogram, request: AnyRequest, folder: Path | None, *, as_json: bool) -> None:
    """Print a request as it would be sent, its price, and the folder of its images.

    Raises:
        InvalidRequestError: If it breaks a rule.
    """
    if problems := request.problems():
        raise InvalidRequestError(problems, subject=type(request).__name__)

    private = client._pipeline.config.private  # pyright: ignore[reportPrivateUsage]
    call, price = encode(request, private=private), client.estimate(request)
    fields = list(_fields(call))
    if as_json:
        sent = {"method": call.method, "path": call.path, "fields": fields}
        print_json({"event": "DryRun", **sent, "price": price, "folder": folder})
        return

    target = console()
    target.print(Text(f"{call.method} {escape(call.path)}", "bold"), soft_wrap=True)
    for name, value in fields:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        _print_line(name, text)

    source = f", as of {price.as_of}" if price.as_of else ""
    _print_line("price", f"{format_usd(price.usd)}{source}")
    if folder is not None:
        _print_line("folder", str(folder.resolve()))

    target.print(Text("  Nothing was sent.", "dim"))


def _print_line(name: str, value: str) -> None:
    print_wrapped(console(), Text(f"  {name} ".ljust(LABEL_WIDTH), "dim"), Text(escape(value)), indent=LABEL_WIDTH)


def _fields(call: Call) -> Iterator[tuple[str, object]]:
    """Yield the fields of a call by the names of the service. A list is repeated in a form."""
    if call.json is not None:
        yield from json.loads(call.json).items()

    for part in call.form or ():
        yield part.name, _value(part)

    yield from call.params


def _value(part: Part) -> str:
    if isinstance(part.body, str):
        return part.body

    with part.body.open() as file:
        name = part.body.file_name(file.read(HEADER_BYTES))

    return f"{name} ({part.body.size():,} bytes)"
