"""The client: views, settings, and waiting for a model."""

from __future__ import annotations

import pytest
from support.pictures import picture

from ideogram_async import Ideogram, InvalidRequestError, Retry, Timeout
from ideogram_async.events import Event
from ideogram_async.sandbox import Sandbox


async def train(client: Ideogram) -> str:
    """Train a model on 15 images and return its id."""
    dataset = await client.datasets.create("foxes")
    await client.datasets.upload_assets(dataset.dataset_id, [(f"{n}.png", picture()) for n in range(15)])
    return (await client.models.train(dataset.dataset_id, "fox model")).model_id


async def test_waiting_ends_when_the_model_is_trained() -> None:
    """`models.wait` polls until the training has ended, and returns the model."""
    async with Sandbox() as sandbox, Ideogram("key", base_url=sandbox.url) as client:
        model_id = await train(client)
        view = client.with_options(on_event=lambda _: sandbox.advance(1800))
        answer = await view.models.wait(model_id, poll=0)

    assert "COMPLETED" == answer.model.status


async def test_waiting_has_a_timeout() -> None:
    """`models.wait` raises `TimeoutError` after its timeout."""
    async with Sandbox() as sandbox, Ideogram("key", base_url=sandbox.url) as client:
        model_id = await train(client)
        with pytest.raises(TimeoutError):
            await client.models.wait(model_id, poll=0, timeout=0.05)


async def test_a_dataset_lists_its_files() -> None:
    """File names are kept, captions are assigned to their images, and listing returns all datasets."""
    async with Sandbox() as sandbox, Ideogram("key", base_url=sandbox.url) as client:
        dataset = await client.datasets.create("foxes")
        files = [("fox one.png", picture()), ("fox one.txt", b"a fox")]
        uploaded = await client.datasets.upload_assets(dataset.dataset_id, files)
        answer = await client.datasets.get(dataset.dataset_id)

        assert [dataset.dataset_id] == [item.dataset_id for item in await client.datasets.list()]
        assert 0 == uploaded.failure_count
        assert "fox one.png" in [file.file_name for file in answer.files]


async def test_a_view_shares_the_limiter_and_changes_nothing_else() -> None:
    """`with_options` returns another client with the same limiter and sessions; the first one is unchanged."""
    events: list[Event] = []
    async with Sandbox() as sandbox, Ideogram("key", base_url=sandbox.url, extra_headers={"X-First": "1"}) as client:
        view = client.with_options(
            timeout=400, retry=Retry(attempts=1), extra_headers={"X-View": "1"}, on_event=events.append
        )
        await view.generate("a fox")
        count = len(events)
        await client.generate("a fox")
        headers = [arrival.headers for arrival in sandbox.requests]

    assert client.limiter is view.limiter
    assert count == len(events) > 0
    assert [("1", None), (None, "1")] == [(h.get("X-View"), h.get("X-First")) for h in headers]


async def test_a_view_can_skip_validation() -> None:
    """`with_options(validate=False)` leaves the rules to the service, but never sends a wrong type."""
    async with Sandbox() as sandbox, Ideogram("key", base_url=sandbox.url) as client:
        view = client.with_options(validate=False)
        with pytest.raises(InvalidRequestError):
            await view.generate(7)  # type: ignore[arg-type]

        with pytest.raises(InvalidRequestError):
            await client.generate("a fox", num_images=9)

        assert [] == sandbox.requests


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Base URL and timeout are read from the environment if they are not passed."""
    monkeypatch.setenv("IDEOGRAM_BASE_URL", "https://gateway.example/ideogram")
    monkeypatch.setenv("IDEOGRAM_TIMEOUT", "400")
    client = Ideogram("key")

    assert "<Ideogram https://gateway.example/ideogram <ImageLimiter: 0 of 10 slots in use, 0 waiting>>" == repr(client)
    assert Timeout(total=400) == client._pipeline.options.timeout


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({"base_url": "http://example.com"}, "https"),
        ({"base_url": "https://user:pass@example.com"}, "base_url"),
        ({"max_in_flight": 0}, "max_in_flight"),
        ({"timeout": 0}, "total"),
        ({"extra_headers": {"Api-Key": "x"}}, "extra_headers"),
        ({"extra_headers": {"X-A": "1\r\nX-B: 2"}}, "extra_headers"),
        ({"prices": {"v9.TURBO": "1"}}, "prices"),
    ],
)
def test_invalid_settings_are_refused(settings: dict[str, object], name: str) -> None:
    """An invalid setting raises a `ValueError` that names it, when the client is constructed."""
    with pytest.raises(ValueError, match=name):
        Ideogram("key", **settings)  # type: ignore[arg-type]
