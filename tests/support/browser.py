"""Headless Chromium, controlled over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

from support.installed import find

__all__ = ["Page", "browsing"]

OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-port=0
    --window-size=1280,860"""
ADDRESS = re.compile(r"DevTools listening on ws://([^/]+)/")


class Page:
    """A browser tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._calls = 0
        self.requested: list[str] = []
        """URLs that the page has requested since `watch_requests`."""

    async def run(self, script: str) -> Any:
        """Run a script and return its value or that of its promise."""
        reply = await self._call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in reply, reply
        return reply["result"].get("value")

    async def type(self, selector: str, text: str) -> None:
        """Replace the text of a field."""
        await self.run(f"document.querySelector({selector!r}).select()")
        await self._call("Input.insertText", text=text)

    async def until(self, condition: str) -> None:
        """Wait until a condition is true, also across a navigation."""
        while True:
            with suppress(PageReplacedError):
                if await self.run(f"Boolean({condition})"):
                    return

            await asyncio.sleep(0.02)

    async def run_at_start(self, script: str) -> None:
        """Run a script at the start of every later page."""
        await self._call("Page.enable")
        await self._call("Page.addScriptToEvaluateOnNewDocument", source=script)

    async def watch_requests(self) -> None:
        """Record the URLs that the page requests."""
        await self._call("Network.enable")

    async def open(self, url: str) -> None:
        """Open a URL and wait until it is loaded."""
        await self._call("Page.navigate", url=url)
        await self.until("document.readyState == 'complete'")

    async def press(self, *keys: str) -> None:
        """Press keys, each by its name or character."""
        for key in keys:
            text = "\r" if key == "Enter" else key if len(key) == 1 else ""
            await self._call("Input.dispatchKeyEvent", type="keyDown", key=key, text=text)
            await self._call("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def resize(self, width: int, height: int) -> None:
        """Change the size of the window."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1}
        await self._call("Emulation.setDeviceMetricsOverride", mobile=False, **size)

    async def download_to(self, folder: Path) -> None:
        """Save the files that the page downloads into a folder."""
        await self._call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    async def picture(self, path: Path) -> None:
        """Take a screenshot."""
        reply = await self._call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(reply["data"]))

    async def _call(self, method: str, **params: Any) -> Any:
        self._calls += 1
        await self._socket.send_json({"id": self._calls, "method": method, "params": params})
        async for message in self._socket:
            reply = json.loads(message.data)
            if reply.get("method") == "Network.requestWillBeSent":
                self.requested.append(reply["params"]["request"]["url"])

            if reply.get("id") == self._calls:
                if "result" not in reply:
                    raise PageReplacedError(reply)

                return reply["result"]

        raise AssertionError("the browser closed the connection")


class PageReplacedError(Exception):
    """The page was replaced by another one during a command."""


@asynccontextmanager
async def browsing(profile: Path) -> AsyncGenerator[Page]:
    """Run a browser with an empty profile and kill it with its children at the end."""
    program = find("chromium", "chromium-browser", "google-chrome")
    command = [program, *OPTIONS.split(), f"--user-data-dir={profile}", "about:blank"]
    log_path = profile.with_suffix(".log")
    with log_path.open("wb") as log:
        browser = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log, start_new_session=True)

    try:
        async with asyncio.timeout(60):
            while not (match := ADDRESS.search(log_path.read_text(errors="replace"))):
                assert browser.returncode is None, log_path.read_text(errors="replace")
                await asyncio.sleep(0.02)

        async with aiohttp.ClientSession() as http:
            async with http.get(f"http://{match[1]}/json") as response:
                tabs = [tab for tab in await response.json() if tab["type"] == "page"]

            async with http.ws_connect(tabs[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                yield Page(socket)
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        await browser.wait()
