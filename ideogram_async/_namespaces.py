"""Groups of operations: `client.legacy`, `client.datasets`, `client.models`."""

from __future__ import annotations

from typing import TypeVar

from ideogram_async._operations import Request, Sender, operation
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

    @operation(LegacyGenerate)
    def generate(self) -> None: ...
    @operation(LegacyEdit)
    def edit(self) -> None: ...
    @operation(LegacyEditV3)
    def edit_v3(self) -> None: ...
    @operation(LegacyRemix)
    def remix(self) -> None: ...
    @operation(LegacyReframe)
    def reframe(self) -> None: ...


class Datasets(Namespace):
    """Datasets: images to train models on."""

    @operation(ListDatasets)
    def list(self) -> None: ...
    @operation(CreateDataset)
    def create(self) -> None: ...
    @operation(GetDataset)
    def get(self) -> None: ...
    @operation(UploadDatasetAssets)
    def upload_assets(self) -> None: ...


class Models(Namespace):
    """Custom models."""

    @operation(TrainModel)
    def train(self) -> None: ...
    @operation(ListModels)
    def list(self) -> None: ...
    @operation(GetModel)
    def get(self) -> None: ...

    async def wait(self, model_id: str, *, poll: float = 30.0, timeout: float | None = None) -> GetModelResponse:
        """Wait until a model's training has ended, and return the model. `answer.model.status` is its result.

        A cancellation ends the wait, not the training.

        Args:
            model_id: The model.
            poll: Seconds between two requests.
            timeout: Seconds to wait in total; unlimited by default.

        Raises:
            TimeoutError: If it takes longer than `timeout`.
            IdeogramError: What `get` raises.
        """
        import asyncio

        async with asyncio.timeout(timeout):
            while (answer := await self.get(model_id)).model.status not in ENDED:  # noqa: ASYNC110
                await asyncio.sleep(poll)

        return answer
