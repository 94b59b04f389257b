"""Jobs files, read lazily. Each fault is reported with its line."""

from __future__ import annotations

from array import array
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from attrs import evolve

from ideogram_async import Job
from ideogram_async._rows.columns import to_problems
from ideogram_async._rows.formats import read_rows
from ideogram_async._rows.images import list_images, read_images
from ideogram_async._rows.json_rows import parse_line
from ideogram_async._rows.layout import Layout
from ideogram_async._rows.options import ListOptions
from ideogram_async._rows.parser import Row, RowParser
from ideogram_async._rows.problems import Problem, RowError
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.stdin import read_stdin


class InvalidJobsError(Exception):
    """Invalid jobs in a file or on standard input."""

    def __init__(self, name: str, problems: list[Problem], *, has_earlier_jobs: bool) -> None:
        super().__init__(f"{name}: {'; '.join(map(str, problems[:3]))}")
        self.name = name
        self.problems = problems
        self.has_earlier_jobs = has_earlier_jobs


class JobsFile:
    """A file of jobs.

    Args:
        path: The file; its suffix names the format. Paths in it are relative to its folder.
        options: How to read it.
        is_folder: Whether the path is a folder of images, each of which is a job.
    """

    def __init__(
        self,
        path: Path,
        options: ListOptions = ListOptions(),  # noqa: B008  immutable
        *,
        is_folder: bool = False,
    ) -> None:
        self.path = path
        self.is_folder = is_folder
        self.options: ListOptions = options
        self.layout: Layout = Layout()
        """The layout that the last pass recognized."""
        self.lines: array[int] = array("Q")
        """The line of each job that was read, in order."""
        self._version: tuple[int, ...] | None = None

    @property
    def is_stream(self) -> bool:
        """Return whether the file can be read only once, such as a pipe."""
        return self.path.exists() and not (self.path.is_file() or self.path.is_dir())

    def read(self, problems: list[Problem] | None = None) -> Iterator[Job]:
        """Yield the jobs; faulty rows are skipped and reported.

        Args:
            problems: The list to which faults are added at the end. Without it, the first one is raised.

        Raises:
            InvalidJobsError: At the first fault, if there is no list.
            OSError: If the file cannot be read.
            UsageError: If the file has changed since it was read before, or its format needs an extra.
        """
        self._raise_if_changed()
        self.lines = array("Q")
        self.layout = Layout()
        faults: list[tuple[int, RowError]] = []
        for line, row in self._rows():
            if isinstance(row, Row):
                self.lines.append(line)
                yield _make_job(row)
            elif problems is None:
                name, has_earlier_jobs = str(self.path), bool(self.lines)
                raise InvalidJobsError(name, to_problems([(line, row)]), has_earlier_jobs=has_earlier_jobs)
            else:
                faults.append((line, row))

        if problems is not None:
            problems += to_problems(faults)

    def name_images(self, problems: list[Problem]) -> list[Problem]:
        """Return the faults with the names of the images of a folder."""
        if not self.is_folder:
            return problems

        names = dict(enumerate(list_images(self.path, Layout()), 1))
        return [evolve(problem, rule=f"{problem.rule} ({names.get(problem.line)})") for problem in problems]

    def _rows(self) -> Iterator[tuple[int, Row | RowError]]:
        try:
            read = read_images if self.is_folder else read_rows
            yield from read(self.path, self.options, self.layout)
        except ImportError as error:
            raise UsageError(str(error), "Install it, or save the file as CSV UTF-8.") from None

    def _raise_if_changed(self) -> None:
        if self.is_folder:
            # It may contain the folder of the batch. Each image is hashed again before it is sent.
            return

        status = self.path.stat()
        version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        if self._version not in (None, version):
            raise UsageError(
                f"{self.path} changed after it was checked; nothing was sent.", "Run the same command again."
            )

        self._version = version


async def read_stdin_jobs(options: ListOptions = ListOptions()) -> AsyncIterator[Job]:  # noqa: B008  immutable
    """Yield the jobs of standard input, JSON lines, as they arrive. Paths are relative to the working folder.

    Raises:
        InvalidJobsError: At the first fault.
    """
    number, has_jobs = 0, False
    parser = RowParser(options, Path(), Layout(), is_text=False)
    async for line in read_stdin():
        number += 1
        if line.strip():
            try:
                row = parser.parse(parse_line(line.decode(errors="surrogateescape")))
            except RowError as error:
                faults = to_problems([(number, error)])
                raise InvalidJobsError("standard input", faults, has_earlier_jobs=has_jobs) from None

            yield _make_job(row)
            has_jobs = True


def _make_job(row: Row) -> Job:
    return Job(row.request, row.id, carried=row.carried)
