"""Errors of a status that is not 2xx: their class, their details and what the call cost."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.replies import FREE, PAID

from ideogram_async import errors
from ideogram_async._wire.call import Call
from ideogram_async._wire.decode import check, decode, status_error
from ideogram_async._wire.headers import retry_after_of
from ideogram_async.errors import AmbiguousError, APIStatusError, Billed, RateLimitError
from ideogram_async.models import ImageGenerationResponseV3, Reply

CLASSES = {
    301: "APIStatusError",
    307: "APIStatusError",
    400: "BadRequestError",
    401: "AuthenticationError",
    402: "PaymentRequiredError",
    403: "PermissionDeniedError",
    404: "NotFoundError",
    405: "APIStatusError",
    413: "APIStatusError",
    422: "SafetyError",
    429: "RateLimitError",
    499: "APIStatusError",
    500: "ServerError",
    502: "ServerError",
    503: "ServerError",
    599: "ServerError",
}


def failed(
    status: int, body: Any = b"", *, call: Call = PAID, in_doubt: bool = False, **headers: str
) -> APIStatusError:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    reply = Reply(status=status, raw=raw, headers=named, in_doubt=in_doubt)
    with pytest.raises(APIStatusError) as caught:
        decode(call, reply, ImageGenerationResponseV3)

    return caught.value


@pytest.mark.parametrize(("status", "name"), CLASSES.items())
def test_classes(status: int, name: str) -> None:
    """Each status has its class; a refusal costs nothing, and a failure of a charged call is in doubt."""
    paid, free = failed(status), failed(status, call=FREE)

    assert [getattr(errors, name)] * 2 == [type(paid), type(free)]
    assert (Billed.UNKNOWN if status >= 500 else Billed.NO, Billed.NO) == (paid.billed, free.billed)
    assert (status == 429, status >= 500 or status == 429) == (paid.retryable, free.retryable)
    assert f"POST /x: {status}" == str(paid)
    assert paid.advice


@pytest.mark.parametrize("status", [200, 201, 204, 299])
def test_success(status: int) -> None:
    """Every 2xx is a success, for a raw call too."""
    check(PAID, Reply(status=status, raw=b""))


@pytest.mark.parametrize("status", [400, 401, 422, 429, 500])
def test_earlier_attempt_in_doubt(status: int) -> None:
    """If an earlier attempt may have run, the refusal of a later one does not prove that nothing was billed."""
    paid, free = failed(status, in_doubt=True), failed(status, in_doubt=True, call=FREE)

    assert (Billed.UNKNOWN, False, AmbiguousError.advice) == (paid.billed, paid.retryable, paid.advice)
    assert Billed.NO is free.billed


@pytest.mark.parametrize(
    ("body", "message", "kept"),
    [
        ({"error": "Prompt failed"}, "Prompt failed", {"error": "Prompt failed"}),
        ({"message": "no"}, "no", {"message": "no"}),
        ({"detail": "gone"}, "gone", {"detail": "gone"}),
        (
            {"detail": "bad seed", "status": 400, "title": "Bad Request", "type": "about:blank"},
            "bad seed",
            {"detail": "bad seed", "status": 400, "title": "Bad Request", "type": "about:blank"},
        ),
        ({"title": "Bad Request"}, "Bad Request", {"title": "Bad Request"}),
        ({"error": {"code": 5}, "message": "inner"}, "inner", {"error": {"code": 5}, "message": "inner"}),
        ({"code": 5}, "", {"code": 5}),
        ([1, 2], "[1, 2]", [1, 2]),
        (b"upstream connect error", "upstream connect error", "upstream connect error"),
        (b"<html><h1>502 Bad Gateway</h1></html>", "", "<html><h1>502 Bad Gateway</h1></html>"),
        (b"", "", ""),
        (b"\xff\xfe", "\ufffd\ufffd", "\ufffd\ufffd"),
        (b"x" * 1000, "x" * 300, "x" * 1000),
        (b"[" * 100_000, "[" * 300, "[" * 100_000),
    ],
    ids=[
        "error",
        "message",
        "detail",
        "problem+json",
        "title",
        "nested",
        "unknown",
        "list",
        "text",
        "page",
        "empty",
        "bytes",
        "long",
        "deep",
    ],
)
def test_bodies(body: Any, message: str, kept: Any) -> None:
    """The message is read from every known shape of body, and the body is kept, parsed if it is JSON."""
    error = failed(400, body)

    assert f"POST /x: 400 {message}".rstrip() == str(error)
    assert kept == error.body


def test_details() -> None:
    """An error contains the reason, the request id and the headers, with names in lower case."""
    error = failed(402, {"error": "x", "reject_reason": "insufficient_funds"}, x_request_id="r", server="s")

    assert ("insufficient_funds", "r", 402) == (error.reason, error.request_id, error.status)
    assert {"x-request-id": "r", "server": "s"} == error.headers
    assert None is failed(402, {"reject_reason": 5}).reason


@pytest.mark.parametrize(
    ("value", "expected"),
    [(10, 10), (1, 1), (0, None), (-1, None), (True, None), ("10", None), ("1_0", None), (2.5, None), (None, None)],
)
def test_max_in_flight(value: Any, expected: int | None) -> None:
    """The limit is read from a 429 if it is a whole number of at least 1."""
    error = failed(429, {"error": "x", "reject_reason": "inflight_limit", "max_inflight_requests": value})

    assert isinstance(error, RateLimitError)
    assert (expected, "inflight_limit") == (error.max_in_flight, error.reason)


@pytest.mark.parametrize("body", [b"", b"<html>", [10], {"error": "x"}])
def test_no_max_in_flight(body: Any) -> None:
    """A 429 with another body has no limit."""
    error = failed(429, body)

    assert isinstance(error, RateLimitError)
    assert None is error.max_in_flight


NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("7", 7.0),
        (" 1.5 ", 1.5),
        ("0", 0.0),
        ("-5", 0.0),
        ("Thu, 01 Jan 2026 12:00:30 GMT", 30.0),
        ("Thu, 01 Jan 2026 12:00:30", 30.0),
        ("Thu, 01 Jan 2026 13:00:30 +0100", 30.0),
        ("Thu, 01 Jan 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        ("9" * 400, None),
        ("1_0", None),
        ("+5", None),
        ("1e3", None),
        ("1 0", None),
        ("0x10", None),
        ("١٢", None),
        ("\u00a07", None),
        ("-inf", None),
        ("Thu, 01 Jan 99999999999999999999 00:00:00 GMT", None),
        ("Thu, 01 Jan 2026 00:00:00 +99999999999999999999", None),
        ("Thu, 99 Jan 2026 00:00:00 GMT", None),
    ],
)
def test_retry_after(header: str, expected: float | None) -> None:
    """Retry-After is seconds or a date; a past date gives 0, an invalid value `None`."""
    assert expected == retry_after_of({"retry-after": header}, NOW)


def test_no_retry_after() -> None:
    """Without the header there is no Retry-After."""
    assert None is retry_after_of({})
    assert 3.0 == failed(429, retry_after="3").retry_after


# Numbers, not a regular expression, which takes long to generate.
RANGES = ((1, 31), (1, 9999), (0, 23), (0, 59), (0, 59), (-1200, 1200))
NUMBERS = [st.integers(*valid) | st.integers(-(10**25), 10**25) for valid in RANGES]
DATES = st.builds("Thu, {:02} Jan {:04} {:02}:{:02}:{:02} {:+05}".format, *NUMBERS)


@given(st.text(max_size=60) | DATES)
def test_any_retry_after(header: str) -> None:
    """No header value breaks the parser."""
    seconds = retry_after_of({"retry-after": header}, NOW)

    assert seconds is None or 0.0 <= seconds < float("inf")


@given(st.integers(300, 599), st.binary(max_size=80) | st.recursive(st.none() | st.text(), st.lists).map(json.dumps))
def test_any_body(status: int, body: bytes | str) -> None:
    """No body breaks its error, and each such error can be pickled."""
    error = failed(status, body if isinstance(body, bytes) else body.encode())
    again = pickle.loads(pickle.dumps(error))

    assert (type(error), str(error), error.__dict__) == (type(again), str(again), again.__dict__)


@pytest.mark.parametrize(("depth", "kind"), [(40, list), (60, str), (900, str)])
def test_a_deep_body_stays_text(depth: int, kind: type) -> None:
    """The body of a refusal that is nested too deeply stays text, and its error can be pickled."""
    reply = Reply(status=400, raw=b"[" * depth + b"]" * depth)
    error = status_error(PAID, reply)

    assert kind is type(error.body)
    assert kind is type(pickle.loads(pickle.dumps(error)).body)
