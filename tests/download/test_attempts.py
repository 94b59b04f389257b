from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from ideogram_async._download.attempts import DownloadAttempts, max_attempts_for
from ideogram_async._transport.policy import Retry
from ideogram_async.errors import (
    DownloadError,
    FileConflictError,
    HostRefusedError,
    ImageTooLargeError,
    LinkExpiredError,
    NotAnImageError,
    TruncatedImageError,
    WithheldImageError,
)

LIVE, DEAD = "https://ideogram.ai/x?exp=9999999999", "https://ideogram.ai/x?exp=1"


def status(code: int | None) -> DownloadError:
    """Return the error for a status."""
    return DownloadError("", status=code)


@pytest.mark.parametrize(
    ("error", "expected", "once_past"),
    [
        *[(status(code), 7, 7) for code in (None, 408, 425, 429, 500, 502, 503, 504, 520, 524)],
        *[(status(code), 1, 1) for code in (204, 206, 304, 400, 401, 402, 405, 418, 451)],
        (TruncatedImageError(""), 7, 7),
        (LinkExpiredError(""), 3, 1),
        (NotAnImageError(""), 3, 3),
        (ImageTooLargeError(""), 1, 1),
        (HostRefusedError(""), 1, 1),
        (WithheldImageError(""), 1, 1),
        (FileConflictError("", path=Path()), 1, 1),
    ],
)
def test_max_attempts(error: DownloadError, expected: int, once_past: int) -> None:
    """Each kind of error has its number of attempts, before and after the link has expired."""
    actual = [max_attempts_for(error, attempts=7, is_past=is_past) for is_past in (False, True)]

    assert [expected, once_past] == actual


@pytest.mark.parametrize("error", [LinkExpiredError(""), NotAnImageError(""), status(500)])
def test_attempts_is_the_maximum(error: DownloadError) -> None:
    """`attempts` is the maximum for every error."""
    assert 1 == max_attempts_for(error, attempts=1, is_past=False)


class Clock:
    """A manual clock."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("attempt", [1, 2, 3, 4])
def test_pause(attempt: int) -> None:
    """The pause is random, below a bound that doubles up to the cap."""
    attempts = DownloadAttempts(LIVE, Retry(base=1.0, cap=3.0), Clock(), attempt=attempt)
    pauses = [attempts.pause for _ in range(200) if attempts.may_retry(status(500))]

    assert 200 == len(pauses)
    assert all(0.0 <= pause <= min(3.0, 2.0 ** (attempt - 1)) for pause in pauses)
    assert len(set(pauses)) > 100


@pytest.mark.parametrize(("requested", "expected"), [(7.0, 7.0), (86400.0, 300.0), (None, 0.0)])
def test_retry_after(requested: float | None, expected: float) -> None:
    """A Retry-After is the minimum, up to five minutes."""
    attempts = DownloadAttempts(LIVE, Retry(base=0.0), Clock(), attempt=1, retry_after=requested)

    assert attempts.may_retry(status(429))
    assert expected == attempts.pause


def test_last_attempt() -> None:
    """After the last attempt there is no retry."""
    assert not DownloadAttempts(LIVE, Retry(attempts=5), Clock(), attempt=5).may_retry(status(500))


@pytest.mark.parametrize(
    "error", [asyncio.CancelledError(), OSError(28, "full"), RuntimeError(), KeyboardInterrupt(), TimeoutError()]
)
def test_other_errors(error: BaseException) -> None:
    """Only download errors are retried: no cancellation, no full disk, no unknown error."""
    attempts = DownloadAttempts(LIVE, Retry(), Clock())
    attempts.begin()

    assert not attempts.may_retry(error)


@pytest.mark.parametrize(("link", "expected"), [(LIVE, True), (DEAD, False), ("https://ideogram.ai/x", True)])
def test_expired_link(link: str, expected: bool) -> None:
    """A refused link that has expired is not retried."""
    attempts = DownloadAttempts(link, Retry(), Clock())
    attempts.begin()

    assert expected == attempts.may_retry(LinkExpiredError(""))


def test_deadline() -> None:
    """The deadline bounds all attempts and pauses together."""
    clock = Clock()
    attempts = DownloadAttempts(LIVE, Retry(deadline=10.0, base=0.0), clock)
    attempts.begin()
    clock.now += 9.0

    assert 1.0 == attempts.remaining_seconds()
    assert attempts.may_retry(status(500))
    attempts.retry_after = 2.0
    assert not attempts.may_retry(status(500))
    attempts.retry_after = None
    clock.now += 1.0
    assert not attempts.may_retry(status(500))


def test_no_deadline() -> None:
    """Without a deadline the remaining time is unlimited."""
    assert None is DownloadAttempts(LIVE, Retry(), Clock()).remaining_seconds()


def test_begin_resets() -> None:
    """An attempt does not inherit the Retry-After of the previous one."""
    attempts = DownloadAttempts(LIVE, Retry(), Clock(), retry_after=5.0)
    attempts.begin()

    assert (1, None) == (attempts.attempt, attempts.retry_after)
