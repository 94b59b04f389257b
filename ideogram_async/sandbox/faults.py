"""Faults that a test can inject, and their schedule."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import ClassVar

from attrs import define, evolve, field, frozen

from ideogram_async.sandbox.contract import routes
from ideogram_async.sandbox.records import Reply

# The operation name of all image links.
IMAGES = "images"
IMAGE_FAULTS = ("cut", "not_an_image", "expired", "endless")
REPLACING_FAULTS = ("redirect", "status")
HTML = {"Content-Type": "text/html; charset=utf-8"}
GATEWAY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
LOGIN_PAGE = b"<!doctype html><title>Welcome</title><h1>Sign in to use this network</h1>\n"


@frozen
class Fault:
    """One way in which a call or an image fails.

    An accepted call runs and is billed before its reply fails, except with `redirect` and `status`, which replace the
    work, and with `refuse`, where the request never arrives. Image faults (`cut`, `not_an_image`, `expired`, `endless`)
    affect image links. The others affect API calls, or image links if the operation is `"images"`:
    `sandbox.fail("images", fault=Fault.status(503))`.
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
    """The port is closed, so that the system refuses connections, until `sandbox.release()` or `sandbox.reset()`.

    With `after=n` it closes when n more matching calls have arrived; those are still answered. `times` has no effect.
    """
    reset_before_headers: ClassVar[Fault]
    """The connection is reset after the request was read, without a reply."""
    reset_after_headers: ClassVar[Fault]
    """The connection is reset after the headers of the reply were sent."""
    close_after_body: ClassVar[Fault]
    """The connection is closed after the request was read, without a reply."""
    hang: ClassVar[Fault]
    """The reply is delayed until `sandbox.release()`."""
    cut_with_length: ClassVar[Fault]
    """The reply is truncated to half of its announced length."""
    cut_without_length: ClassVar[Fault]
    """The reply is truncated to half, and its length was not announced, so only its content reveals it."""
    garbage_json: ClassVar[Fault]
    """The body is announced as JSON but is not valid JSON."""
    html_502: ClassVar[Fault]
    """A gateway answers 502 with an HTML page, although the work was done."""
    wrong_type: ClassVar[Fault]
    """Status 200 with the HTML login page of a captive portal."""
    cut: ClassVar[Fault]
    """The image is truncated to half of its announced length."""
    not_an_image: ClassVar[Fault]
    """An HTML page with the content type of an image."""
    expired: ClassVar[Fault]
    """The link has expired: 403."""
    endless: ClassVar[Fault]
    """Bytes without end and without an announced length, until the client disconnects."""

    @classmethod
    def drip(cls, interval: float = 0.001) -> Fault:
        """Send the reply byte by byte, with a pause of `interval` seconds after each."""
        return cls("drip", interval=interval)

    @classmethod
    def redirect(cls, url: str | None = None, status: int = 307) -> Fault:
        """Redirect to `url` instead of doing the work; without a URL, to the origin of the images."""
        return cls("redirect", url=url, code=status)

    @classmethod
    def status(cls, code: int, body: bytes | str = b"", headers: Mapping[str, str] | None = None) -> Fault:
        """Reply with this status, body and headers instead of doing the work."""
        raw = body.encode() if isinstance(body, str) else body
        return cls("status", code=code, body=raw, headers=dict(headers or {}))

    @classmethod
    def unsafe(cls, count: int = 1) -> Fault:
        """Withhold the first `count` images, which are billed; their links are null, empty or absent in turn."""
        return cls("unsafe", count=count)

    @property
    def runs(self) -> bool:
        """Return whether the work is done and billed anyway."""
        return self.kind not in REPLACING_FAULTS


for _kind in (
    *("refuse", "reset_before_headers", "reset_after_headers", "close_after_body", "hang"),
    *("cut_with_length", "cut_without_length", "garbage_json", "html_502", "wrong_type"),
    *IMAGE_FAULTS,
):
    setattr(Fault, _kind, Fault(_kind, on_images=_kind in IMAGE_FAULTS))


def replacement(fault: Fault, image_url: str) -> Reply:
    """Return the reply of a fault that replaces the work."""
    if fault.kind == "redirect":
        return Reply(fault.code, headers={"Location": fault.url or f"{image_url}/elsewhere"})

    headers = fault.headers if fault.headers or not fault.body else {"Content-Type": "application/json"}
    return Reply(fault.code, fault.body, headers)


def corrupted(reply: Reply, fault: Fault) -> Reply:
    """Return the reply with the content of the fault; most faults do not change it."""
    match fault.kind:
        case "garbage_json":
            return evolve(reply, body=b'{"created": "2026-' + b"\xff\x00}{" * 8)
        case "html_502":
            return Reply(502, GATEWAY_PAGE, HTML)
        case "wrong_type":
            return Reply(200, LOGIN_PAGE, HTML)
        case "not_an_image":
            return evolve(reply, body=LOGIN_PAGE)
        case "expired":
            return Reply(403, b"This link has expired.\n", {"Content-Type": "text/plain"})
        case _:
            return reply


@define
class _PlannedFault:
    fault: Fault
    operations: frozenset[str] | None
    after: int
    times: int

    def matches(self, operation: str) -> bool:
        return operation != IMAGES if self.operations is None else operation in self.operations

    @property
    def is_refusal(self) -> bool:
        return self.fault.kind == "refuse"


class FaultSchedule:
    """Planned faults, in order of addition; safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planned: list[_PlannedFault] = []

    def add(self, fault: Fault, operation: str | None, *, times: int, after: int) -> None:
        """Plan a fault for `times` matching calls, after the next `after` matching calls.

        Raises:
            ValueError: If no operation of the contract has that name.
        """
        planned = _PlannedFault(fault, _operations_of(fault, operation), after, times)
        with self._lock:
            self._planned.append(planned)

    def pop(self, operation: str) -> Fault | None:
        """Count a call and return the first fault that is due for it."""
        with self._lock:
            matching = [planned for planned in self._planned if planned.matches(operation)]
            due = next((planned for planned in matching if planned.after == 0 and not planned.is_refusal), None)
            for planned in matching:
                planned.after = max(planned.after - 1, 0)
            if due is None:
                return None

            due.times -= 1
            self._planned = [planned for planned in self._planned if planned.times > 0]
            return due.fault

    def pop_refusals(self) -> set[bool]:
        """Return the ports that must refuse connections now: `True` for the images' port, `False` for the API's."""
        with self._lock:
            due = [planned for planned in self._planned if planned.is_refusal and planned.after == 0]
            self._planned = [planned for planned in self._planned if planned not in due]

        return {planned.matches(IMAGES) for planned in due}


def _operations_of(fault: Fault, name: str | None) -> frozenset[str] | None:
    """Return the operations of a name, or `None` for every API operation."""
    if fault.on_images or name == IMAGES:
        return frozenset((IMAGES,))
    if name is None:
        return None

    paths = {route.operation: route.path for route in routes()}
    exact = {operation for operation, path in paths.items() if name in (operation, path)}
    operations = exact or {operation for operation in paths if operation.endswith("/" + name.lstrip("/"))}
    if not operations:
        raise ValueError(f"unknown operation {name!r}; expected a path such as '/v1/ideogram-v3/generate', or its end")

    return frozenset(operations)
