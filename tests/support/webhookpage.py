"""The code of the page on webhooks, and the calls that it has for each framework."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from support.deliveries import JWKS, Delivery, sign
from support.pages import fenced
from support.paths import ROOT
from support.rawserver import RawServer, status

__all__ = ["CALLS", "Page", "deliveries", "open_page"]

PAGE = (ROOT / "docs" / "webhooks.md").read_text()
CALLS: dict[str, str] = dict(re.findall(r"^\| (\w+).* \| `(.*receive\(.*)` \|$", PAGE, re.MULTILINE))
"""The call that handles a request, by the name of the framework."""


def deliveries() -> list[Delivery]:
    """Return a valid, a forged and a stale delivery."""
    return [sign(), sign(key=3), sign(timestamp="1")]


class Page:
    """The names that the page defines."""

    def __init__(self, names: dict[str, Any]) -> None:
        self._names = names
        self.kept: list[str] = []
        """The generations that were kept."""
        self._names["keep"] = self._keep

    def handler(self, framework: str) -> Callable[[Any], Any]:
        """Return a function of a request that evaluates the call of a framework."""
        kind = "async def" if CALLS[framework].startswith("await") else "def"
        exec(f"{kind} handle(request): return {CALLS[framework]}", self._names)
        handle: Callable[[Any], Any] = self._names["handle"]
        return handle

    async def _keep(self, event: Any) -> None:
        self.kept.append(event.generation_id)


@asynccontextmanager
async def open_page(folder: Path) -> AsyncGenerator[Page]:
    """Run the code of the page. Its client fetches its keys from a server of the test."""
    async with RawServer(status(200, json.dumps(JWKS).encode())) as server:
        names: dict[str, Any] = {"asyncio": asyncio, "__name__": "page"}
        settings = {"IDEOGRAM_API_KEY": "", "IDEOGRAM_BASE_URL": server.url}
        with mock.patch.dict(os.environ, settings):
            for code in fenced(PAGE, "python"):
                if not re.search(r"^\S.*\bawait ", code, re.MULTILINE):
                    exec(code.replace('"images/"', repr(str(folder))), names)

        yield Page(names)
        await names["client"].aclose()
