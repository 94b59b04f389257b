"""Reader of jobs files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path

from ideogram_async._batch.job import Job
from ideogram_async._rows.checked import rows_of_file
from ideogram_async._rows.options import ListOptions


def read_jobs(
    path: str | PathLike[str],
    *,
    operation: str = "generate",
    columns: Mapping[str, str] | None = None,
    set: Mapping[str, object] | None = None,
    ignore_columns: bool = False,
) -> Iterator[Job]:
    """Return the jobs of a file.

    The suffix names the format: `.txt` has one prompt per line; `.csv` and `.tsv` are tables, also separated by
    semicolons; `.xlsx` needs the extra `excel`; `.json` is an array; everything else is JSON lines. Paths of images are
    relative to the folder of the file.

    Args:
        path: The file. It is read lazily, after a first pass that checks all of it; a pipe is read once.
        operation: The operation of rows that name none, such as `upscale`.
        columns: The column of a field, of `id` or of `operation`, such as `{"prompt": "Caption"}`. By default they have
            the same name, in any case, with spaces, `-` or `_`.
        set: Values of fields for all rows, such as `{"rendering_speed": "TURBO"}`. They replace those of the rows.
            Their paths are relative to the working folder.
        ignore_columns: Whether to accept columns that are not fields, and carry them in `Job.carried`. Otherwise
            they are refused.

    Raises:
        InvalidRequestError: With all faults and their lines, before the first job. Faults of a pipe are raised at
            their line.
        ImportError: If the format needs an extra.
        OSError: If the file cannot be read.
    """
    options = ListOptions(operation, columns or {}, set or {}, ignore_columns)
    rows = rows_of_file(Path(path), options)
    return (Job(row.request, row.id, carried=row.carried) for row in rows)
