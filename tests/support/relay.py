"""Web app that streams images, as a process whose memory can be measured: `python relay.py BASE_URL`."""

from __future__ import annotations

import socket
import sys
from functools import partial

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ideogram_async import Ideogram
from ideogram_async.integrations.fastapi import get_client, image_response, lifespan


async def relay(request: Request) -> Response:
    return image_response(await get_client(request), request.query_params["link"])


def main(base_url: str) -> None:
    client = Ideogram("sandbox", base_url=base_url)
    app = Starlette(routes=[Route("/", relay)], lifespan=partial(lifespan, client=client))
    listener = socket.create_server(("127.0.0.1", 0))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}", flush=True)  # noqa: T201
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main(sys.argv[1])
