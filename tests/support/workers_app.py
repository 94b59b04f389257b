"""Web app for several uvicorn workers on one account, with the limit in Redis."""

from __future__ import annotations

import os
from functools import partial
from typing import Annotated

from fastapi import Depends, FastAPI

from ideogram_async import Ideogram
from ideogram_async.integrations.fastapi import (
    ImageResponse,
    get_client,
    image_response,
    install_error_handlers,
    lifespan,
)
from ideogram_async.integrations.redis import RedisLimiter

limiter = RedisLimiter(os.environ["REDIS_URL"], lease=float(os.environ["LEASE"]))
app = FastAPI(lifespan=partial(lifespan, client=Ideogram(limiter=limiter)))
install_error_handlers(app)


@app.get("/pid")
async def pid() -> int:
    """Return the process id of the worker."""
    return os.getpid()


@app.post("/fox/{number}.png")
async def fox(number: int, client: Annotated[Ideogram, Depends(get_client)]) -> ImageResponse:
    """Generate an image and return it."""
    answer = await client.generate(f"fox {number}", num_images=1 + number % 2)
    return image_response(client, answer.data[0])
