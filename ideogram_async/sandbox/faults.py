"""Faults that a test can inject, and their schedule."""

from __future__ import annotations

import json
import math
import re
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, ClassVar

from attrs import define, evolve, field, frozen, validators

from ideogram_async.sandbox.contract import routes
from ideogram_async.sandbox.records import Reply

# The operation name of all image links.
IMAGES = "images"
IMAGE_FAULTS = ("cut", "not_an_image", "expired", "endless")
REPLACING_FAULTS = ("redirect", "status")
CONSTANT_FAULTS = (
    *("refuse", "reset_before_headers", "reset_after_headers", "close_after_body", "hang"),
    *("cut_with_length", "cut_without_length", "garbage_json", "html_502", "wrong_type"),
    *("bare_acknowledgement", "webhook_forged", "webhook_absent"),
    *IMAGE_FAULTS,
)
MADE_FAULTS = ("drip", "unsafe", "pending", "failed", "error_in_body", "webhook_late", "webhook_repeated")
KINDS = (*CONSTANT_FAULTS, *REPLACING_FAULTS, *MADE_FAULTS)
# What a rejected call receives is a status and a body.
NAMES = (*KINDS, "rejected")
HTML = {"Content-Type": "text/html; charset=utf-8"}
GATEWAY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>\n"
LOGIN_PAGE = b"<!doctype html><title>Welcome</title><h1>Sign in to use this network</h1>\n"


