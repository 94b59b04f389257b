"""One operation, sent once: its answer told, its images stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from attrs import frozen

from ideogram_async._client import Ideogram
from ideogram_async.cli.console import Exit, of_error, plain, say_json, worst
from ideogram_async.cli.errors import UsageError, say_error, say_trouble, tell_error
from ideogram_async.cli.options import client_of_environment
from ideogram_async.cli.render import tell_answer, tell_paths
from ideogram_async.errors import Billed, DecodeError, IdeogramError
from ideogram_async.models.images import ImageAnswer


def send(request: Any, *, output: Path | None = None, json: bool = False) -> int:
    """Send a request, store its images in the folder `output`, and tell the answer. Returns the exit code."""
    sending = _Sending(request, output, as_json=json)
    _make(output)
    try:
        return asyncio.run(sending.through())
    except KeyboardInterrupt:
        sending.say_interrupted()
        return Exit.INTERRUPTED


@frozen
class _Stored:
    """What became of a link: a file, or the error that kept it from being one. Neither, where there was no link."""

    path: Path | None = None
    error: IdeogramError | OSError | None = None


class _Sending:
    """A request on its way, as far as it has come."""

    def __init__(self, request: Any, output: Path | None, *, as_json: bool) -> None:
        self._request = request
        self._output = output
        self._as_json = as_json
        self._answer: Any = None

    async def through(self) -> Exit:
        """Send, store and tell."""
        async with client_of_environment() as client:
            try:
                self._answer = await client.send(self._request)
            except DecodeError as error:
                return await self._rescue(client, error)

            links = list(_links_of(self._answer))
            stored = await self._store(client, links)

        self._tell(stored, client)
        codes = [self._say_unstored(one.error) for one in stored if one.error is not None]
        return worst([Exit.FAILED if None in links else Exit.OK, *codes])

    def say_interrupted(self) -> None:
        """Say what a Ctrl-C leaves behind; links are all that is left of what was not stored."""
        if self._answer is not None and any(_links_of(self._answer)):
            self._tell([], None)
            self._trouble("Interrupted.", "The images are at these links until they expire.", Billed.YES)
        elif self._request.endpoint.charged:
            advice = "If the call had been sent it goes on at the service, and nothing can bring its answer back."
            self._trouble("Interrupted.", advice, Billed.UNKNOWN)
        else:
            self._trouble("Interrupted.", "", Billed.NO)

    async def _store(self, client: Ideogram, links: Iterable[str | None]) -> list[_Stored]:
        """Download what has a link. Each image by itself: one that fails keeps no other from the disk."""
        if self._output is None:
            return []

        return await asyncio.gather(*(_stored(client, link, self._output) for link in links))

    async def _rescue(self, client: Ideogram, error: DecodeError) -> Exit:
        """Store what an answer that cannot be read has links to: it was paid for."""
        stored = await self._store(client, error.links)
        if self._as_json:
            paths = {"paths": [one.path for one in stored]} if stored else {}
            say_json({"event": "Error", **tell_error(error), **paths})
        else:
            tell_paths([one.path for one in stored])
            say_error(error)

        return of_error(error)

    def _tell(self, stored: list[_Stored], client: Ideogram | None) -> None:
        paths = [one.path for one in stored]
        if not self._as_json:
            tell_answer(self._answer, paths, None if client is None else client.estimate(self._request))
            return

        told = plain(self._answer)
        say_json(told | {"paths": paths} if stored else told)

    def _say_unstored(self, error: IdeogramError | OSError) -> Exit:
        if isinstance(error, IdeogramError):
            say_error(error, as_json=self._as_json, billed=Billed.YES)
        else:
            message = f"{self._output} cannot be written: {error.strerror or error}"
            self._trouble(message, "The image is at its link until that expires.", Billed.YES)

        return Exit.FAILED

    def _trouble(self, message: str, advice: str, billed: Billed) -> None:
        name = "Interrupted" if message == "Interrupted." else "OSError"
        say_trouble(message, advice, as_json=self._as_json, name=name, billed=billed)


def _make(output: Path | None) -> None:
    """Make the folder before anything is paid for what goes into it."""
    if output is None:
        return

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        what = "is a file" if output.is_file() else f"cannot be made: {error.strerror or error}"
        raise UsageError(f"{output} {what}; images need a folder", "Name another folder.") from None


def _links_of(answer: Any) -> Iterator[str | None]:
    """Go over the links of an answer's images; `None` stands for one that was withheld."""
    if isinstance(answer, ImageAnswer):
        yield from (image.url for image in answer.images)


async def _stored(client: Ideogram, link: str | None, output: Path) -> _Stored:
    if link is None:
        return _Stored()

    try:
        return _Stored(path=await client.download(link, f"{output}/"))
    except (IdeogramError, OSError) as error:
        return _Stored(error=error)
