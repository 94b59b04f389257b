"""What can be told to go wrong, as values."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import ClassVar

from attrs import define, evolve, field, frozen

from ideogram_async.sandbox.contract import routes
from ideogram_async.sandbox.records import Answer

__all__ = ["IMAGES", "Fault", "Schedule", "instead", "spoiled"]

_HTML = {"Content-Type": "text/html; charset=utf-8"}

_BAD_GATEWAY = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"

_CAPTIVE = b"<!doctype html><title>Welcome</title><h1>Sign in to use this network</h1>\n"

_NOT_RUN = ("redirect", "status")


@frozen
class Fault:
    """One way in which a call or an image goes wrong.

    Work that was accepted is done and billed before its answer goes wrong, except with `redirect` and `status`, which
    come instead of the work, and `refuse`, where the request never arrives. Image faults (`cut`, `not_an_image`,
    `expired`, `endless`) concern image links; the others concern API calls, or image links when the operation is
    `"images"`: `box.fail("images", fault=Fault.status(503))`.
    """

    kind: str
    on_images: bool = False
    interval: float = 0.0
    url: str | None = None
    code: int = 0
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(factory=dict[str, str])
    count: int = 0

    refuse: ClassVar[Fault]
    """The port is really closed, so that the system refuses connections, until `box.release()` or `box.reset()`.

    With `after=n` it closes when n more matching calls have arrived; those are still answered. `times` has no meaning.
    """
    reset_before_headers: ClassVar[Fault]
    """The connection is reset when the request has been read; there is no answer."""
    reset_after_headers: ClassVar[Fault]
    """The connection is reset when the head of the answer has been sent."""
    close_after_body: ClassVar[Fault]
    """The connection is closed in good order when the request has been read; there is no answer."""
    hang: ClassVar[Fault]
    """There is no answer until `box.release()`; then it comes after all."""
    cut_with_length: ClassVar[Fault]
    """Half of the body comes, though the head announced all of it."""
    cut_without_length: ClassVar[Fault]
    """Half of the body comes, and its length was not announced, so only the content can tell."""
    garbage_json: ClassVar[Fault]
    """The body announces JSON and is none."""
    html_502: ClassVar[Fault]
    """A gateway answers 502 with a page, though the work was done."""
    wrong_type: ClassVar[Fault]
    """Somebody else answers: status 200 and the page of a captive network."""
    cut: ClassVar[Fault]
    """Half of an image comes, though the head announced all of it."""
    not_an_image: ClassVar[Fault]
    """A page comes under the type of an image."""
    expired: ClassVar[Fault]
    """The link has expired: 403."""
    endless: ClassVar[Fault]
    """Bytes without end, of no announced length, until the client leaves."""

    @classmethod
    def drip(cls, interval: float = 0.001) -> Fault:
        """Send the answer byte by byte, with a pause of so many seconds after each."""
        return cls("drip", interval=interval)

    @classmethod
    def redirect(cls, url: str | None = None, status: int = 307) -> Fault:
        """Send the client elsewhere instead of doing the work; without a URL, to the origin of the images."""
        return cls("redirect", url=url, code=status)

    @classmethod
    def status(cls, code: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> Fault:
        """Answer with this status, body and headers instead of doing the work."""
        raw = body.encode() if isinstance(body, str) else body
        return cls("status", code=code, body=raw, headers=dict(headers or {}))

    @classmethod
    def unsafe(cls, count: int = 1) -> Fault:
        """Withhold the first images of an answer, their links null, empty or absent in turn; they are billed."""
        return cls("unsafe", count=count)

    @property
    def runs(self) -> bool:
        """Say whether the work is done, and billed, all the same."""
        return self.kind not in _NOT_RUN


for _kind in (
    "refuse",
    "reset_before_headers",
    "reset_after_headers",
    "close_after_body",
    "hang",
    "cut_with_length",
    "cut_without_length",
    "garbage_json",
    "html_502",
    "wrong_type",
):
    setattr(Fault, _kind, Fault(_kind))

for _kind in ("cut", "not_an_image", "expired", "endless"):
    setattr(Fault, _kind, Fault(_kind, on_images=True))


def instead(fault: Fault, elsewhere: str) -> Answer:
    """Give the answer that comes instead of the work."""
    if fault.kind == "redirect":
        return Answer(fault.code, headers={"Location": fault.url or elsewhere})

    headers = fault.headers if fault.headers or not fault.body else {"Content-Type": "application/json"}
    return Answer(fault.code, fault.body, headers)


def spoiled(answer: Answer, fault: Fault) -> Answer:
    """Put something else in the place of an answer, for the faults that do; others leave it as it is."""
    if fault.kind == "garbage_json":
        return evolve(answer, body=b'{"created": "2026-' + b"\xff\x00}{" * 8)
    if fault.kind == "html_502":
        return Answer(502, _BAD_GATEWAY, _HTML)
    if fault.kind == "wrong_type":
        return Answer(200, _CAPTIVE, _HTML)
    if fault.kind == "not_an_image":
        return evolve(answer, body=_CAPTIVE)
    if fault.kind == "expired":
        return Answer(403, b"This link has expired.\n", {"Content-Type": "text/plain"})

    return answer


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