@frozen
class Fault:
    """One way in which a call or an image fails.

    An accepted call runs and is billed before its reply fails, except with `redirect`, `status` and `rejected`, which
    replace the work, and with `refuse`, where the request never arrives. Image faults (`cut`, `not_an_image`,
    `expired`, `endless`) affect image links. The others affect API calls, or image links if the operation is
    `"images"`: `sandbox.fail("images", fault=Fault.status(503))`.
    """

    kind: str = field(validator=validators.in_(KINDS))
    on_images: bool = False
    interval: float = 0.0
    url: str | None = None
    code: int = 0
    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(factory=dict[str, str])
    count: int = 0
    reason: str = ""

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
    bare_acknowledgement: ClassVar[Fault]
    """The acknowledgement of an accepted call is its generation id alone."""
    webhook_forged: ClassVar[Fault]
    """A delivery that no published key verifies comes before the genuine one."""
    webhook_absent: ClassVar[Fault]
    """The result of an accepted call is never delivered."""
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
        _check_number("interval", interval, 0)
        return cls("drip", interval=interval)

    @classmethod
    def redirect(cls, url: str | None = None, status: int = 307) -> Fault:
        """Redirect to `url` instead of doing the work; without a URL, to the origin of the images."""
        _check_status("status", status, 300, 399)
        if url is not None:
            _check_header("Location", url)

        return cls("redirect", url=url, code=status)

    @classmethod
    def status(
        cls,
        code: int,
        body: bytes | str | Mapping[str, Any] | list[Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Fault:
        """Reply with this status, body and headers instead of doing the work.

        A dict or list is sent as JSON. The content type of a body is JSON, unless the headers contain another.
        """
        _check_status("code", code, 200, 999)
        sent = dict(headers or {})
        for name, text in sent.items():
            _check_header(name, text)

        raw = _encode(body)
        if raw and "content-type" not in map(str.lower, sent):
            sent["Content-Type"] = "application/json"

        return cls("status", code=code, body=raw, headers=sent)

    @classmethod
    def unsafe(cls, count: int = 1) -> Fault:
        """Withhold the first `count` images, which are billed; their links are null, empty or absent in turn."""
        _check_count("count", count, 1)
        return cls("unsafe", count=count)

    @classmethod
    def rejected(cls, reason: str, code: int = 402) -> Fault:
        """Reply with 402, or 429, and a `reject_reason` such as `daily_limit` instead of doing the work."""
        _check_text("reason", reason)
        return cls.status(code, {"error": "The request was rejected.", "reject_reason": reason})

    @classmethod
    def pending(cls, polls: int | None = None) -> Fault:
        """Keep an accepted call pending for `polls` polls; without a number, until `sandbox.release()`."""
        if polls is not None:
            _check_count("polls", polls, 1)

        return cls("pending", count=polls or 0)

    @classmethod
    def failed(cls, reason: str = "internal_error") -> Fault:
        """Let an accepted call fail, which is not billed; polls are answered with the reason."""
        _check_text("reason", reason)
        return cls("failed", reason=reason)

    @classmethod
    def error_in_body(cls, code: int = 500, error: str = "The generation failed.") -> Fault:
        """Reply with 200 and a body that contains `error` and `status_code` in place of the images."""
        _check_status("code", code, 400, 599)
        _check_text("error", error)
        return cls("error_in_body", code=code, reason=error)

    @classmethod
    def webhook_late(cls, seconds: float = 3600.0) -> Fault:
        """Deliver the result with a signature that is `seconds` old."""
        _check_number("seconds", seconds, 0)
        return cls("webhook_late", interval=seconds)

    @classmethod
    def webhook_repeated(cls, count: int = 2) -> Fault:
        """Deliver the result `count` times, although the first delivery is answered with 2xx."""
        _check_count("count", count, 2)
        return cls("webhook_repeated", count=count)

    @property
    def runs(self) -> bool:
        """Return whether the work is done and billed anyway."""
        return self.kind not in REPLACING_FAULTS


for _kind in CONSTANT_FAULTS:
    setattr(Fault, _kind, Fault(_kind, on_images=_kind in IMAGE_FAULTS))


def make_fault(name: str, arguments: Mapping[str, Any]) -> Fault:
    """Return the fault of a name, made with its arguments if it has any.

    Raises:
        ValueError: If no fault has that name.
        TypeError: If the fault does not have these arguments.
    """
    if name not in NAMES:
        raise ValueError(f"unknown fault {name!r}; expected one of {', '.join(NAMES)}")

    fault: Fault | Callable[..., Fault] = getattr(Fault, name)
    if not isinstance(fault, Fault):
        return fault(**arguments)

    if arguments:
        raise TypeError(f"the fault {name} has no argument {next(iter(arguments))!r}")

    return fault


def _encode(body: object) -> bytes:
    match body:
        case None:
            return b""
        case bytes():
            return body
        case str():
            return body.encode()
        case dict() | list():
            return json.dumps(body).encode()
        case _:
            raise TypeError(f"body must be bytes, a string, a dict, a list or None, not {body!r}")


def _check_number(name: str, value: object, minimum: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} must be a number, not {value!r}")

    if not minimum <= value < math.inf:
        raise ValueError(f"{name} must be at least {minimum}, not {value!r}")


def _check_count(name: str, value: object, minimum: int) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name} must be an integer, not {value!r}")

    _check_number(name, value, minimum)


def _check_status(name: str, value: object, lowest: int, highest: int) -> None:
    _check_count(name, value, 0)
    if value not in range(lowest, highest + 1):
        raise ValueError(f"{name} must be between {lowest} and {highest}, not {value!r}")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a string, not {value!r}")


def _check_header(name: object, text: object) -> None:
    if not isinstance(name, str) or not isinstance(text, str):
        raise TypeError(f"a header must be two strings, not {name!r}: {text!r}")

    if not re.fullmatch(r"[\w!#$%&'*+.^`|~-]+", name, re.ASCII) or re.search(r"[\r\n\0]", text):
        raise ValueError(f"{name!r}: {text!r} is not a valid header")


def replacement(fault: Fault, image_url: str) -> Reply:
    """Return the reply of a fault that replaces the work."""
    if fault.kind == "redirect":
        return Reply(fault.code, headers={"Location": fault.url or f"{image_url}/elsewhere"})

    return Reply(fault.code, fault.body, fault.headers)


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
        case "bare_acknowledgement" | "error_in_body" if reply.status == HTTPStatus.OK:
            return Reply.of_json(_rewritten(json.loads(reply.body), fault))
        case "expired":
            return Reply(403, b"This link has expired.\n", {"Content-Type": "text/plain"})
        case _:
            return reply


def _rewritten(body: dict[str, object], fault: Fault) -> dict[str, object]:
    """Return the body of a reply with the content of the fault."""
    if fault.kind == "error_in_body":
        kept = {name: value for name, value in body.items() if name != "data"}
        return {**kept, "error": fault.reason, "status_code": fault.code}

    is_acknowledgement = "generation_id" in body and not {"data", "status"} & body.keys()
    return {"generation_id": body["generation_id"]} if is_acknowledgement else body


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
            ValueError: If no operation of the contract has that name, or a count is too small.
            TypeError: If an argument has another type.
        """
        _check_count("times", times, 1)
        _check_count("after", after, 0)
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
    if name is not None and not isinstance(name, str):
        raise TypeError(f"operation must be a string or None, not {name!r}")
    if fault.on_images or name == IMAGES:
        return frozenset((IMAGES,))
    if name is None:
        return None

    paths = {route.operation: route.path for route in routes()}
    exact = {operation for operation, path in paths.items() if name in (operation, path)}
    ending = "/" + name.lstrip("/")
    operations = (
        exact
        or {operation for operation in paths if operation.endswith(ending)}
        or {operation for operation in paths if operation.endswith(ending + "/{generation_id}")}
    )
    if not operations:
        raise ValueError(f"unknown operation {name!r}; expected a path such as '/v1/ideogram-v3/generate', or its end")

    return frozenset(operations)
