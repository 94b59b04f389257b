"""Commands of single operations: one request, its answer and its images."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import redirect_stdout
from pathlib import Path
from typing import TypeAlias

from ideogram_async import Ideogram, Price, TrainModel
from ideogram_async._accepted import Accepted
from ideogram_async._operations import Accept
from ideogram_async._pipeline.pipeline import check_request
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async._rows.fields import AnyRequest
from ideogram_async._transport.emitter import MAY_BE_BILLED
from ideogram_async._wire.encode import weight_of
from ideogram_async.cli.catalog import Command, command_function, command_name
from ideogram_async.cli.confirm import CONFIRMED_USD, can_ask, confirm
from ideogram_async.cli.console import label_line, print_json, spinner
from ideogram_async.cli.errors import UsageError, print_error, print_ideogram_error, to_json_error
from ideogram_async.cli.exit_codes import Exit, exit_code_for_error, worst
from ideogram_async.cli.interrupts import run_async
from ideogram_async.cli.options import (
    DRY_RUN,
    FOLDER,
    JSON,
    NO_SAVE,
    QUOTE,
    SETTINGS,
    SUBMIT,
    WEBHOOK_URL,
    YES,
    operation_command,
)
from ideogram_async.cli.preview import print_request
from ideogram_async.cli.render import print_answer, print_paths, to_json_answer
from ideogram_async.cli.saving import prepare_folder, save_image
from ideogram_async.cli.settings import DEFAULT_SETTINGS, Settings, require_key
from ideogram_async.cli.streams import output
from ideogram_async.errors import Billed, DecodeError, IdeogramError
from ideogram_async.models.images import ImageAnswer

Download: TypeAlias = Path | IdeogramError | OSError | None
"""Outcome of a download: `None` for a withheld image, which has no link, and until it has ended."""


def __getattr__(name: str) -> Callable[..., int]:
    """Build the command of an operation, which cyclopts imports by name when it is used."""
    return command_function(name, _build)


def _build(command: Command) -> Callable[..., int]:
    endpoint = command.endpoint
    options = {
        FOLDER: endpoint.makes_images,
        NO_SAVE: endpoint.makes_images,
        SUBMIT: endpoint.accept is not Accept.NEVER,
        WEBHOOK_URL: endpoint.has_webhook,
        QUOTE: endpoint.has_quote,
        DRY_RUN: True,
        YES: command.request is TrainModel,
    }
    return operation_command(command, send, *(each for each, has in options.items() if has), JSON, SETTINGS)


def send(
    request: AnyRequest,
    *,
    output: Path = Path(),
    no_save: bool = False,
    submit: bool = False,
    webhook_url: str | None = None,
    quote: bool = False,
    dry_run: bool = False,
    yes: bool = False,
    json: bool = False,
    settings: Settings = DEFAULT_SETTINGS,
) -> int:
    """Send a request, store its images in the folder `output`, and print the answer. Return the exit code.

    With `submit` or `quote`, the id or the price is printed instead. `quote` takes precedence: nothing is submitted.
    """
    if webhook_url is not None and not submit:
        raise UsageError("--webhook-url needs --submit.", "Add it: the service calls webhooks for submitted calls.")

    has_images = request.endpoint.makes_images and not (no_save or submit or quote)
    folder = folder_of(output) if has_images else None
    if dry_run:
        print_request(settings.client(), request, folder, as_json=json)
        return Exit.OK

    sending = Sending(request, folder, settings, is_confirmed=yes, as_json=json)
    if quote:
        sending.action, sending.is_charged = lambda client: client.quote(request), False
    elif submit:
        sending.action = lambda client: client.submit(request, webhook_url=webhook_url)
    elif request.endpoint.accept is Accept.ALWAYS:
        sending.action = sending.submit_and_wait

    return run_sending(sending)


def folder_of(output: Path) -> Path:
    """Return a folder as the user names it."""
    # Shells do not expand the tilde in --output=~/images. Path.expanduser raises where there is no home.
    return Path(os.path.expanduser(output))  # noqa: PTH111


def run_sending(sending: Sending) -> int:
    """Send, and return the exit code."""
    try:
        return run_async(sending.run())
    except KeyboardInterrupt:
        sending.print_interrupted()
        return Exit.INTERRUPTED


class Sending:
    """A request that is being sent, and its answer so far."""

    def __init__(
        self, request: AnyRequest, folder: Path | None, settings: Settings, *, is_confirmed: bool = False, as_json: bool
    ) -> None:
        self.action: Callable[[Ideogram], Awaitable[object]] = lambda client: client.send(request)
        """What is done with the request."""
        self.is_charged: bool = request.endpoint.charged
        """Whether it may be billed."""
        self.ticket: Accepted | None = None
        """The acceptance, if the service has accepted the call and finishes it later."""
        self.name: str | None = None
        """What the spinner shows; the name of the command by default."""
        self._request = request
        self._folder = folder
        self._settings = settings
        self._is_confirmed = is_confirmed
        self._as_json = as_json
        self._price: Price | None = None
        self._answer: object = None
        self._error: DecodeError | None = None
        """The error of an answer that cannot be read."""
        self._links: list[str | None] = []
        """The links of the answer's images, `None` for a withheld one."""
        self._downloads: list[Download] = []
        self._billed = Billed.NO
        """Whether a call without an answer was billed."""
        self._fate = MAY_BE_BILLED
        """What becomes of a call that was interrupted."""

    @property
    def _is_silent(self) -> bool:
        return self._as_json or self._settings.is_quiet

    async def run(self) -> Exit:
        """Send the request, store its images and print the answer."""
        async with self._settings.client(as_json=self._as_json) as client:
            await self._prepare(client)
            images = pluralize(weight_of(self._request), "image") if self._request.endpoint.makes_images else ""
            name = self.name or f"{command_name(self._request)}{': ' if images else ''}{images}"
            with spinner(name, is_shown=not self._is_silent) as update:
                try:
                    self._answer = await self._send(client)
                    self._links = _links_of(self._answer)
                except DecodeError as error:
                    # Images that a malformed response links to were billed.
                    self._error, self._links = error, [*error.links]

                if self._folder is not None:
                    update(f"Saving {pluralize(len(self._links), 'image')}")
                    await self._download(client, self._folder)

        return self._print()

    def print_interrupted(self) -> None:
        """Print what Ctrl-C interrupted, and the links of images that were not stored."""
        if self._error is not None or any(self._links):
            self._print()
            self._print_error("Interrupted.", "Images without a path are at their links.", Billed.YES)
        elif self.ticket is not None:
            advice = f"The generation continues. To save its images: ideogram-async wait {self.ticket}"
            self._print_error("Interrupted.", advice, self._billed)
        elif self._billed is Billed.UNKNOWN:
            advice = "The call was sent. It continues at the service, and its response is lost."
            if self._fate != MAY_BE_BILLED:
                advice = f"The call was sent: {self._fate}. To save its images, pass its id to ideogram-async wait."

            self._print_error("Interrupted.", advice, Billed.UNKNOWN)
        else:
            advice = "The call was not sent." if self.is_charged else ""
            self._print_error("Interrupted.", advice, Billed.NO)

    async def submit_and_wait(self, client: Ideogram) -> object:
        """Return the answer of a call that the service accepts first, so that an interruption leaves its id."""
        self.ticket = await client.submit(self._request)
        return await client.generations.wait(self.ticket)

    async def _prepare(self, client: Ideogram) -> None:
        """Check what can be checked before money is spent, and ask before an expensive call."""
        await check_request(self._request, client._pipeline.config)  # pyright: ignore[reportPrivateUsage]
        require_key()
        self._price = client.estimate(self._request) if self.is_charged else None
        price = None if self._price is None else self._price.usd
        is_expensive = price is not None and price > CONFIRMED_USD
        if is_expensive and not self._is_confirmed and can_ask():
            facts = [label_line("call", command_name(self._request)), label_line("price", format_usd(price), "bold")]
            await confirm(facts, otherwise="To send it without a question, pass --yes.")

        if self._folder is not None:
            prepare_folder(self._folder, weight_of(self._request))

    async def _send(self, client: Ideogram) -> object:
        self._billed = Billed.UNKNOWN if self.is_charged else Billed.NO
        try:
            return await self.action(client)
        except asyncio.CancelledError as error:
            self._fate = next(iter(getattr(error, "__notes__", ())), "")
            if not self._fate:
                self._billed = Billed.NO

            raise

    async def _download(self, client: Ideogram, folder: Path) -> None:
        """Download each link separately: a failure does not affect the others."""
        downloads = self._downloads
        downloads += [None] * len(self._links)

        async def download(index: int, link: str) -> None:
            try:
                downloads[index] = await save_image(client, link, folder)
            except (IdeogramError, OSError) as error:
                downloads[index] = error

        await asyncio.gather(*(download(index, link) for index, link in enumerate(self._links) if link is not None))

    def _print(self) -> Exit:
        if self._error is not None:
            return self._print_unreadable(self._error)

        self._print_answer()
        codes = [self._print_failure(error) for error in self._downloads if isinstance(error, Exception)]
        return worst([Exit.FAILED if None in self._links else Exit.OK, *codes])

    def _print_unreadable(self, error: DecodeError) -> Exit:
        paths = _paths(self._downloads)
        if self._as_json:
            print_json({"event": "Error", **to_json_error(error), **({"paths": paths} if paths else {})})
        else:
            print_paths(paths)
            print_ideogram_error(error)

        return exit_code_for_error(error)

    def _print_answer(self) -> None:
        self._write_answer()
        if output().is_lost:
            # What was billed must be found again.
            with redirect_stdout(sys.stderr):
                self._write_answer()

    def _write_answer(self) -> None:
        paths = _paths(self._downloads)
        if self._as_json:
            print_json(to_json_answer(self._answer) | ({"paths": paths} if self._downloads else {}))
        else:
            print_answer(self._answer, paths, None if self._is_silent else self._price)

    def _print_failure(self, error: IdeogramError | OSError) -> Exit:
        if isinstance(error, IdeogramError):
            print_ideogram_error(error, as_json=self._as_json, billed=Billed.YES)
        else:
            message = f"{self._folder} cannot be written: {error.strerror or error}"
            self._print_error(message, "The image is at its link.", Billed.YES, name="OSError")

        return Exit.FAILED

    def _print_error(self, message: str, advice: str, billed: Billed, *, name: str = "Interrupted") -> None:
        print_error(message, advice, as_json=self._as_json, name=name, billed=billed)


def _links_of(answer: object) -> list[str | None]:
    """Return the links of an answer's images, `None` for a withheld one."""
    return [image.url for image in answer.images] if isinstance(answer, ImageAnswer) else []


def _paths(downloads: Iterable[Download]) -> list[Path | None]:
    return [download if isinstance(download, Path) else None for download in downloads]
