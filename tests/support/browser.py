"""A headless Chromium, driven over its own protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

__all__ = ["CHROMIUM", "Page", "browsing"]

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0
    --window-size=1280,860"""


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0

    async def run(self, script: str) -> Any:
        """Run a script, wait for what it promises, and return that."""
        told = await self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def type(self, selector: str, text: str) -> None:
        """Type into a field, as fingers would."""
        await self.run(f"document.querySelector({selector!r}).select()")
        await self._call("Input.insertText", text=text)

    async def until(self, condition: str) -> None:
        """Wait until a condition of the page holds, also when the page is changed for another meanwhile."""
        while True:
            with suppress(Gone):
                if await self.run(f"Boolean({condition})"):
                    return

            await asyncio.sleep(0.02)

    async def begin_with(self, script: str) -> None:
        """Run a script at the start of every page to come."""
        await self._call("Page.enable")
        await self._call("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def opened(self, url: str) -> None:
        """Go to an address, and wait until it is there."""
        await self._call("Page.navigate", url=url)
        await self.until("document.readyState == 'complete'")

    async def picture(self, path: Path) -> None:
        """Take a screenshot."""
        told = await self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(told["data"]))

    async def _call(self, method: str, **params: Any) -> Any:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": params})
        async for message in self._socket:
            told = json.loads(message.data)
            if told.get("id") == self._calls:
                if "result" not in told:
                    raise Gone(told)

                return told["result"]

        raise AssertionError("the browser has gone")


class Gone(Exception):  # noqa: N818
    """The page that was asked is no longer there."""


@asynccontextmanager
async def browsing(profile: Path) -> AsyncGenerator[Page]:
    """Start a browser with an empty profile, and end it with its children."""
    command = [str(CHROMIUM), *OPTIONS.split(), f"--user-data-dir={profile}", "about:blank"]
    told = profile.with_suffix(".log")
    with told.open("wb") as log:
        browser = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, start_new_session=True)

    try:
        async with asyncio.timeout(60):
            while not (found := re.search(r"DevTools listening on ws://([^/]+)/", told.read_text(errors="replace"))):
                assert browser.returncode is None, told.read_text(errors="replace")
                await asyncio.sleep(0.02)

        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://{found[1]}/json") as response:
                tabs = [tab for tab in await response.json() if tab["type"] == "page"]

            async with http.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        await browser.wait()
