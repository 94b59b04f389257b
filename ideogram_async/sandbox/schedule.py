"""Which call meets which fault."""

from __future__ import annotations

import threading

from attrs import define

from ideogram_async.sandbox.contract import routes
from ideogram_async.sandbox.faults import Fault

__all__ = ["IMAGES", "Schedule"]

IMAGES = "images"
"""Stands for every image link, where an operation is asked for."""


@define
class _Plan:
    fault: Fault
    operations: frozenset[str] | None
    after: int
    times: int

    def concerns(self, operation: str) -> bool:
        return operation != IMAGES if self.operations is None else operation in self.operations

    @property
    def is_refusal(self) -> bool:
        return self.fault.kind == "refuse"


class Schedule:
    """Faults that wait for their calls; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._plans: list[_Plan] = []

    def add(self, fault: Fault, operation: str | None, *, times: int, after: int) -> None:
        """Plan a fault for `times` matching calls, after `after` matching calls have passed.

        Raises:
            ValueError: If no operation of the contract has that name.
        """
        plan = _Plan(fault, _named(fault, operation), after, times)

        with self._lock:
            self._plans.append(plan)

    def take(self, operation: str) -> Fault | None:
        """Count a call and give the fault that it meets; the earliest planned comes first."""
        with self._lock:
            plans = [plan for plan in self._plans if plan.concerns(operation)]
            met = next((plan for plan in plans if plan.after == 0 and not plan.is_refusal), None)

            for plan in plans:
                plan.after = max(plan.after - 1, 0)
            if met is None:
                return None

            met.times -= 1
            self._plans = [plan for plan in self._plans if plan.times > 0]
            return met.fault

    def due_refusals(self) -> set[bool]:
        """Take out the plans to refuse connections that are due: `True` for the images' port, `False` for the API's."""
        with self._lock:
            due = [plan for plan in self._plans if plan.is_refusal and plan.after == 0]
            self._plans = [plan for plan in self._plans if plan not in due]

        return {plan.concerns(IMAGES) for plan in due}


def _named(fault: Fault, operation: str | None) -> frozenset[str] | None:
    if fault.on_images or operation == IMAGES:
        return frozenset((IMAGES,))
    if operation is None:
        return None

    known = {route.operation: route.path for route in routes()}
    exact = {name for name, path in known.items() if operation in (name, path)}
    names = exact or {name for name in known if name.endswith("/" + operation.lstrip("/"))}

    if not names:
        raise ValueError(f"no operation is named {operation!r}")

    return frozenset(names)
