"""Faults of rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import frozen

LISTED_LINES = 3


class RowError(Exception):
    """A row that cannot become a job; `problems` lists every fault, as `(field, rule)`."""

    def __init__(self, *problems: tuple[str, str]) -> None:
        super().__init__(*problems)
        self._problems = problems

    @property
    def problems(self) -> tuple[tuple[str, str], ...]:
        """Return every fault, as `(field, rule)`."""
        return self._problems


@frozen
class Problem:
    """A fault in a row."""

    line: int
    field: str
    """Empty if the fault concerns the whole line."""
    rule: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.field}{' ' if self.field else ''}{self.rule}"


def group_problems(problems: Iterable[Problem]) -> dict[tuple[str, str], list[int]]:
    """Return the lines of each fault, by its field and rule, in the order of the first lines."""
    groups: dict[tuple[str, str], list[int]] = {}
    for problem in problems:
        groups.setdefault((problem.field, problem.rule), []).append(problem.line)

    return groups


def list_items(items: Sequence[object], limit: int = LISTED_LINES) -> str:
    """Return items as text: `2, 5 and 9`, or `2, 5, 9 and 40 more` if there are many."""
    listed = [str(item) for item in items[:limit]]
    if len(items) > limit:
        return f"{', '.join(listed)} and {len(items) - limit:,} more"

    return " and ".join(filter(None, (", ".join(listed[:-1]), listed[-1])))
