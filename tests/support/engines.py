"""Workflow engines in the event loop of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from dbos import DBOS, DBOSConfig

from ideogram_async import Ideogram
from ideogram_async.integrations.dbos import Images
from ideogram_async.sinks import Sink

__all__ = ["launched"]


@asynccontextmanager
async def launched(client: Ideogram, sink: Sink, config: DBOSConfig) -> AsyncGenerator[Images]:
    """Run DBOS for the block, with a queue of the name `images`."""
    # What a page has registered.
    DBOS.destroy(destroy_registry=True)
    DBOS(config=config)
    images = Images(client, sink=sink)
    DBOS.launch()
    await DBOS.register_queue_async("images", polling_interval_sec=0.02)
    try:
        yield images
    finally:
        await asyncio.to_thread(DBOS.destroy, destroy_registry=True)
