"""Commands on the folder of a batch: `batch status`, `resolve`, `gallery` and `export`. They send nothing."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ideogram_async import JobResult
from ideogram_async._batch.journal.lock import is_locked
from ideogram_async._batch.journal.schema import HIDDEN
from ideogram_async._plural import pluralize
from ideogram_async._prices import format_usd
from ideogram_async.batch import Folder
from ideogram_async.cli.batch.report import is_unfinished, print_report
from ideogram_async.cli.console import console, escape, print_json, spinner
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.exit_codes import Exit, exit_code_for_report, worst
from ideogram_async.cli.options import Json
from ideogram_async.errors import HostRefusedError

BatchFolder = Annotated[Path, Parameter(help="The folder of a batch.")]
INSTALL = "To install: pip install 'ideogram-async[cli]'"


def status(folder: BatchFolder, /, *, json: Json = False) -> int:
    """Run `batch status`."""
    report = Folder(folder).report()
    code = worst([exit_code_for_report(report), *[Exit.UNFINISHED] * is_unfinished(report)])
    is_running = is_locked(folder / HIDDEN / "lock")
    print_report(report, folder, code, as_json=json, is_run=False, is_running=is_running)
    return code


def resolve(
    folder: BatchFolder,
    id: str,
    resolution: Literal["lost", "retry", "adopt"],
    /,
    *,
    url: str | None = None,
    json: Json = False,
) -> int:
    """Run `batch resolve`.

    Args:
        id: The job's id, or its key, as shown by `batch status`.
        resolution: One of lost, retry and adopt, as above.
        url: The link of the image, for `adopt`.
    """
    try:
        result = Folder(folder).resolve(id, resolution, url)
    except ValueError as error:
        advice = "Pass it as --url." if resolution == "adopt" else "Omit --url."
        raise UsageError(str(error), advice) from None
    except HostRefusedError as error:
        raise UsageError(str(error), "The job is unchanged. Only https links to public hosts are followed.") from None
    except OSError as error:
        raise UsageError(f"{folder} cannot be used: {error.strerror or error}", "The job is unchanged.") from None

    if json:
        print_json({"event": "Resolved", "id": result.id, "key": result.key, "state": result.state})
    else:
        console().print(f"{escape(id)}: {_consequence(result, resolution)}", soft_wrap=True)

    return Exit.OK


def gallery(folder: BatchFolder, /, *, open: bool = False, json: Json = False) -> int:
    """Run `batch gallery`.

    Args:
        open: Open the page in the browser. Without a display, the path is only printed.
    """
    code = _write(folder, lambda: write_gallery(folder, is_silent=json), "Gallery", as_json=json)
    if open:
        open_page(folder / "gallery.html")

    return code


def export(folder: BatchFolder, target: Path, /, *, json: Json = False) -> int:
    """Run `batch export`.

    Args:
        target: The file to write; `.csv` is a table, `.jsonl` JSON lines. An existing file is replaced.
    """
    writers = {".csv": Folder(folder).export_csv, ".jsonl": Folder(folder).export_jsonl}
    write = writers.get(target.suffix.lower())
    if write is None:
        raise UsageError(f"{target} must end in .csv or .jsonl", "Choose another file name.")

    return _write(target, lambda: write(target), "Exported", as_json=json)


def write_gallery(folder: Path, *, is_silent: bool) -> Path:
    """Write the gallery and return its page.

    Raises:
        OSError: If it cannot be written.
        UsageError: If jinja2 or Pillow is not installed.
    """
    if not can_draw():
        raise UsageError("The gallery needs jinja2 and Pillow.", INSTALL)

    with spinner("Writing the gallery", is_shown=not is_silent):
        return Folder(folder).gallery()


def open_page(page: Path) -> None:
    """Open a page in the browser of the desktop, if there is one. A text browser would take over the terminal."""
    if sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"))):
        webbrowser.open(page.resolve().as_uri())


def can_draw() -> bool:
    """Return whether jinja2 and Pillow are installed."""
    return find_spec("jinja2") is not None and find_spec("PIL") is not None


def _write(target: Path, write: Callable[[], Path], event: str, *, as_json: bool) -> Exit:
    try:
        path = write().resolve()
    except OSError as error:
        advice = "An existing file is unchanged. Free some space, or choose another path."
        raise UsageError(f"{target} cannot be written: {error.strerror or error}", advice) from None

    if as_json:
        print_json({"event": event, "path": path})
    else:
        console().print(escape(path), soft_wrap=True)

    return Exit.OK


def _consequence(result: JobResult, resolution: str) -> str:
    match resolution:
        case "lost":
            return f"given up; {format_usd(result.cost_usd)} counted as spent"
        case "retry":
            return "the next run sends it again; that may be billed twice"
        case _:
            others = len(result.images) - 1
            lost = f"; {pluralize(others, 'other image')} counted as lost" if others else ""
            return f"the next run downloads that image{lost}"
