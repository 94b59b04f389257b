"""What every request can do: list what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
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
        for name, rule, value in self._ruled():
            if problem := rule.type_problem(value):
                wrong.add(name)
                problems.append((name, problem))
            elif validate:
                problems += [(name, broken) for broken in rule.broken(value, limits)]

        if validate:
            # A rule between fields presumes that each of them has the right type.
            problems += [(name, broken) for name, broken in self._conflicts() if name not in wrong]

        return problems

    def _ruled(self) -> Iterator[tuple[str, Rule, Any]]:
        """List what was given and has a rule."""
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            rule: Rule | None = field.metadata.get("rule")
            if rule is not None and (value is not None or field.default is not None):
                yield field.name, rule, value

    def _conflicts(self) -> Iterator[tuple[str, str]]:
        """List the rules between fields that are broken. Each mixin adds its own."""
        return iter(())


def as_texts(value: Iterable[str] | None) -> Any:
    """Freeze a list of strings; anything else stays as it is, for the rule to judge."""
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else value
