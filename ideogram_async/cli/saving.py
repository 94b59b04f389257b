"""Folder for the images of a single call: checked before anything is billed, and never overwritten."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from ideogram_async import Ideogram
from ideogram_async._formats import SUFFIXES
from ideogram_async.cli.errors import UsageError
from ideogram_async.errors import FileConflictError

BYTES_PER_IMAGE = 4 * 2**20
"""Free space that is required for each image. Most have 1 to 3 MiB."""

MAX_NAMES = 20
"""Names that are tried for one image."""

OTHER_FOLDER = "Name another folder with --output, or print links with --no-save."


def prepare_folder(folder: Path, images: int) -> None:
    """Create the folder if it is missing, and check that it can store the images.

    Raises:
        UsageError: If it cannot.
    """
    if folder.suffix.lower() in SUFFIXES and not folder.is_dir():
        raise UsageError(f"{folder} is the name of an image; --output takes a folder", "Name another folder.")

    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(4096))
            probe.flush()

        free = shutil.disk_usage(folder).free
    except OSError as error:
        if folder.is_file():
            raise UsageError(f"{folder} is a file; images need a folder", "Name another folder.") from None

        raise UsageError(f"{folder} cannot be written: {error.strerror or error}", OTHER_FOLDER) from None

    needed = images * BYTES_PER_IMAGE
    if free < needed:
        space = f"{free / 2**20:.1f} MiB free; {needed // 2**20} MiB are needed"
        raise UsageError(f"{folder} has {space}", f"Free some space. {OTHER_FOLDER}")


async def save_image(client: Ideogram, link: str, folder: Path) -> Path:
    """Download an image into a folder. Where its name is taken by another file, a number is added.

    Raises:
        DownloadError: If it cannot be downloaded.
        OSError: If it cannot be written.
    """
    try:
        return await client.download(link, f"{folder}/")
    except FileConflictError as error:
        taken, conflict = error.path or folder, error

    for number in range(2, MAX_NAMES + 1):
        try:
            return await client.download(link, taken.with_stem(f"{taken.stem}-{number}"))
        except FileConflictError as error:
            conflict = error

    raise conflict
