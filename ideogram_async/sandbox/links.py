"""Signed links to images, which expire."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from ideogram_async.sandbox.recipe import Sketch

__all__ = ["Links", "new_id"]

_FOLDER = "/api/images/ephemeral/"


def new_id() -> str:
    """Make an id in the service's form: sixteen random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")


class Links:
    """The images of a box and the links that lead to them."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._sketches: dict[str, Sketch] = {}

    def add(self, sketch: Sketch, *, origin: str, suffix: str, expires_at: int) -> str:
        """Keep an image and give its link."""
        path = f"{_FOLDER}{new_id()}.{suffix}"
        self._sketches[path] = sketch
        return f"{origin}{path}?exp={expires_at}&sig={self._sign(path, str(expires_at))}"

    def find(self, url: str) -> Sketch | None:
        """Find the image of a link or path, whatever its signature."""
        return self._sketches.get(urlsplit(url).path)

    def verdict(self, path: str, query: Mapping[str, str], now: float) -> int:
        """Judge a link: 403 when it is forged or expired, 404 when there is no such image, else 200."""
        expires_at = query.get("exp", "")

        if not hmac.compare_digest(self._sign(path, expires_at), query.get("sig", "")):
            return 403
        if now >= int(expires_at):
            return 403

        return 200 if path in self._sketches else 404

    def _sign(self, path: str, expires_at: str) -> str:
        return hmac.new(self._secret, f"{path}:{expires_at}".encode(), hashlib.sha256).hexdigest()
