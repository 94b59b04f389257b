"""Signature check of deliveries: recorded and signed ones, forged, stale and malformed ones."""

from __future__ import annotations

import base64
import json
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from multidict import CIMultiDict
from starlette.datastructures import Headers
from support.deliveries import BODY, GENERATION_ID, JWKS, NOW, RECORDED, Delivery, sign

from ideogram_async import Billed, WebhookError
from ideogram_async.webhooks import WebhookEvent, unwrap

VALID = RECORDED[0]
SIGNED = ("generation_id", "user_id", "timestamp", "signature")


def refusal(delivery: Delivery, **options: Any) -> WebhookError:
    """Return the error of a delivery that must be refused."""
    with pytest.raises(WebhookError) as caught:
        unwrap(delivery.body, delivery.headers, **{"keys": JWKS, "now": NOW} | options)

    return caught.value


@pytest.mark.parametrize("delivery", RECORDED, ids=lambda delivery: delivery.name)
def test_recorded_deliveries(delivery: Delivery) -> None:
    """Each recorded delivery is accepted, or refused for its reason."""
    if delivery.refused is not None:
        assert delivery.refused == refusal(delivery).reason
        return

    event = unwrap(delivery.body, delivery.headers, JWKS, now=NOW)

    assert (GENERATION_ID, "k3q0-Vb5TtaGd1yZ8uPjLw", 1795000000) == (
        event.generation_id,
        event.user_id,
        event.timestamp,
    )
    assert delivery.body == event.raw


def test_every_kind_is_recorded() -> None:
    """The recorded deliveries are ten, of which four are valid."""
    assert [None] * 4 + ["malformed"] + ["signature"] * 5 == sorted(
        (delivery.refused for delivery in RECORDED), key=lambda reason: (reason is not None, reason)
    )


def test_the_key_that_verified_is_returned() -> None:
    """The sender's key id is only a hint: it may be missing or wrong."""
    hints = ["test-2026-11", "test-2026-05", "unknown", "", None]
    events = [unwrap(BODY, sign(key=2).changed(key_id=hint).headers, JWKS) for hint in hints]

    assert {"test-2026-05"} == {event.key_id for event in events}


@pytest.mark.parametrize("name", SIGNED)
def test_a_missing_header(name: str) -> None:
    """Each signed header is required, in whatever other state the delivery is."""
    delivery = VALID.changed(**dict.fromkeys(SIGNED, "\n") | {name: None})
    error = refusal(delivery, keys={})

    assert ("missing", None, Billed.NO) == (error.reason, error.generation_id, error.billed)
    assert f"X-Ideogram-Webhook-{name.replace('_', '-').title()} is missing" in str(error)


@pytest.mark.parametrize("control", ["\n", "\r", "\0", "\t", "\x7f", "\x85", "\ud800"])
@pytest.mark.parametrize("name", SIGNED[:3])
def test_control_characters(name: str, control: str) -> None:
    """No signed field has a control character, with which one field could look like two."""
    assert "malformed" == refusal(VALID.changed(**{name: f"1{control}2"})).reason


@pytest.mark.parametrize("timestamp", ["", " 1", "1.0", "-1", "+1", "1_0", "0x1", "\u0661\u0662", "1" * 16, "1" * 5000])
def test_a_malformed_timestamp(timestamp: str) -> None:
    """A timestamp has only decimal digits, and not more than a clock needs."""
    assert "malformed" == refusal(sign(timestamp=timestamp)).reason


@pytest.mark.parametrize("change", [lambda text: text[:-1], lambda text: f"{text}0", lambda text: f" {text[1:]}", len])
def test_a_malformed_signature(change: Callable[[str], object]) -> None:
    """A signature has 128 hexadecimal digits."""
    signature = VALID.headers["X-Ideogram-Webhook-Signature"]

    assert "malformed" == refusal(VALID.changed(signature=str(change(signature)))).reason


@pytest.mark.parametrize("name", [*SIGNED, "key_id"])
def test_a_header_that_was_sent_twice(name: str) -> None:
    """A repeated header is malformed, even with the same value and in another case."""
    full = f"X-Ideogram-Webhook-{name.replace('_', '-').title()}"
    pairs = [*VALID.headers.items(), (full.upper(), VALID.headers[full])]
    error = refusal(Delivery(pairs, BODY))  # type: ignore[arg-type]

    assert "malformed" == error.reason
    assert f"{full} was sent more than once" in str(error)


