"""Rows as a format yields them, and the layout that was recognized."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from attrs import field, frozen, mutable

from ideogram_async._rows.problems import RowError


@frozen
class Header:
    """The columns of a table."""

    names: Sequence[str]


Item: TypeAlias = Mapping[str, object] | Header | RowError
"""A row, the columns of the rows that follow, or a fault."""


@mutable
class Layout:
    """Layout of a list as it was read: its format, and the columns by their use."""

    chosen: frozenset[str] = frozenset()
    """The columns that the user has chosen for fields, by their plain names."""
    format: str = ""
    """Such as `table, separated by semicolons`."""
    encoding: str | None = None
    fields: dict[str, str] = field(factory=dict)
    """The column of each field, and of `id` and `operation`."""
    operation: str | None = None
    """The operation of rows that name none, if there are such rows."""
    set: dict[str, str] = field(factory=dict)
    """The values that were set for all jobs."""
    carried: dict[str, None] = field(factory=dict)
    """The columns that are carried along."""
    skipped: dict[str, None] = field(factory=dict)
    """The columns that are skipped."""
