"""One operation, sent once: its answer told, its images stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ideogram_async.cli.answers import tell_answer
from ideogram_async.cli.exits import Exit, of_error, worst
from ideogram_async.cli.plain import plain
from ideogram_async.cli.say import say_error, say_json, say_usage
from ideogram_async.cli.settings import client_of_environment
from ideogram_async.client import Ideogram
from ideogram_async.errors import IdeogramError

__all__ = ["links_of", "send"]

IN_DOUBT = "Interrupted. If the call had been sent it goes on at the service: it may have been paid for."


def send(request: Any, *, output: Path | None = None, json: bool = False) -> int:
    """Send a request, store its images in the folder `output`, and tell the answer. Returns the exit code."""
    if output is not None and output.exists() and not output.is_dir():
        say_usage(f"{output} is a file; images need a folder", as_json=json)
        return Exit.USAGE

    try:
        return asyncio.run(_send(request, output, as_json=json))
    except KeyboardInterrupt:
        say_usage(IN_DOUBT, as_json=json)
        return Exit.INTERRUPTED


async def _send(request: Any, output: Path | None, *, as_json: bool) -> Exit:
    async with client_of_environment() as client:
        answer = await client.send(request)
        paths, errors = await _store(client, answer, output)

    price = client.estimate(request).usd
    if as_json:
        told = plain(answer)
        say_json(told if output is None else told | {"paths": paths})
    else:
        tell_answer(answer, paths, price)

    for error in errors:
        say_error(error, as_json=as_json)

    has_withheld = any(link is None for link in links_of(answer))
    return worst([Exit.FAILED if has_withheld else Exit.OK, *map(of_error, errors)])


def links_of(answer: Any) -> Iterator[str | None]:
    """Go over the links of an answer's images; `None` stands for one that was withheld."""
    if hasattr(answer, "base_image_url"):
        yield answer.base_image_url
        if answer.original_image_url is not None:
            yield answer.original_image_url
    elif type(answer).__module__ == "ideogram_async.models.images":
        yield from (image.url for image in answer)


async def _store(client: Ideogram, answer: Any, output: Path | None) -> tuple[list[Path | None], list[IdeogramError]]:
    """Download what has a link. Each image by itself: one that fails keeps no other from the disk."""
    if output is None:
        return [], []

    waits = [_stored(client, link, output) for link in links_of(answer)]
    stored = await asyncio.gather(*waits)
    return [path for path, _ in stored], [error for _, error in stored if error is not None]


async def _stored(client: Ideogram, link: str | None, output: Path) -> tuple[Path | None, IdeogramError | None]:
    if link is None:
        return None, None

    try:
        return await client.download(link, f"{output}/"), None
    except IdeogramError as error:
        return None, error
