"""Signed links to images, with an expiry."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from ideogram_async.sandbox.recipe import Recipe

FOLDER = "/api/images/ephemeral/"


def new_id() -> str:
    """Return an id in the service's format: sixteen random bytes in URL-safe base64."""
    return base64.urlsafe_b64encode(secrets.token_bytes(16)).decode().rstrip("=")


def asset_id_of(url: str) -> str:
    """Return the id of the image that a link leads to."""
    return PurePosixPath(urlsplit(url).path).stem


class Links:
    """The images of a sandbox by link."""

    def __init__(self) -> None:
        self._secret = secrets.token_bytes(32)
        self._recipes: dict[str, Recipe] = {}
        self._assets: dict[str, Recipe] = {}

    def add(self, recipe: Recipe, *, origin: str, suffix: str, expires_at: int) -> str:
        """Register an image and return its link."""
        asset_id = new_id()
        path = f"{FOLDER}{asset_id}.{suffix}"
        self._recipes[path] = self._assets[asset_id] = recipe
        return f"{origin}{path}?exp={expires_at}&sig={self._sign(path, str(expires_at))}"

    def find(self, url: str) -> Recipe | None:
        """Return the image of a link or path, without checking the signature."""
        return self._recipes.get(urlsplit(url).path)

    def find_asset(self, asset_id: str) -> Recipe | None:
        """Return the image of an asset id."""
        return self._assets.get(asset_id)

    def check(self, path: str, query: Mapping[str, str], now: float) -> int:
        """Return the status of a link: 403 if it is forged or expired, 404 if the image does not exist, else 200."""
        expires_at = query.get("exp", "")
        signature = query.get("sig", "").encode("utf-8", "surrogatepass")
        if not hmac.compare_digest(self._sign(path, expires_at).encode(), signature) or now >= int(expires_at):
            return 403

        return 200 if path in self._recipes else 404

    def _sign(self, path: str, expires_at: str) -> str:
        return hmac.new(
            self._secret, f"{path}:{expires_at}".encode("utf-8", "surrogatepass"), hashlib.sha256
        ).hexdigest()
