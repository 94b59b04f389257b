"""Deliveries to a webhook: signature check and decoding, without network.

    event = webhooks.unwrap(body, headers, await client.webhooks.keys())

`Ideogram.webhooks.unwrap` fetches and caches the keys. Needs the extra `webhooks`.

Source: https://developer.ideogram.ai/ideogram-api/webhooks
"""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from typing import Any, TypeAlias, cast

import attrs
from attrs import field, frozen

from ideogram_async._requirements import needs_extra
from ideogram_async.errors import WebhookError, WebhookReason
from ideogram_async.models.base import Item, Reply
from ideogram_async.v2.answers import Generation

__all__ = ["WebhookEvent", "unwrap"]

Headers: TypeAlias = Mapping[str, str] | Iterable[tuple[str | bytes, str | bytes]]
Keys: TypeAlias = Mapping[str, Any] | Iterable[Any]
TOLERANCE = 300.0
PREFIX = "x-ideogram-webhook-"
REQUIRED = ("generation-id", "user-id", "timestamp", "signature")
UNSIGNABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and unpaired surrogates, which UTF-8 does not have."""
FORMATS = {
    # More digits than any clock needs would not fit into a number.
    "timestamp": (re.compile("[0-9]{1,15}"), "decimal digits"),
    "signature": (re.compile("[0-9a-fA-F]{128}"), "128 hexadecimal digits"),
}


@frozen
class WebhookEvent:
    """A delivery whose signature is valid: a generation with all its images."""

    generation_id: str
    """The generation. Deliveries repeat, so act once for each id."""
    user_id: str
    timestamp: int
    """When the service signed it, in Unix seconds. A repeated delivery may keep the time of the first one."""
    key_id: str
    """The id of the key that verified the signature."""
    generation: Generation
    raw: bytes = field(repr=False)
    """The body."""


def unwrap(
    body: bytes, headers: Headers, keys: Keys, now: float | None = None, tolerance: float | None = TOLERANCE
) -> WebhookEvent:
    """Check the signature of a delivery, and return its content. Sends nothing.

    Args:
        body: The body, as it was received: parsed and serialized JSON has other bytes, and so another signature.
        headers: The headers of the request: a mapping or pairs, with names in any case.
        keys: The service's keys: the JSON Web Key Set as a dict, or its list.
        now: The current time in Unix seconds; the system's clock if not passed.
        tolerance: Seconds between `now` and the time of the signature, before or after it; `None` accepts any time.

    Raises:
        WebhookError: If a header is missing or malformed, no key verifies the signature, the delivery is stale, or its
            body is unreadable. For the last two, whose signature is valid, the error has the `generation_id` to poll.
        TypeError: If an argument has a wrong type, such as a body of text.
        ValueError: If `tolerance` is negative.
        ImportError: If the extra `webhooks` is not installed.
    """
    delivery = Delivery.of(body, headers)
    return delivery.open(delivery.find_key(keys), now=now, tolerance=tolerance)


@frozen
class Delivery:
    """A delivery whose headers are complete and well-formed, and whose signature is not checked yet."""

    body: bytes
    generation_id: str
    user_id: str
    timestamp: str
    signature: str
    key_id: str | None
    """The key that the sender names, which is only a hint."""

    @classmethod
    def of(cls, body: bytes, headers: Headers) -> Delivery:
        """Read the headers of a delivery.

        Raises:
            WebhookError: If one of them is missing or malformed.
        """
        if not isinstance(body, bytes):
            raise TypeError(f"body must be the bytes of the request as they were received, not {type(body).__name__}")

        values = _read_headers(headers)
        for name in REQUIRED:
            if name not in values:
                raise _refused("missing", name, "is missing")

        for name, repeated in values.items():
            if len(repeated) > 1:
                raise _refused("malformed", name, "was sent more than once")

        for name in REQUIRED:
            _check_format(name, values[name][0])

        generation_id, user_id, timestamp, signature = (values[name][0] for name in REQUIRED)
        return cls(body, generation_id, user_id, timestamp, signature, values.get("key-id", [None])[0])

    def open(self, key_id: str | None, *, now: float | None, tolerance: float | None) -> WebhookEvent:
        """Check the time of a delivery that this key has verified, and decode its body.

        Raises:
            WebhookError: If no key has verified it, or it is stale or unreadable.
        """
        if tolerance is not None and not tolerance >= 0:
            raise ValueError(f"tolerance must be a number of seconds from 0, or None for any time, not {tolerance!r}")

        if key_id is None:
            message = "no key verifies the signature: the delivery is forged, or its body is not as it was received"
            raise WebhookError(message, reason="signature")

        timestamp = int(self.timestamp)
        age = (time.time() if now is None else now) - timestamp
        # Not `>`, which is false for a time that is not a number.
        if tolerance is not None and not abs(age) <= tolerance:
            message = f"the delivery was signed {abs(age):.0f} s {'ago' if age > 0 else 'in the future'}"
            message += f", which is more than {tolerance:g} s"
            raise WebhookError(message, reason="stale", generation_id=self.generation_id)

        generation = _decode(self.generation_id, self.body)
        return WebhookEvent(self.generation_id, self.user_id, timestamp, key_id, generation, self.body)

    def find_key(self, keys: Keys) -> str | None:
        """Return the id of the key that verifies the signature; the key that the sender names is tried first."""
        with needs_extra(__name__, "webhooks"):
            from cryptography.exceptions import InvalidSignature
            from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

        digest, signature = sha256(self.body).hexdigest(), bytes.fromhex(self.signature)
        message = f"{self.generation_id}\n{self.user_id}\n{self.timestamp}\n{digest}".encode()
        for key_id, public_bytes in sorted(_public_keys(keys), key=lambda key: key[0] != self.key_id):
            try:
                Ed25519PublicKey.from_public_bytes(public_bytes).verify(signature, message)
            except InvalidSignature:
                continue

            return key_id

        return None


def _read_headers(headers: Headers) -> dict[str, list[str]]:
    """Return the values of each header of a delivery, by its name without prefix."""
    # Mappings with repeated names, such as Starlette's, return each pair. Not all of them are a `Mapping`.
    items = getattr(headers, "items", None)
    pairs = cast("Iterable[tuple[object, object]]", headers if items is None else items())
    values: dict[str, list[str]] = {}
    for name, value in pairs:
        key = _text(name).lower()
        if key.startswith(PREFIX) and value is not None:
            values.setdefault(key.removeprefix(PREFIX), []).append(_text(value))

    return {name: values[name] for name in (*REQUIRED, "key-id") if name in values}


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")

    if not isinstance(value, str):
        raise TypeError(f"headers must be a mapping or pairs of text, not of {type(value).__name__}")

    return value


def _check_format(name: str, value: str) -> None:
    if UNSIGNABLE.search(value):
        raise _refused("malformed", name, "contains a control character")

    if name in FORMATS and not FORMATS[name][0].fullmatch(value):
        raise _refused("malformed", name, f"must be {FORMATS[name][1]}")


def _refused(reason: WebhookReason, name: str, rule: str) -> WebhookError:
    return WebhookError(f"the header {f'{PREFIX}{name}'.title()} {rule}", reason=reason)


def _public_keys(keys: Keys) -> Iterator[tuple[str, bytes]]:
    """Yield the id and the 32 bytes of each Ed25519 key; other keys are passed over."""
    items = keys.get("keys") if isinstance(keys, Mapping) else keys
    if isinstance(items, str | bytes):
        raise TypeError(f"keys must be the parsed key set, a dict or its list, not {type(items).__name__}")

    for item in items if isinstance(items, Iterable) else ():
        jwk = item.to_dict() if isinstance(item, Item) else item
        if not isinstance(jwk, Mapping) or (jwk.get("kty"), jwk.get("crv")) != ("OKP", "Ed25519"):
            continue

        encoded = jwk.get("x")
        if isinstance(encoded, str) and re.fullmatch(r"[A-Za-z0-9_-]{43}", encoded):
            yield str(jwk.get("kid") or ""), base64.urlsafe_b64decode(f"{encoded}=")


def _decode(generation_id: str, body: bytes) -> Generation:
    """Decode the body. Its own id is not signed separately, and an older page names it differently."""
    from ideogram_async._wire.converter import converter, error_lines

    reply = Reply(status=200, raw=body)
    try:
        content = reply.json()
        if isinstance(content, dict):
            content["generation_id"] = generation_id

        return attrs.evolve(converter().structure(content, Generation), meta=reply)
    except ValueError as error:
        problems = f"$: invalid JSON: {error}"
    except Exception as error:
        problems = "\n  ".join(error_lines(error))

    message = f"the delivery does not match the API contract\n  {problems}"
    raise WebhookError(message, reason="unreadable", generation_id=generation_id)
