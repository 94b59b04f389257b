"""What every request can do: list what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import attrs
from attrs import frozen

from ideogram_async.requests.rules import Limits, Rule
from ideogram_async.value import Value

__all__ = ["RequestBase", "as_texts"]


@frozen(slots=False, kw_only=True, eq=False, repr=False)
class RequestBase(Value):
    """A request. `None` is not sent, and nothing is refused before sending."""

    def problems(
        self, *, max_upload_bytes: int = 10 * 2**20, loopback: bool = False, validate: bool = True
    ) -> list[tuple[str, str]]:
        """List every fault at once, as `(field, rule)`; an empty list means that it may be sent.

        Reads the first bytes of files, so it blocks for a moment.

        Args:
            max_upload_bytes: What one image, or one group of references, may weigh.
            loopback: Whether links to this machine are accepted.
            validate: `False` judges types only, not the rules of the service.
        """
        limits = Limits(max_upload_bytes=max_upload_bytes, loopback=loopback)
        problems: list[tuple[str, str]] = []
        wrong: set[str] = set()
        kind: Any = type(self)
        for name, rule, is_optional in _rules_of(kind):
            value = getattr(self, name)
            if value is None and is_optional:
                continue

            if problem := rule.type_problem(value):
                wrong.add(name)
                problems.append((name, problem))
            elif validate:
                problems += [(name, broken) for broken in rule.broken(value, limits)]

        if validate:
            # A rule between fields presumes that each of them has the right type.
            problems += [(name, broken) for name, broken in self._conflicts() if name not in wrong]

        return problems

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        """List the rules between fields that are broken. Each mixin adds its own."""
        return iter(())


@cache
def _rules_of(kind: type[RequestBase]) -> tuple[tuple[str, Rule, bool], ...]:
    """List the fields that have a rule, and whether each may be left out. Looked up once a class."""
    ruled = [field for field in attrs.fields(kind) if "rule" in field.metadata]
    return tuple((field.name, field.metadata["rule"], field.default is None) for field in ruled)


def as_texts(value: Iterable[str] | None) -> Any:
    """Freeze a list of strings; anything else stays as it is, for the rule to judge."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else value
