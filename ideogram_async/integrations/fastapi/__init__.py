"""Integration with FastAPI and Starlette. Needs only Starlette.

app = FastAPI(lifespan=lifespan)
install_error_handlers(app)

@app.post("/fox")
async def fox(client: Annotated[Ideogram, Depends(get_client)]):
answer = await client.generate("a red fox")
return image_response(client, answer.data[0])
"""

from __future__ import annotations

from ideogram_async._requirements import needs_extra

with needs_extra(__name__, "fastapi"):
    from ideogram_async.integrations.fastapi.idempotency import Buy, idempotent
    from ideogram_async.integrations.fastapi.images import ImageResponse, image_response
    from ideogram_async.integrations.fastapi.lifecycle import get_client, lifespan
    from ideogram_async.integrations.fastapi.problems import install_error_handlers
    from ideogram_async.integrations.fastapi.webhooks import webhook_router

__all__ = [
    "Buy",
    "ImageResponse",
    "get_client",
    "idempotent",
    "image_response",
    "install_error_handlers",
    "lifespan",
    "webhook_router",
]
