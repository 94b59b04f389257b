"""Images of a folder, as rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ideogram_async._formats import SUFFIXES
from ideogram_async._rows.fields import AnyRequest, FieldKind, field_kind, fields_of, operation_name
from ideogram_async._rows.layout import Item, Layout
from ideogram_async._rows.options import ListOptions, find_operation
from ideogram_async._rows.parser import Row, RowParser
from ideogram_async._rows.problems import RowError


def read_images(folder: Path, options: ListOptions, layout: Layout) -> Iterator[tuple[int, Row | RowError]]:
    """Yield a row for each image of a folder, sorted by name, with its number. The id is the name without the suffix.

    Raises:
        OSError: If the folder cannot be read.
    """
    layout.format = "folder of images"
    try:
        kind, _ = find_operation(options.operation)
        field = _image_field(kind)
    except RowError as error:
        yield 1, error
        return

    parser = RowParser(options, folder, layout, is_text=False)
    yield from parser.parse_all(_rows_of(list_images(folder, layout), field))


def list_images(folder: Path, layout: Layout) -> list[str]:
    """Return the names of the images in a folder, sorted. Other files are skipped, hidden ones without a note."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    images = [name for name in names if Path(name).suffix.lower() in SUFFIXES]
    layout.skipped |= dict.fromkeys(name for name in names if name not in images)
    return images


def _rows_of(names: list[str], field: str) -> Iterator[tuple[int, Item]]:
    ids: dict[str, str] = {}
    for number, name in enumerate(names, 1):
        stem = Path(name).stem
        if stem in ids:
            yield number, RowError(("", f"{name} and {ids[stem]} would have the same id; rename one"))
        else:
            ids[stem] = name
            yield number, {"id": stem, field: name}


def _image_field(kind: type[AnyRequest]) -> str:
    """Return the field that takes the image.

    Raises:
        RowError: If the operation takes none.
    """
    for name, field in fields_of(kind).items():
        if name in ("image", "images") and field_kind(field) in (FieldKind.FILE, FieldKind.FILES):
            return name

    raise RowError(("operation", f"{operation_name(kind)} takes no image; choose another one, such as upscale"))
