"""Program that tries what an extra enables. It imports nothing that the extra does not install.

    python extras_program.py EXTRA URL FOLDER

URL is that of a sandbox. `all` tries every extra; `none` tries what needs no extra, and that what needs one names it.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from ideogram_async import Generate, Ideogram, Job, LedgerError
from ideogram_async.batch import Folder
from ideogram_async.ledger import SqliteLedger
from ideogram_async.sandbox import Sandbox
from ideogram_async.sinks import FolderSink

KEYS = {"IDEOGRAM_API_KEY": "sandbox"}
MODULES = {
    "dbos": "integrations.dbos",
    "fastapi": "integrations.fastapi",
    "objects": "integrations.objects",
    "otel": "integrations.otel",
    "redis": "integrations.redis",
    "temporal": "integrations.temporal",
}
DELIVERIES = Path(__file__).parents[1] / "data" / "v2" / "deliveries.json"


async def try_none(url: str) -> None:
    """A call, its download, and a batch."""
    async with Ideogram(base_url=url) as client:
        answer = await client.generate("a red fox")
        path = await client.download(answer[0], "images/")
        async with client.batch([Job(Generate("a fox"), id="fox")], "out") as batch:
            results = [result async for result in batch]

    assert Path(path).exists()
    assert [None] == [result.error for result in results]


def refuse_all() -> None:
    """Check that each module that needs an extra names it."""
    for extra, module in MODULES.items():
        assert_names(extra, lambda module=module: importlib.import_module(f"ideogram_async.{module}"))

    assert_names("postgres", load_postgres)
    assert_names("webhooks", try_webhooks)
    assert_names("cli", lambda: Folder("out").gallery())
    assert_names("sandbox", lambda: asyncio.run(Sandbox().start()))


def assert_names(extra: str, run: Callable[[], Any]) -> None:
    message = f"{extra} is installed"
    try:
        run()
    except ImportError as error:
        message = str(error)

    assert f"pip install 'ideogram-async[{extra}]'" in message, message


def load_postgres() -> None:
    """Load the ledger in Postgres."""
    from ideogram_async.ledger import PostgresLedger

    assert PostgresLedger


def try_sandbox() -> None:
    """The demo, with a sandbox of its own."""
    from ideogram_async.demo import main

    assert 0 == main(["--folder", "demo"])


def try_cli(url: str) -> None:
    """A batch on the command line, and its gallery."""
    from ideogram_async.cli import main

    os.environ["IDEOGRAM_BASE_URL"] = url
    Path("jobs.jsonl").write_text(json.dumps({"id": "fox", "prompt": "a fox"}))

    assert 0 == main(["batch", "run", "jobs.jsonl", "shown"])
    assert 0 == main(["batch", "gallery", "shown"])
    assert Path("shown/gallery.html").exists()


def try_excel() -> None:
    """A list in a workbook."""
    from openpyxl import Workbook

    from ideogram_async import read_jobs

    workbook = Workbook()
    for row in (["prompt"], ["a fox"]):
        workbook.active.append(row)

    workbook.save("list.xlsx")

    assert ["a fox"] == [job.request.prompt for job in read_jobs("list.xlsx")]


async def try_fastapi(url: str) -> None:
    """An app whose client buys an image, and answers with it."""
    from fastapi import FastAPI, Request

    from ideogram_async.integrations.fastapi import get_client, image_response, lifespan

    app, sent = FastAPI(lifespan=lambda app: lifespan(app, Ideogram(base_url=url))), []

    async def fox(request: Request) -> Any:
        client = await get_client(request)
        return image_response(client, (await client.generate("a fox"))[0])

    app.add_route("/fox", fox)

    async def receive() -> dict[str, Any]:
        return await asyncio.Future()  # the browser stays

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    async with app.router.lifespan_context(app) as state:
        scope = {
            "type": "http",
            "http_version": "1.1",
            "method": "GET",
            "path": "/fox",
            "query_string": b"",
            "headers": [],
        }
        await app({**scope, "state": state}, receive, send)

    assert 200 == sent[0]["status"], sent
    assert b"PNG" in sent[1]["body"][:8]


async def try_redis(url: str) -> None:
    """A limit that is kept by this process alone while Redis cannot be reached."""
    from ideogram_async.integrations.redis import RedisLimiter

    async with Ideogram(base_url=url, limiter=RedisLimiter("redis://127.0.0.1:9")) as client:
        await client.generate("a fox")


async def try_otel(url: str) -> None:
    """Spans and metrics without a provider."""
    from ideogram_async.integrations.otel import Telemetry

    async with Ideogram(base_url=url, on_event=Telemetry()) as client:
        await client.generate("a fox")


async def try_objects(url: str) -> None:
    """An image in a store in memory."""
    from obstore.store import MemoryStore

    from ideogram_async.integrations.objects import ObjectSink

    async with Ideogram(base_url=url) as client:
        answer = await client.generate("a fox")
        (kept,) = await client.keep(answer[0], ObjectSink(MemoryStore()), name="fox")

    assert kept.uri.endswith("fox.png")


async def try_postgres(url: str) -> None:
    """A ledger whose server cannot be reached."""
    from ideogram_async.ledger import PostgresLedger

    async with Ideogram(base_url=url, ledger=PostgresLedger("postgresql://127.0.0.1:9/none")) as client:
        message = "a ledger without a server has answered"
        try:
            await client.once("fox", Generate("a fox"))
        except LedgerError as error:
            message = str(error)

    assert "127.0.0.1" in message, message


async def try_dbos(url: str) -> None:
    """A workflow with a call and its image."""
    from dbos import DBOS

    from ideogram_async.integrations.dbos import Images

    async with Ideogram(base_url=url, ledger=SqliteLedger("calls.sqlite3")) as client:
        DBOS(config={"name": "extra", "system_database_url": "sqlite:///dbos.sqlite3", "log_level": "CRITICAL"})
        images = Images(client, sink=FolderSink("kept"))

        @DBOS.workflow()
        async def fox() -> list[str]:
            return [
                kept.name for kept in await images.keep(await images.send(Generate("a fox"), key="fox"), name="fox")
            ]

        DBOS.launch()
        assert ["fox-0.png"] == await fox()
        DBOS.destroy()


async def try_temporal(url: str) -> None:
    """The activities of a worker."""
    from ideogram_async.integrations.temporal import activities

    async with Ideogram(base_url=url, ledger=SqliteLedger("activities.sqlite3")) as client:
        assert activities(client, sink=FolderSink("kept"))


def try_webhooks() -> None:
    """The signature of a delivery."""
    from ideogram_async.webhooks import unwrap

    recorded = json.loads(DELIVERIES.read_text())
    delivery = recorded["deliveries"][0]

    assert unwrap(delivery["body"].encode(), delivery["headers"], {"keys": recorded["keys"]}, now=recorded["now"])


def main() -> None:
    extra, url, folder = sys.argv[1:]
    os.environ |= KEYS
    os.chdir(folder)
    asyncio.run(try_none(url))
    if extra == "none":
        refuse_all()

    every = [name.removeprefix("try_") for name in globals() if name.startswith("try_") and name != "try_none"]
    for name in {"all": every, "none": []}.get(extra, [extra]):
        attempt: Callable[..., Awaitable[None] | None] = globals()[f"try_{name}"]
        outcome = attempt(url) if attempt.__code__.co_argcount else attempt()
        if outcome is not None:
            asyncio.run(outcome)


if __name__ == "__main__":
    main()
