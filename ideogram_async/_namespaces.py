"""The operations that are grouped: `client.legacy`, `client.datasets`, `client.models`."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from ideogram_async._operations import Operation, Request, Sender
from ideogram_async.enums import ModelStatus
from ideogram_async.models import GetModelResponse
from ideogram_async.requests import (
    CreateDataset,
    GetDataset,
    GetModel,
    LegacyEdit,
    LegacyEditV3,
    LegacyGenerate,
    LegacyReframe,
    LegacyRemix,
    ListDatasets,
    ListModels,
    TrainModel,
    UploadDatasetAssets,
)

R = TypeVar("R")

ENDED = (ModelStatus.COMPLETED, ModelStatus.ERRORED, ModelStatus.ARCHIVED)


class Namespace:
    """A group of operations of one client."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._sender!r}>"

    async def send(self, request: Request[R], /) -> R:
        """Send a request, as `Ideogram.send` does."""
        return await self._sender.send(request)


class Legacy(Namespace):
    """Operations of the older models."""

    generate = Operation(LegacyGenerate)
    edit = Operation(LegacyEdit)
    edit_v3 = Operation(LegacyEditV3)
    remix = Operation(LegacyRemix)
    reframe = Operation(LegacyReframe)


class Datasets(Namespace):
    """Sets of images to train on."""

    list = Operation(ListDatasets)
    create = Operation(CreateDataset)
    get = Operation(GetDataset)
    upload_assets = Operation(UploadDatasetAssets)


class Models(Namespace):
    """Custom models."""

    train = Operation(TrainModel)
    list = Operation(ListModels)
    get = Operation(GetModel)

    async def wait(self, model_id: str, *, poll: float = 30.0, timeout: float | None = None) -> GetModelResponse:
        """Wait until a model is trained, or its training has failed: `answer.model.status` tells which.

        A cancellation ends the waiting, not the training.

        Args:
            model_id: Which one.
            poll: Seconds between two looks.
            timeout: Seconds to wait in all; for ever if not given.

        Raises:
            TimeoutError: If it takes longer than that.
            IdeogramError: What `get` raises, if a look fails for good.
        """
        async with asyncio.timeout(timeout):
            while (answer := await self.get(model_id)).model.status not in ENDED:  # noqa: ASYNC110
                await asyncio.sleep(poll)

        return answer