def test_other_headers_may_repeat() -> None:
    """A proxy may add and repeat headers of its own."""
    pairs = [*VALID.headers.items(), ("Via", "a"), ("Via", "b"), ("X-Ideogram-Webhook-New", "\n"), ("X-Ünïcode", "☕")]

    assert GENERATION_ID == unwrap(BODY, pairs, JWKS, now=NOW).generation_id


@pytest.mark.parametrize(
    "convert",
    [
        lambda headers: {name.upper(): value for name, value in headers.items()},
        lambda headers: list(headers.items()),
        lambda headers: iter(headers.items()),
        lambda headers: [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        Headers,
        lambda headers: Headers(raw=[(name.lower().encode(), value.encode()) for name, value in headers.items()]),
        CIMultiDict,
        lambda headers: headers | {"x-ideogram-webhook-timestamp": None},
    ],
)
def test_kinds_of_headers(convert: Callable[[dict[str, str]], Any]) -> None:
    """Headers are a mapping, pairs, or those of ASGI; their names are in any case."""
    assert GENERATION_ID == unwrap(BODY, convert(VALID.headers), JWKS, now=NOW).generation_id


@pytest.mark.parametrize("headers", [{"X-Ideogram-Webhook-Timestamp": 1795000000}, [(1, "a")]])
def test_headers_of_another_type(headers: Any) -> None:
    """Headers that are no text are a mistake of the caller."""
    with pytest.raises(TypeError, match="pairs of text, not of int"):
        unwrap(BODY, headers, JWKS)


@pytest.mark.parametrize("body", [BODY.decode(), bytearray(BODY), None, {}])
def test_a_body_of_another_type(body: Any) -> None:
    """A body that is not bytes may be other text than the service signed."""
    with pytest.raises(TypeError, match=f"as they were received, not {type(body).__name__}"):
        unwrap(body, VALID.headers, JWKS)


@pytest.mark.parametrize(
    ("age", "reason"), [(0, None), (300, None), (-300, None), (300.5, "stale"), (-300.5, "stale"), (1e9, "stale")]
)
def test_freshness(age: float, reason: str | None) -> None:
    """A delivery is fresh up to 300 s before and after its signature."""
    if reason is None:
        assert GENERATION_ID == unwrap(BODY, VALID.headers, JWKS, now=1795000000 + age).generation_id
        return

    error = refusal(VALID, now=1795000000 + age)

    assert (reason, GENERATION_ID) == (error.reason, error.generation_id)
    assert "Poll" in error.advice
    assert ("in the future" in str(error)) == (age < 0)


def test_tolerance() -> None:
    """The tolerance can be changed, and switched off; a time that is not a number is never fresh."""
    assert GENERATION_ID == unwrap(BODY, VALID.headers, JWKS, now=0, tolerance=None).generation_id
    assert GENERATION_ID == unwrap(BODY, VALID.headers, JWKS, now=NOW, tolerance=20).generation_id
    assert "stale" == refusal(VALID, tolerance=19.9).reason
    assert "stale" == refusal(VALID, now=float("nan")).reason


@pytest.mark.parametrize("tolerance", [-1, float("nan")])
def test_an_invalid_tolerance(tolerance: float) -> None:
    """A tolerance that would refuse or accept everything is a mistake of the caller."""
    with pytest.raises(ValueError, match="tolerance must be a number of seconds from 0"):
        unwrap(BODY, VALID.headers, JWKS, tolerance=tolerance)


def test_the_clock_of_the_system_is_the_default() -> None:
    """Without `now`, the system's clock counts."""
    assert GENERATION_ID == unwrap(BODY, sign().headers, JWKS).generation_id
    assert "stale" == refusal(sign(timestamp=str(int(time.time()) - 900)), now=None).reason


def test_a_forged_delivery_is_not_stale() -> None:
    """Only what the service signed is called stale, so that its id can be trusted."""
    error = refusal(VALID.changed(timestamp="1"))

    assert ("signature", None) == (error.reason, error.generation_id)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe\xfd", b"[" * 100_000, b"1" * 5000])
def test_an_unreadable_body(body: bytes) -> None:
    """A signed body that is not a JSON object has the id to poll."""
    error = refusal(sign(body), now=None)

    assert ("unreadable", GENERATION_ID) == (error.reason, error.generation_id)


def test_a_body_is_parsed_after_its_signature() -> None:
    """The content of a forged delivery is not looked at."""
    assert "signature" == refusal(Delivery(VALID.headers, b"{")).reason


OTHER_KEYS: list[Any] = [
    None,
    "text",
    {},
    {"kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "test-2026-11"},
    {"kty": "OKP", "crv": "X25519", "x": JWKS["keys"][0]["x"]},
    {"kty": "OKP", "crv": "Ed25519"},
    *({"kty": "OKP", "crv": "Ed25519", "x": x} for x in (None, 5, "", "!" * 43, "A" * 42, "A" * 86, "\u00e4" * 43)),
]


@pytest.mark.parametrize(
    "keys",
    [
        JWKS,
        JWKS["keys"],
        tuple(JWKS["keys"]),
        iter(JWKS["keys"]),
        {"keys": [*OTHER_KEYS, *JWKS["keys"]]},
        {"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "A" * 43, "kid": "test-2026-11"}, *JWKS["keys"]]},
    ],
)
def test_kinds_of_keys(keys: Any) -> None:
    """Keys are a key set or its list; keys of another kind, and unusable ones, are passed over."""
    assert "test-2026-11" == unwrap(BODY, VALID.headers, keys, now=NOW).key_id


@pytest.mark.parametrize("keys", [{}, [], {"keys": []}, {"keys": None}, {"keys": OTHER_KEYS}, [JWKS["keys"][1]]])
def test_no_key_verifies(keys: Any) -> None:
    """Without the key that signed it, a delivery is refused."""
    assert "signature" == refusal(VALID, keys=keys).reason


def test_a_key_without_id() -> None:
    """A key verifies without an id, too."""
    keys = [{name: value for name, value in JWKS["keys"][0].items() if name != "kid"}]

    assert "" == unwrap(BODY, VALID.headers, keys, now=NOW).key_id


@pytest.mark.parametrize("keys", ["{}", b"{}"])
def test_keys_that_are_not_parsed(keys: Any) -> None:
    """Keys that are still text are a mistake of the caller."""
    with pytest.raises(TypeError, match="the parsed key set"):
        unwrap(BODY, VALID.headers, keys)


def test_every_bit_is_signed() -> None:
    """No bit of the signed headers, the signature or the body can change."""
    delivery = sign(b'{"data": []}')
    names = [f"X-Ideogram-Webhook-{name.replace('_', '-').title()}" for name in SIGNED]
    changed = [
        Delivery(delivery.headers | {name: f"{value[:at]}{chr(ord(value[at]) ^ 1)}{value[at + 1 :]}"}, delivery.body)
        for name in names
        for value in [delivery.headers[name]]
        for at in range(len(value))
    ]
    for at in range(8 * len(delivery.body)):
        body = bytearray(delivery.body)
        body[at // 8] ^= 1 << at % 8
        changed.append(Delivery(delivery.headers, bytes(body)))

    assert {"signature", "malformed"} >= {refusal(each, now=None).reason for each in changed}


def test_an_event_is_a_value() -> None:
    """An event can be pickled and compared, and does not print its body."""
    event = unwrap(BODY, VALID.headers, JWKS, now=NOW)

    assert event == pickle.loads(pickle.dumps(event))
    assert isinstance(event, WebhookEvent)
    assert "raw" not in repr(event)


def test_the_import_loads_nothing_heavy() -> None:
    """Importing the module loads neither the library of signatures nor one of HTTP."""
    script = "import sys, ideogram_async.webhooks; print(*{'aiohttp', 'cryptography', 'cattrs'} & {*sys.modules})"
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert "\n" == run.stdout


def test_the_recorded_keys_are_test_keys() -> None:
    """The recorded keys are those that `sign` uses."""
    assert [32, 32] == [len(base64.urlsafe_b64decode(f"{key['x']}=")) for key in JWKS["keys"]]
    assert re.fullmatch("[0-9a-f]{128}", sign().headers["X-Ideogram-Webhook-Signature"])
    assert isinstance(json.loads(BODY), dict)
