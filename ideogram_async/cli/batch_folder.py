"""What can be done with the folder of a batch: `batch status`, `resolve`, `gallery` and `export`. Sends nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ideogram_async._batch.folder import Folder
from ideogram_async.cli.console import Exit, console, count, money, of_report, safe, say_json
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.options import Json
from ideogram_async.errors import HostRefusedError

if TYPE_CHECKING:
    from ideogram_async._batch.job import JobResult

Where = Annotated[Path, Parameter(help="The folder that a batch was run into.")]


def status(folder: Where, /, *, json: Json = False) -> int:
    """Say what a folder holds, what it cost, and what is left to decide; a batch may be at work in it."""
    from ideogram_async._batch.folder import Folder
    from ideogram_async.cli.report import say_report, tell_report

    report = Folder(folder).report()
    code = of_report(report)
    if json:
        tell_report(report, folder, None, code)
    else:
        say_report(report, folder, took=False)

    return code


def resolve(
    folder: Where,
    id: str,
    how: Literal["lost", "retry", "adopt"],
    /,
    *,
    url: str | None = None,
    json: Json = False,
) -> int:
    """Decide what becomes of a job that may have run, and may have been paid for. Sends nothing.

    `lost` gives it up; its price counts as spent. `retry` lets the next run send it again, which may pay twice.
    `adopt` lets the next run download `--url`, where you have found its image.

    Args:
        id: The job's id, or its key, as `batch status` tells it.
        how: One of the three.
        url: The link of the image, for `adopt`.
    """
    from ideogram_async._batch.folder import Folder

    try:
        result = Folder(folder).resolve(id, how, url)
    except ValueError as error:
        advice = "Give it with --url." if how == "adopt" else "Leave out --url."
        raise UsageError(str(error), advice) from None
    except HostRefusedError as error:
        raise UsageError(str(error), "Nothing was decided. Only https links to public hosts are followed.") from None

    if json:
        say_json({"event": "Resolved", "id": result.id, "key": result.key, "state": result.state})
    else:
        console().print(f"{safe(id)}: {_decided(result, how)}", soft_wrap=True)

    return Exit.OK


def gallery(folder: Where, /, *, json: Json = False) -> int:
    """Make a page of all images, to be opened without a network: `gallery.html` in the folder."""
    page = _written(folder, lambda: make_gallery(folder, as_json=json))
    return _say_path("Gallery", page, as_json=json)


def export(folder: Where, target: Path, /, *, json: Json = False) -> int:
    """Write what a folder holds into a table with a row an image, or JSON lines with one a job.

    Args:
        target: The file to write; `.csv` is a table, `.jsonl` JSON lines. What stands there is replaced.
    """
    from ideogram_async._batch.folder import Folder

    writers = {".csv": Folder(folder).export_csv, ".jsonl": Folder(folder).export_jsonl}
    write = writers.get(target.suffix.lower())
    if write is None:
        raise UsageError(f"{target} must end in .csv or .jsonl", "Give the file another name.")

    return _say_path("Exported", _written(target, lambda: write(target)), as_json=json)


def _written(target: Path, write: Callable[[], Path]) -> Path:
    try:
        return write()
    except OSError as error:
        advice = "What stood there before stays. Make room, or choose another place."
        raise UsageError(f"{target} cannot be written: {error.strerror or error}", advice) from None


def _decided(result: JobResult, how: str) -> str:
    match how:
        case "lost":
            return f"given up; {money(result.cost_usd)} count as spent"
        case "retry":
            return "the next run sends it again; that may pay a second time"
        case _:
            others = count(len(result.images) - 1, "other")
            lost = f"; {others} {'counts' if others == '1 other' else 'count'} as lost"
            return "the next run downloads that image" + (lost if len(result.images) > 1 else "")


def _say_path(event: str, path: Path, *, as_json: bool) -> Exit:
    if as_json:
        say_json({"event": event, "path": path.resolve()})
    else:
        console().print(safe(path.resolve()), soft_wrap=True)

    return Exit.OK


def make_gallery(folder: Path, *, as_json: bool) -> Path:
    """Make the page.

    Raises:
        OSError: If it cannot be written.
        UsageError: If what draws it is not installed.
    """
    if not can_draw():
        raise UsageError("The gallery needs jinja2 and Pillow.", "Install them: pip install 'ideogram-async[cli]'")

    with busy("Drawing the gallery", as_json=as_json):
        return Folder(folder).gallery()


def can_draw() -> bool:
    """Whether what draws the page is installed."""
    return find_spec("jinja2") is not None and find_spec("PIL") is not None


@contextmanager
def busy(words: str, *, as_json: bool) -> Generator[None]:
    """Show in a terminal that something takes a while."""
    target = console(sys.stderr)
    if as_json or not target.is_terminal:
        yield
        return

    with target.status(f"{words} …"):
        yield
