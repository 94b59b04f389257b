"""Servers of object stores in processes of their own: moto for S3, and Azurite for Azure where it is installed."""

from __future__ import annotations

import base64
import hmac
import os
import re
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from obstore.store import AzureStore, S3Store

from support.installed import find

__all__ = [
    "HTTP",
    "azurite",
    "bucket_of",
    "contents",
    "moto",
    "new_bucket",
    "new_container",
    "versions",
]

ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
HTTP: Any = {"client_options": {"allow_http": True, "timeout": "10s"}, "retry_config": {"max_retries": 0}}


@contextmanager
def moto() -> Iterator[str]:
    """Run moto's server, and yield its URL."""
    with _server([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]) as url:
        yield url


@contextmanager
def azurite() -> Iterator[str]:
    """Run Azurite in memory, and yield the URL of its account. `AZURITE` names a program outside the path."""
    program = find(os.environ.get("AZURITE", "azurite-blob"))
    options = ["--blobHost", "127.0.0.1", "--blobPort", "0", "--inMemoryPersistence", "--skipApiVersionCheck"]
    with _server([program, *options, "--disableTelemetry"]) as url:
        yield f"{url}/{ACCOUNT}"


@contextmanager
def _server(command: list[str]) -> Iterator[str]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        # The server must not wait for a reader of its log.
        reader = threading.Thread(target=process.stdout.read, daemon=True)
        try:
            url = next(match[0] for line in process.stdout if (match := re.search(r"http://127\.0\.0\.1:\d+", line)))
            reader.start()
            yield url
        finally:
            process.terminate()
            if reader.ident is not None:
                reader.join()


def new_bucket(url: str, name: str) -> S3Store:
    """Create a bucket of moto that keeps every version of an object, and return its store."""
    _request("PUT", f"{url}/{name}")
    enabled = b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>"
    _request("PUT", f"{url}/{name}?versioning", {"Content-Type": "application/xml"}, enabled)
    return bucket_of(url, name)


def bucket_of(url: str, name: str) -> S3Store:
    """Return the store of a bucket of moto."""
    credentials = {"access_key_id": "user", "secret_access_key": "password", "region": "us-east-1"}
    return S3Store(name, endpoint=url, **credentials, **HTTP)


def versions(url: str, name: str) -> list[str]:
    """Return the name of each version of each object of a bucket of moto, except the probe."""
    keys = re.findall(r"<Key>(.+?)</Key>", _request("GET", f"{url}/{name}?versions").decode())
    return sorted(key for key in keys if not key.endswith(".ideogram-probe"))


def new_container(url: str, name: str) -> AzureStore:
    """Create a container of Azurite, and return its store."""
    date = format_datetime(datetime.now(UTC), usegmt=True)
    headers = {"x-ms-date": date, "x-ms-version": "2021-12-02", "Content-Length": "0"}
    canonical = f"x-ms-date:{date}\nx-ms-version:2021-12-02\n/{ACCOUNT}/{ACCOUNT}/{name}\nrestype:container"
    signature = hmac.digest(base64.b64decode(ACCOUNT_KEY), f"PUT{chr(10) * 12}{canonical}".encode(), "sha256")
    authorization = f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}"
    _request("PUT", f"{url}/{name}?restype=container", headers | {"Authorization": authorization})
    return AzureStore(name, account_name=ACCOUNT, account_key=ACCOUNT_KEY, endpoint=url, **HTTP)


def contents(store: Any, prefix: str = "") -> dict[str, bytes]:
    """Return the objects of a store by name, except the probe."""
    objects = store.list(prefix or None).collect()
    names = [entry["path"] for entry in objects if not entry["path"].endswith(".ideogram-probe")]
    return {name: bytes(store.get(name).bytes()) for name in sorted(names)}


def _request(method: str, url: str, headers: dict[str, str] | None = None, data: bytes | None = None) -> bytes:
    # The settings of a proxy do not concern this machine.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(urllib.request.Request(url, method=method, headers=headers or {}, data=data)) as response:
        body: bytes = response.read()
        return body
