"""Summary of how a jobs file was read."""

from __future__ import annotations

from collections.abc import Iterator

from rich.text import Text

from ideogram_async._rows.columns import quote_names
from ideogram_async._rows.layout import Layout
from ideogram_async.cli.batch.jobs_file import JobsFile
from ideogram_async.cli.console import escape, label_line


def source_as_json(file: JobsFile) -> dict[str, object]:
    """Return how a jobs file was read, for machines."""
    layout = file.layout
    return {
        "format": layout.format,
        "encoding": layout.encoding,
        "operation": layout.operation,
        "fields": layout.fields,
        "set": layout.set,
        "carried": list(layout.carried),
        "skipped": list(layout.skipped),
    }


def source_lines(file: JobsFile) -> Iterator[Text]:
    """Yield how a jobs file was read, as lines of text."""
    layout = file.layout
    yield label_line("format", ", ".join(filter(None, (escape(layout.format), layout.encoding))), "dim")
    if layout.operation:
        where = " where the row names none" if "operation" in layout.fields else ""
        yield label_line("operation", f"{layout.operation}{where}", "dim")

    if fields := _fields(layout):
        yield label_line("fields", fields, "dim")

    if layout.set:
        yield label_line("set", escape(", ".join(f"{name}={value}" for name, value in layout.set.items())), "dim")

    for label, names in (("carried", layout.carried), ("skipped", layout.skipped)):
        if names:
            yield label_line(label, escape(quote_names(list(names))), "dim")


def _fields(layout: Layout) -> str:
    """Return the columns by their fields: `id, prompt from "Caption"`."""
    fields = {name: column for name, column in layout.fields.items() if name not in layout.set}
    return escape(", ".join(name if name == column else f'{name} from "{column}"' for name, column in fields.items()))
