"""Gallery of a batch whose images are in an object store."""

from __future__ import annotations

import asyncio
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from batch.test_gallery import Page
from PIL import Image
from support.batches import make_jobs, run_batch
from support.browser import browsing

from ideogram_async import Ideogram, JournalError
from ideogram_async.batch import Folder
from ideogram_async.integrations.objects import ObjectSink
from ideogram_async.sinks import FolderSink


@pytest.fixture
async def sink(client: Ideogram, bucket: Any, tmp_path: Path) -> ObjectSink:
    """The sink of a batch of two images in `tmp_path`."""
    sink = ObjectSink(bucket, "run-7")
    await run_batch(client, make_jobs(2), tmp_path, sink=sink)
    return sink


def size_of(path: Path) -> list[int]:
    with Image.open(path) as image:
        return list(image.size)


def policy_of(page: Page) -> str:
    return next(attrs["content"] or "" for tag, attrs in page.tags if attrs.get("http-equiv"))


async def test_without_the_sink_it_has_uris(sink: ObjectSink, tmp_path: Path) -> None:
    """They are text, and the page needs no network."""
    page = Page(Folder(tmp_path).gallery())

    assert [f"{sink.uri}/fox-{n}-0.png" for n in range(2)] == [card["uri"] for card in page.cards]
    assert {"stored"} == {card["state"] for card in page.cards}
    assert not {"link", "file", "thumbnail"} & set().union(*page.cards)
    assert page.cards[0]["uri"] in page.cards[0]["text"]
    assert "needs no network" in page.text


async def test_with_the_sink_it_has_links_and_thumbnails(sink: ObjectSink, bucket: Any, tmp_path: Path) -> None:
    """Thumbnails are local, the images come from the store alone, and the page states when the links expire."""
    before = datetime.now(UTC)
    path = Folder(tmp_path).gallery(sink=sink, lifetime=3600)
    page = Page(path)
    [expires_at] = re.findall(r'class="expiry" datetime="([^"]+)"', path.read_text())
    thumbnails = sorted((tmp_path / "thumbnails").glob("*.webp"))

    assert [True] * 2 == ["X-Amz-Expires=3600" in card["link"] for card in page.cards]
    assert sorted(size_of(each) for each in thumbnails) == sorted(card["thumbnail"] for card in page.cards)
    assert f"img-src 'self' file: {bucket.config['endpoint']}; style-src" in policy_of(page)
    assert timedelta(hours=1) <= datetime.fromisoformat(expires_at) - before + timedelta(seconds=1) < timedelta(hours=2)
    assert sink.uri in page.text


async def test_thumbnails_are_read_once(sink: ObjectSink, bucket: Any, tmp_path: Path) -> None:
    """A second page reads no object. One that is missing has no thumbnail."""
    Folder(tmp_path).gallery(sink=sink)
    (tmp_path / "thumbnails").joinpath(f"{next(Folder(tmp_path).results()).key}-0.webp").unlink()
    for name in ("fox-0-0.png", "fox-1-0.png"):
        bucket.delete(f"run-7/{name}")

    page = Page(Folder(tmp_path).gallery(sink=sink))

    assert [False, True] == ["thumbnail" in card for card in page.cards]


async def test_a_folder_has_files_as_links(client: Ideogram, tmp_path: Path) -> None:
    """A sink that is another folder adds no host."""
    sink = FolderSink(tmp_path / "images")
    await run_batch(client, make_jobs(1), tmp_path / "out", sink=sink)
    page = Page(Folder(tmp_path / "out").gallery(sink=sink))

    assert [(tmp_path / "images" / "fox-0-0.png").as_uri()] == [card["link"] for card in page.cards]
    assert "img-src 'self' file:; style-src" in policy_of(page)
    assert "needs no network" in page.text


async def test_another_sink_is_refused(sink: ObjectSink, bucket: Any, tmp_path: Path) -> None:
    """Its links would lead to nothing."""
    with pytest.raises(JournalError, match="not in s3://"):
        Folder(tmp_path).gallery(sink=ObjectSink(bucket, "run-8"))

    with pytest.raises(ValueError, match="lifetime must be"):
        Folder(tmp_path).gallery(sink=sink, lifetime=604_801)

    assert not (tmp_path / "gallery.html").exists()


async def test_the_browser_shows_the_image_of_the_store(sink: ObjectSink, tmp_path: Path) -> None:
    """The policy of the page allows it."""
    page = Folder(tmp_path).gallery(sink=sink)
    async with asyncio.timeout(60), browsing(tmp_path / "profile") as browser:
        await browser.open(f"{page.as_uri()}#image={next(Folder(tmp_path).results()).key}-0")
        await browser.until("document.querySelector('.stage img')?.naturalWidth > 0")
        address = await browser.run("document.querySelector('.stage img').src")

    assert "/run-7/fox-0-0.png?X-Amz-Algorithm=" in address
