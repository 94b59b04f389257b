"""The operations under the names that they have here: `generate`, `legacy-edit`, `datasets create`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

from attrs import frozen

from ideogram_async.cli.fields import fields_of
from ideogram_async.cli.wording import told
from ideogram_async.client import Ideogram
from ideogram_async.namespaces import Datasets, Legacy, Models
from ideogram_async.operations import Operation

__all__ = ["Named", "makers", "operations"]

IMAGES = "ideogram_async.models.images"


@frozen
class Named:
    """An operation and its name."""

    name: str
    """As it is typed: `legacy-edit`."""
    request: type[Any]
    group: str = ""
    """The word before the name, if there is one: `datasets`."""

    @property
    def is_legacy(self) -> bool:
        """Whether it is one of the older models'."""
        return self.name.startswith("legacy-")

    @property
    def makes_images(self) -> bool:
        """Whether its answer holds images."""
        return bool(self.request.endpoint.answer.__module__ == IMAGES)

    @property
    def words(self) -> str:
        """What it does; the page of its rules stands below."""
        return told(inspect.getdoc(self.request) or "", fields_of(self.request))


def operations() -> Iterator[Named]:
    """List all operations, in the order of the client."""
    for owner, group, prefix in (
        (Ideogram, "", ""),
        (Legacy, "", "legacy-"),
        (Datasets, "datasets", ""),
        (Models, "models", ""),
    ):
        for name, worn in vars(owner).items():
            if isinstance(worn, Operation):
                request: Any = worn.request
                yield Named(prefix + name.replace("_", "-"), request, group)


def makers() -> dict[str, Named]:
    """List the operations that a batch takes: those that make images."""
    return {named.name: named for named in operations() if named.makes_images}
