"""HTML of values in a notebook. Links have no signature, because notebooks are saved and shared."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

from ideogram_async._formats import HEADER_BYTES, sniff

MAX_PICTURE_BYTES = 8 * 2**20
"""A larger file is named instead of shown: the picture becomes part of the notebook."""


def table(title: str, rows: Sequence[Mapping[str, object]]) -> str:
    """Return a table with a column for each name that has a value in a row."""
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if any(row.get(name) for row in rows)]
    head = "".join(f"<th>{escape(name)}</th>" for name in names)
    body = "".join("<tr>" + "".join(_cell(row.get(name)) for name in names) + "</tr>" for row in rows)
    return f"<table><caption>{escape(title)}</caption><tr>{head}</tr>{body}</table>"


def row(parts: Iterable[str], title: str) -> str:
    """Return figures and tables next to each other, below a title."""
    style = "display:flex;flex-wrap:wrap;gap:8px;align-items:flex-start"
    return f'<p>{escape(title)}</p><div style="{style}">{"".join(parts)}</div>'


def text(lines: str) -> str:
    """Return lines of text."""
    return f"<pre>{escape(lines)}</pre>"


def picture(path: Path, caption: str, width: int = 512) -> str:
    """Return the image of a file with a caption; its path if it is missing, large, or not an image."""
    label = escape(caption)
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_PICTURE_BYTES else b""
    except OSError:
        content = b""

    image_format = sniff(content[:HEADER_BYTES])
    if image_format is None:
        return f"<figure><code>{escape(str(path))}</code><figcaption>{label}</figcaption></figure>"

    source = f"data:{image_format.content_type};base64,{base64.b64encode(content).decode()}"
    image = f'<img src="{source}" alt="{label}" style="max-width:{width}px">'
    return f'<figure style="margin:0">{image}<figcaption>{label}</figcaption></figure>'


def _cell(value: object) -> str:
    content = "" if value is None else str(value)
    if content.startswith(("https://", "http://")):
        content = content.partition("?")[0]

    return f'<td style="text-align:left">{escape(content)}</td>'
