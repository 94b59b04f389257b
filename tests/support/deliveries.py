"""Deliveries to a webhook: recorded ones, and a signer of others with the same test keys."""

from __future__ import annotations

import hashlib
import json
import time
from typing import Any

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from support.paths import DATA

__all__ = ["BODY", "GENERATION_ID", "JWKS", "NOW", "RECORDED", "Delivery", "sign"]

_FILE = json.loads((DATA / "v2" / "deliveries.json").read_text())
NOW: int = _FILE["now"]
"""Seconds at which the recorded deliveries are fresh."""
JWKS: dict[str, Any] = {"keys": _FILE["keys"]}
GENERATION_ID = "xtdZiqPwRxqY1Y7NExFmzB"
SEED = "ideogram_async webhook test key {} (public knowledge, never a real key)"
PREFIX = "X-Ideogram-Webhook-"


@frozen
class Delivery:
    """A delivery."""

    headers: dict[str, str]
    body: bytes
    name: str = ""
    refused: str | None = None
    """The reason why it must be refused; `None` if it is valid."""

    def changed(self, **headers: str | None) -> Delivery:
        """Return a copy with other headers, named without prefix; `None` removes one."""
        changes = {f"{PREFIX}{name.replace('_', '-').title()}": value for name, value in headers.items()}
        return Delivery(
            {name: value for name, value in (self.headers | changes).items() if value is not None}, self.body
        )


RECORDED = [
    Delivery(each["headers"], each["body"].encode(), each["name"], each["refused"]) for each in _FILE["deliveries"]
]
BODY = RECORDED[0].body


def sign(
    body: bytes = BODY,
    generation_id: str = GENERATION_ID,
    *,
    user_id: str = "k3q0-Vb5TtaGd1yZ8uPjLw",
    timestamp: str | None = None,
    key: int = 1,
) -> Delivery:
    """Sign a delivery, as of now, with test key n: 1 and 2 are in `JWKS`, others are not."""
    timestamp = str(int(time.time())) if timestamp is None else timestamp
    private = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(SEED.format(key).encode()).digest())
    message = "\n".join([generation_id, user_id, timestamp, hashlib.sha256(body).hexdigest()]).encode()
    headers = {
        f"{PREFIX}Generation-Id": generation_id,
        f"{PREFIX}User-Id": user_id,
        f"{PREFIX}Timestamp": timestamp,
        f"{PREFIX}Key-Id": _FILE["keys"][key - 1]["kid"] if 0 < key <= len(_FILE["keys"]) else f"test-{key}",
        f"{PREFIX}Signature": private.sign(message).hex(),
        "Content-Type": "application/json",
    }
    return Delivery(headers, body)
