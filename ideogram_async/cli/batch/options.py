"""Options of the batch commands: how to read a jobs file, and how to run its jobs."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import attrs
from attrs import frozen
from cyclopts import Parameter

from ideogram_async._batch.options import BatchOptions
from ideogram_async._rows.options import ListOptions
from ideogram_async.cli.batch.jobs_file import JobsFile
from ideogram_async.cli.errors import UsageError
from ideogram_async.cli.options import Switch
from ideogram_async.cli.settings import setting, whole_number

REPEATED = Parameter(negative=(), show_default=False)


@Parameter(name="*")
@frozen(kw_only=True)
class JobsFileOptions:
    """Options for reading a jobs file."""

    operation: Annotated[str | None, Parameter(show_default=False)] = None
    """Operation of rows that name none, such as upscale; generate by default."""
    column: Annotated[tuple[str, ...], REPEATED] = ()
    """Column of a field, such as prompt=Caption, or id=SKU. May be repeated."""
    set: Annotated[tuple[str, ...], REPEATED] = ()
    """Value of a field for all jobs, such as rendering_speed=TURBO. May be repeated."""
    ignore_columns: Annotated[bool, Parameter(negative=(), show_default=False)] = False
    """Accept columns that are not fields. Exports and sidecars repeat them."""

    input_dir: Annotated[Path | None, Parameter(show_default=False)] = None
    """Folder of images, instead of a file: each is a job of --operation, named by its file."""

    def path(self, file: Path | None) -> Path:
        """Return the path of the jobs.

        Raises:
            UsageError: If there is none, or two.
        """
        path = file if self.input_dir is None else self.input_dir
        if path is None or None not in (file, self.input_dir):
            raise UsageError("Pass a jobs file, or --input-dir.", "Such as jobs.csv.")

        return path

    def paths(self, file: Path, folder: Path | None) -> tuple[Path, Path]:
        """Return the path of the jobs, and the folder of the batch.

        Args:
            file: The first argument.
            folder: The second one, if there are two.

        Raises:
            UsageError: If one is missing, both are one folder, or there are two paths of jobs.
        """
        if folder is not None:
            return self.path(file), folder

        if self.input_dir is None:
            raise UsageError("The folder for images and the journal is missing.", "Add it, such as out/.")

        # The only argument is the folder of the batch.
        if self.input_dir.resolve() == file.resolve():
            advice = f"Its images would be jobs of the next run. Name another folder, such as {self.input_dir / 'out'}."
            raise UsageError("--input-dir and the folder of the batch are the same.", advice)

        return self.input_dir, file

    def parse(self) -> ListOptions:
        """Return the options.

        Raises:
            UsageError: If one is invalid.
        """
        columns, values = _pairs("--column", self.column), _pairs("--set", self.set)
        options = ListOptions(self.operation or "generate", columns, values, self.ignore_columns, advise=advise_cli)
        for name, rule in options.problems():
            raise UsageError(f"--{'column' if name == 'columns' else name}: {rule}", "Correct the option.")

        return options

    def open(self, path: Path) -> JobsFile:
        """Return the jobs file at a path.

        Raises:
            UsageError: If an option is invalid.
        """
        if self.input_dir is not None and self.operation is None:
            raise UsageError("--input-dir needs --operation.", "Such as --operation upscale.")

        return JobsFile(path, self.parse(), is_folder=self.input_dir is not None)


@Parameter(name="*")
@frozen(kw_only=True)
class BatchRunOptions:
    """The options of `client.batch`."""

    max_cost_usd: Annotated[str | None, Parameter(show_default=False)] = None
    """Budget in USD, such as 5.00. It includes earlier runs into the folder, and costs in doubt. No limit by
    default."""
    retry_ambiguous: Annotated[bool, Switch] = False
    """Send ambiguous jobs once more. They may have run, so that may be billed twice."""
    retry_rejected: Annotated[bool, Switch] = False
    """Send jobs again that the service rejected. Nothing was billed for them."""
    accept_loss: Annotated[bool, Switch] = False
    """Use a folder whose journal has lost records. Jobs that it lost are sent again, and may be billed twice."""
    names: Annotated[str | None, Parameter(show_default=False)] = None
    """File name template; default {id}-{index}. Also available: {key}, {number}, {prompt} and {seed}."""
    ordered: Annotated[bool, Switch] = False
    """Report results in input order instead of completion order."""
    sidecars: Annotated[bool, Switch] = False
    """Write a JSON file next to each image: request, seed, price, sha256."""
    max_downloads: int = 16
    """Maximum number of concurrent downloads."""
    max_uncollected: Annotated[int | None, setting("MAX_UNCOLLECTED", whole_number(1))] = None
    """Number of images that may be billed without one being stored: the batch then waits, and stops if their
    downloads have failed. Twice the limit by default, at least 10."""
    accept: str = "auto"
    """Which jobs the service accepts first and finishes later: auto, those whose operation can; never; always, which
    rejects others unpaid; or a URL with {key}, which the service calls with each result. A crash leaves at most four
    submissions in doubt."""

    def check(self) -> None:
        """Check the options before anything else is done.

        Raises:
            UsageError: If one of them is invalid.
        """
        try:
            BatchOptions(grace=0, **attrs.asdict(self))
        except ValueError as error:
            raise UsageError(_name_option(str(error)), "Correct the option.") from None


def advise_cli(*, columns: Mapping[str, str] | None = None, ignore: bool = False, operation: str | None = None) -> str:
    """Return how to pass options on the command line."""
    options = [f"--operation {operation}"] if operation else []
    options += [f"--column {shlex.quote(f'{field}={column}')}" for field, column in (columns or {}).items()]
    return " ".join(["add", *options, *["--ignore-columns"] * ignore])


def _pairs(option: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        field = name.strip().lower().replace("-", "_")
        if not (separator and field and value.strip()):
            raise UsageError(f"{option} {text}: must be field=value.", f"Such as {option} {_example(option)}.")

        if field in pairs:
            raise UsageError(f"{option} {field} is given twice.", "Remove one.")

        pairs[field] = value

    return pairs


def _example(option: str) -> str:
    return "prompt=Caption" if option == "--column" else "rendering_speed=TURBO"


def _name_option(message: str) -> str:
    """Replace the name of a parameter by that of its option. The error of a malformed template contains none."""
    for name in ("max_cost_usd", "max_downloads", "max_uncollected", "names", "accept"):
        if name in message:
            return message.replace(f"'{name}'", name).replace(name, "--" + name.replace("_", "-"))

    return f"--names: {message}"
