"""The page on webhooks: its functions receive deliveries in each framework that the page names."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from flask import Flask, request
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from support.deliveries import GENERATION_ID
from support.serving import serving
from support.webhookpage import CALLS, Page, deliveries, open_page


async def post(url: str) -> list[int]:
    """Post deliveries, and return the statuses."""
    statuses = []
    async with ClientSession() as http:
        for delivery in deliveries():
            async with http.post(url, data=delivery.body, headers=delivery.headers) as response:
                statuses.append(response.status)

    return statuses


async def in_starlette(page: Page) -> list[int]:
    handle = page.handler("Starlette")

    async def view(request: Request) -> Response:
        return Response(status_code=await handle(request))

    async with serving(Starlette(routes=[Route("/", view, methods=["POST"])])) as url:
        return await post(url)


async def in_aiohttp(page: Page) -> list[int]:
    handle = page.handler("aiohttp")

    async def view(request: web.Request) -> web.Response:
        return web.Response(status=await handle(request))

    app = web.Application()
    app.router.add_post("/", view)
    async with TestServer(app) as server:
        return await post(str(server.make_url("/")))


async def in_flask(page: Page) -> list[int]:
    app, handle = Flask("page"), page.handler("Flask")
    app.add_url_rule("/", view_func=lambda: ("", handle(request)), methods=["POST"])

    def run() -> list[int]:
        http = app.test_client()
        return [http.post("/", data=each.body, headers=each.headers).status_code for each in deliveries()]

    return await asyncio.to_thread(run)


@pytest.mark.parametrize("run", [in_starlette, in_aiohttp, in_flask])
async def test_the_call_of_a_framework(
    run: Callable[[Page], Awaitable[list[int]]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The call that the page has for a framework accepts a valid delivery, and refuses others."""
    async with open_page(tmp_path) as page:
        statuses = await run(page)

    assert [204, 400, 400] == statuses
    assert [GENERATION_ID] == page.kept
    assert f"signature None\nstale {GENERATION_ID}\n" == capsys.readouterr().out


def test_every_framework_is_tested() -> None:
    """The page names these frameworks. The tests of Django have its call."""
    assert ["Starlette", "aiohttp", "Django", "Flask"] == list(CALLS)
