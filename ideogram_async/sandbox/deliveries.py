"""Webhooks: signed deliveries of finished generations, and the keys that verify them."""

from __future__ import annotations

import hashlib
import json

from ideogram_async._requirements import needs_extra
from ideogram_async.sandbox.contract import Fields
from ideogram_async.sandbox.declared_rules import is_loopback
from ideogram_async.sandbox.faults import Fault
from ideogram_async.sandbox.records import JsonObject, RecordedDelivery, RecordedGeneration, RefusalError
from ideogram_async.sandbox.state import State

MAX_ATTEMPTS = 3
TIMEOUT = 10.0  # seconds
PREFIX = "X-Ideogram-Webhook-"
USER_ID = "c2FuZGJveC11c2VyLTAwMQ"
# Test keys, which are public: the seed of each is the hash of this text with its number.
KEY_LABEL = "ideogram_async webhook test key %d (public knowledge, never a real key)"
# The public keys of the numbers 1 and 2: the current one, and one that was retired recently.
KEYS = {
    "test-2026-11": "A0AzK2zwlWrLTZJHQOpYitsuaMpFa2UfTFD2z20HA44",
    "test-2026-05": "pjNt3gImSsl40ACPnHgAtQMILeblC9F4BjD0Zwd0bug",
}
CURRENT_KEY, UNPUBLISHED_KEY = 1, 3


def key_set(_state: State, _fields: Fields) -> JsonObject:
    """Return the published keys."""
    common = {"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig"}
    return {"keys": [{**common, "kid": kid, "x": x} for kid, x in KEYS.items()]}


def require_signing(url: str) -> None:
    """Check that a result can be signed, if it is to be delivered to this machine.

    Raises:
        RefusalError: If a package is missing.
    """
    try:
        if is_loopback(url):
            sign("", "", "", b"", CURRENT_KEY)
    except ImportError as error:
        raise RefusalError(400, f"webhook_url: {error}") from None


def sign(generation_id: str, user_id: str, timestamp: str, body: bytes, key: int) -> str:
    """Return the signature of a delivery.

    Raises:
        ImportError: If `cryptography` is not installed.
    """
    with needs_extra("signing of webhooks by the sandbox", "webhooks"):
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    message = "\n".join((generation_id, user_id, timestamp, hashlib.sha256(body).hexdigest()))
    seed = hashlib.sha256((KEY_LABEL % key).encode()).digest()
    return Ed25519PrivateKey.from_private_bytes(seed).sign(message.encode()).hex()


async def deliver(state: State, generation: RecordedGeneration, url: str, fault: Fault | None) -> None:
    """Deliver a result to a URL of this machine, again if the answer is not 2xx; others receive nothing."""
    kind = fault.kind if fault else ""
    if not is_loopback(url) or kind == "webhook_absent":
        return

    body = json.dumps(generation.delivery(), ensure_ascii=False).encode()
    timestamp = int(state.now - (fault.interval if fault and kind == "webhook_late" else 0))
    if kind == "webhook_forged":
        await _send(state, generation, url, body, timestamp, UNPUBLISHED_KEY)

    wanted = fault.count if fault and kind == "webhook_repeated" else 1
    for _ in range(max(wanted, MAX_ATTEMPTS)):
        wanted -= await _send(state, generation, url, body, timestamp, CURRENT_KEY)
        if wanted <= 0:
            break


async def _send(state: State, generation: RecordedGeneration, url: str, body: bytes, timestamp: int, key: int) -> bool:
    """Send one delivery; return whether the answer is 2xx."""
    from aiohttp import ClientError, ClientSession, ClientTimeout, DummyCookieJar

    generation_id = generation.generation_id
    headers = {
        "Content-Type": "application/json",
        f"{PREFIX}Generation-Id": generation_id,
        f"{PREFIX}User-Id": USER_ID,
        f"{PREFIX}Timestamp": str(timestamp),
        f"{PREFIX}Key-Id": next(iter(KEYS)),
        f"{PREFIX}Signature": sign(generation_id, USER_ID, str(timestamp), body, key),
    }
    status = None
    try:
        async with (
            ClientSession(timeout=ClientTimeout(TIMEOUT), cookie_jar=DummyCookieJar()) as session,
            session.post(url, data=body, headers=headers, allow_redirects=False) as reply,
        ):
            status = reply.status
    except (ClientError, TimeoutError, ValueError):
        # No server listens, or its response is unusable: as if it were not 2xx.
        pass

    state.deliveries.append(RecordedDelivery(generation_id, url, headers, body, status))
    return status is not None and 200 <= status < 300
