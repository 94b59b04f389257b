"""Sources that can be read once only: copied into the folder before a job is noted, so that a later run has them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, TypeVar, cast

import attrs
from attrs import frozen

from ideogram_async.batch.inputs import Inputs
from ideogram_async.endpoint import Request
from ideogram_async.errors import InvalidRequestError
from ideogram_async.exchange.spool import OpenLink, spooled
from ideogram_async.files import FromJob, ImageFile, is_once_only, listed
from ideogram_async.transport.threads import in_thread

__all__ = ["Keeper", "has_once_only", "named_in"]

R = TypeVar("R", bound=Request[Any])


@frozen
class _Single:
    """One file, in the shape of a request."""

    file: ImageFile


@frozen
class Keeper:
    """Copies open handles, async readers and the images of earlier answers."""

    inputs: Inputs
    open_link: OpenLink
    max_bytes: int

    async def keep(self, request: R) -> R:
        """Return the request with the copies in the place of what can be read once only.

        Raises:
            InvalidRequestError: If a source cannot be read, or is too large.
            OSError: If the folder cannot be written.
        """
        changes: dict[str, Any] = {}
        for field in attrs.fields(cast(Any, type(request))):
            value = getattr(request, field.name)
            if any(map(_has_to_be_copied, listed(value))):
                kept = tuple([await self._kept(field.name, item) for item in listed(value)])
                changes[field.name] = kept if isinstance(value, tuple) else kept[0]

        return cast(R, attrs.evolve(cast(Any, request), **changes)) if changes else request

    async def _kept(self, field: str, file: ImageFile) -> ImageFile:
        if not _has_to_be_copied(file):
            return file

        try:
            async with spooled(cast(Any, _Single(file)), self.open_link, max_bytes=self.max_bytes) as copied:
                return await in_thread(partial(self.inputs.adopt, copied.file))
        except InvalidRequestError as error:
            raise InvalidRequestError([(field, rule) for _, rule in error.problems]) from None


def has_once_only(request: Request[Any]) -> bool:
    """Say whether a request has a source that would be used up by reading it."""
    return any(map(_has_to_be_copied, _values(request)))


def named_in(request: Request[Any]) -> Iterator[tuple[str, FromJob]]:
    """Go over the images of other jobs that a request takes, each with its field."""
    for field in attrs.fields(cast(Any, type(request))):
        for item in listed(getattr(request, field.name)):
            if isinstance(item, ImageFile) and isinstance(item.source, FromJob):
                yield field.name, item.source


def _values(request: Request[Any]) -> list[Any]:
    values = (getattr(request, field.name) for field in attrs.fields(cast(Any, type(request))))
    return [item for value in values for item in listed(value)]


def _has_to_be_copied(value: Any) -> bool:
    return is_once_only(value) and not isinstance(value.source, FromJob)
