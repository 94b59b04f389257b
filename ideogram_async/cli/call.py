"""Commands of single operations: one request, its answer and its images."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

from ideogram_async import Ideogram
from ideogram_async.cli.catalog import AnyRequest, Command, command_function
from ideogram_async.cli.console import Exit, exit_code_for_error, print_json, run_async, to_json_fields, worst
from ideogram_async.cli.errors import UsageError, print_error, print_ideogram_error, to_json_error
from ideogram_async.cli.options import FOLDER, JSON, client_from_environment, operation_command
from ideogram_async.cli.render import print_answer, print_paths
from ideogram_async.errors import Billed, DecodeError, IdeogramError
from ideogram_async.models.images import ImageAnswer

Download: TypeAlias = Path | IdeogramError | OSError | None
"""Outcome of a download: `None` for a withheld image, which has no link."""


def __getattr__(name: str) -> Callable[..., int]:
    """Build the command of an operation, which cyclopts imports by name when it is used."""
    return command_function(name, _build)


def _build(command: Command) -> Callable[..., int]:
    return operation_command(command, send, *([FOLDER] * command.endpoint.makes_images), JSON)


def send(request: AnyRequest, *, output: Path | None = None, json: bool = False) -> int:
    """Send a request, store its images in the folder `output`, and print the answer. Return the exit code."""
    sending = _Sending(request, output, as_json=json)
    _make_folder(output)
    try:
        return run_async(sending.run())
    except KeyboardInterrupt:
        sending.print_interrupted()
        return Exit.INTERRUPTED


class _Sending:
    """A request that is being sent, and its answer so far."""

    def __init__(self, request: AnyRequest, output: Path | None, *, as_json: bool) -> None:
        self._request = request
        self._output = output
        self._as_json = as_json
        self._answer: object = None

    async def run(self) -> Exit:
        """Send the request, store its images and print the answer."""
        async with client_from_environment() as client:
            try:
                self._answer = await client.send(self._request)
            except DecodeError as error:
                return await self._rescue_images(client, error)

            links = _links_of(self._answer)
            downloads = await self._download(client, links)

        self._print_answer(downloads, client)
        codes = [self._print_failure(error) for error in downloads if isinstance(error, Exception)]
        return worst([Exit.FAILED if None in links else Exit.OK, *codes])

    def print_interrupted(self) -> None:
        """Print what Ctrl-C interrupted, and the links of images that were not stored."""
        if any(_links_of(self._answer)):
            self._print_answer([], None)
            self._print_error("Interrupted.", "The images are at these links until they expire.", Billed.YES)
        elif self._request.endpoint.charged:
            advice = "If the call was sent, it continues at the service, and its response is lost."
            self._print_error("Interrupted.", advice, Billed.UNKNOWN)
        else:
            self._print_error("Interrupted.", "", Billed.NO)

    async def _download(self, client: Ideogram, links: Iterable[str | None]) -> list[Download]:
        """Download each link separately: a failure does not affect the others."""
        if self._output is None:
            return []

        return await asyncio.gather(*(_download(client, link, self._output) for link in links))

    async def _rescue_images(self, client: Ideogram, error: DecodeError) -> Exit:
        """Store the images that a malformed response links to, since they were billed."""
        paths = _paths(await self._download(client, error.links))
        if self._as_json:
            print_json({"event": "Error", **to_json_error(error), **({"paths": paths} if paths else {})})
        else:
            print_paths(paths)
            print_ideogram_error(error)

        return exit_code_for_error(error)

    def _print_answer(self, downloads: list[Download], client: Ideogram | None) -> None:
        paths = _paths(downloads)
        if self._as_json:
            print_json(to_json_fields(self._answer) | ({"paths": paths} if downloads else {}))
        else:
            print_answer(self._answer, paths, None if client is None else client.estimate(self._request))

    def _print_failure(self, error: IdeogramError | OSError) -> Exit:
        if isinstance(error, IdeogramError):
            print_ideogram_error(error, as_json=self._as_json, billed=Billed.YES)
        else:
            message = f"{self._output} cannot be written: {error.strerror or error}"
            self._print_error(
                message, "The image is available at its link until it expires.", Billed.YES, name="OSError"
            )

        return Exit.FAILED

    def _print_error(self, message: str, advice: str, billed: Billed, *, name: str = "Interrupted") -> None:
        print_error(message, advice, as_json=self._as_json, name=name, billed=billed)


def _make_folder(output: Path | None) -> None:
    """Create the folder before anything is billed."""
    if output is None:
        return

    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fault = "is a file" if output.is_file() else f"cannot be created: {error.strerror or error}"
        raise UsageError(f"{output} {fault}; images need a folder", "Name another folder.") from None


def _links_of(answer: object) -> list[str | None]:
    """Return the links of an answer's images, `None` for a withheld one."""
    return [image.url for image in answer.images] if isinstance(answer, ImageAnswer) else []


def _paths(downloads: Iterable[Download]) -> list[Path | None]:
    return [download if isinstance(download, Path) else None for download in downloads]


async def _download(client: Ideogram, link: str | None, output: Path) -> Download:
    try:
        return None if link is None else await client.download(link, f"{output}/")
    except (IdeogramError, OSError) as error:
        return error
