"""Expiry of links: only the host's refusal after the expiry is final."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import pytest
from download.conftest import names
from support.origin import Origin, ok, picture, status

from ideogram_async._download.downloader import Downloads, PastExpiryError
from ideogram_async._download.target import DownloadTarget
from ideogram_async._sinks.folder import FolderSink
from ideogram_async.errors import DownloadError, LinkExpiredError

# Hours from now.
BEFORE, NOW, AFTER = -1, 0, 1


def moment(hours: float) -> float:
    return time.time() + 3600 * hours


def dated(code: int, hours: float | None) -> bytes:
    """Return a response of a host whose clock shows that time."""
    return status(code, *([] if hours is None else [f"Date: {formatdate(moment(hours), usegmt=True)}"]))


@pytest.mark.parametrize("code", [403, 404, 410])
@pytest.mark.parametrize(
    ("expires_at", "host_time", "is_final", "requests"),
    [
        (AFTER, NOW, False, 3),
        (BEFORE, NOW, True, 1),
        (AFTER, 2, True, 1),
        (BEFORE, -2, False, 1),
        (BEFORE, None, True, 1),
        (AFTER, None, False, 3),
    ],
)
async def test_the_clock_of_the_host_decides(
    downloads: Downloads,
    origin: Origin,
    folder: Path,
    code: int,
    expires_at: int,
    host_time: int | None,
    is_final: bool,
    requests: int,
) -> None:
    """Ours decides if the host has none, and whether the request is retried."""
    origin.answers = [dated(code, host_time)]
    link = origin.url(query=f"exp={moment(expires_at):.0f}")
    with pytest.raises(LinkExpiredError) as caught:
        await downloads.store(link, DownloadTarget(FolderSink(folder), "fox"), expires_at=moment(expires_at))

    assert (is_final, requests) == (isinstance(caught.value, PastExpiryError), len(origin.requests))


@pytest.mark.parametrize(("expires_at", "requests"), [(AFTER, 5), (BEFORE, 1)])
async def test_an_expired_link_is_requested_once(
    downloads: Downloads, origin: Origin, folder: Path, expires_at: int, requests: int
) -> None:
    """Also if the host fails in another way."""
    origin.answers = [dated(500, NOW)]
    with pytest.raises(DownloadError):
        await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "fox"), expires_at=moment(expires_at))

    assert requests == len(origin.requests)


async def test_an_expired_link_may_still_work(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """The image is stored."""
    origin.answers = [ok(picture("PNG"))]
    await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "fox"), expires_at=moment(BEFORE))

    assert ["fox.png"] == names(folder)


async def test_an_invalid_date_is_ignored(downloads: Downloads, origin: Origin, folder: Path) -> None:
    """Our clock decides."""
    origin.answers = [status(404, "Date: soon")]
    with pytest.raises(PastExpiryError):
        await downloads.store(origin.url(), DownloadTarget(FolderSink(folder), "fox"), expires_at=moment(BEFORE))
