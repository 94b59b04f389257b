"""An image could not be collected."""

from __future__ import annotations

from pathlib import Path

from ideogram_async.errors.base import IdeogramError

__all__ = [
    "DownloadError",
    "FileConflictError",
    "HostRefusedError",
    "ImageTooLargeError",
    "LinkExpiredError",
    "NotAnImageError",
    "TruncatedImageError",
    "WithheldImageError",
]


class DownloadError(IdeogramError):
    """An image could not be collected. The download itself costs nothing, and never leads to a new generation."""

    retryable = True
    advice = "Download the same link again, before it expires."

    def __init__(self, message: str, *, url: str | None = None, status: int | None = None) -> None:
        super().__init__(message)
        self.url = url
        """The link, without its signature."""
        self.status = status


class LinkExpiredError(DownloadError):
    """The image host answered 403, 404 or 410: the link has died. Links live 24 hours at most."""

    retryable = False
    advice = "The image is lost unless another copy of it exists; a new one is a new purchase."


class TruncatedImageError(DownloadError):
    """The image ended early, time after time."""


class NotAnImageError(DownloadError):
    """What came is no PNG, JPEG or WebP file."""


class ImageTooLargeError(DownloadError):
    """The image is larger than `max_image_bytes`, or has more than 100 million pixels."""

    retryable = False
    advice = "The link still works: raise max_image_bytes, or open the link elsewhere."


class HostRefusedError(DownloadError):
    """The link, or a redirect, leads where this client does not go: no https, a private address, a host not allowed."""

    retryable = False
    advice = "If the host is right, add it to image_hosts."


class WithheldImageError(DownloadError):
    """There is no link: the service made the image and charged for it, but withheld it as unsafe."""

    retryable = False
    advice = "Change the prompt; the same one may be withheld, and charged, again."


class FileConflictError(DownloadError):
    """Another file stands at the target. It was left as it is."""

    retryable = False
    advice = "Choose another target, or move the file that stands there."

    def __init__(self, message: str, *, path: Path, url: str | None = None) -> None:
        super().__init__(message, url=url)
        self.path = path
