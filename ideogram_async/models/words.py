"""Answers that hold words."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from ideogram_async.models.answer import Answer, Item

__all__ = ["DescribeResponse", "Description"]


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class Description(Item):
    """One description of an image."""

    text: str | None = None


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class DescribeResponse(Answer):
    """Descriptions of an image. Iterating goes over them."""

    descriptions: tuple[Description, ...] = ()

    def __iter__(self) -> Iterator[Description]:
        return iter(self.descriptions)
