"""Django: the views of the page on queues under uvicorn, and under WSGI, and the call of the page on webhooks."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import aiohttp
from support.deliveries import GENERATION_ID
from support.frameworks import Site, require
from support.webhookpage import deliveries, open_page

from ideogram_async.sandbox import Sandbox

require("django")

SETTINGS = """
SECRET_KEY = "tests"
ALLOWED_HOSTS = ["127.0.0.1", "testserver"]
ROOT_URLCONF = "urls"
MIDDLEWARE = []
"""
URLS = """
from django.http import HttpResponse
from django.urls import path
import views

from ideogram_async import Generate


async def start(request):
    await views.client.start(Generate("a started fox"), on_done=lambda call: print("kept", call.error, flush=True))
    return HttpResponse("started")


urlpatterns = [path("draw", views.draw), path("draw-sync", views.draw_sync), path("start", start)]
"""
WSGI = """
import django
from django.test import Client

django.setup()
for _ in range(2):
    assert 200 == Client().post("/draw-sync", {"prompt": "a fox"}).status_code
"""


def prepare(site: Site) -> None:
    site.settings["DJANGO_SETTINGS_MODULE"] = "site_settings"
    for name, code in {"site_settings": SETTINGS, "urls": URLS}.items():
        (site.folder / f"{name}.py").write_text(code)


async def test_views_under_asgi(page: Site, sandbox: Sandbox) -> None:
    """Async and sync views answer, an error has its price, and SIGTERM drains a started call."""
    prepare(page)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]

    async with page.running("uvicorn", "asgi:application", "--port", str(port), "--lifespan", "on") as server:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
            await until_open(port)
            responses = []
            for path, prompt in (("draw", "a fox"), ("draw-sync", "a hen"), ("draw", "")):
                async with http.post(f"/{path}", data={"prompt": prompt}) as response:
                    responses.append((response.status, sorted(await response.json())))

            sandbox.hold()
            async with http.post("/start") as response:
                assert 200 == response.status

            await sandbox.wait_for_requests(3)

        server.terminate()
        sandbox.release()
        await server.wait()

    assert [(200, ["created", "data"])] * 2 + [(502, ["advice", "billed", "error"])] == responses
    assert "kept None" in (page.folder / "log").read_text()
    assert 3 == len(sandbox.ledger.entries)


async def until_open(port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.02)
        else:
            writer.close()
            return


async def test_sync_views_under_wsgi(page: Site, sandbox: Sandbox) -> None:
    """A sync view uses the same client in one event loop after another, without warnings."""
    prepare(page)
    (page.folder / "run_wsgi.py").write_text(WSGI)
    async with page.running("run_wsgi") as process:
        code = await process.wait()

    assert (0, "") == (code, (page.folder / "log").read_text())
    assert 2 == len(sandbox.ledger.entries)


async def test_deliveries_of_a_webhook(tmp_path: Path) -> None:
    """The call of the page on webhooks accepts a valid delivery, and refuses others."""
    from django.conf import settings
    from django.test import AsyncRequestFactory

    settings.configure()
    factory = AsyncRequestFactory()
    async with open_page(tmp_path) as page:
        handle = page.handler("Django")
        statuses = [
            await handle(factory.post("/", each.body, each.headers.pop("Content-Type"), headers=each.headers))
            for each in deliveries()
        ]

    assert [204, 400, 400] == statuses
    assert [GENERATION_ID] == page.kept
