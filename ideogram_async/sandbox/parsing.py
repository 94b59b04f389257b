"""Parsing of bodies: JSON, and the parts of a form."""

from __future__ import annotations

import json
from email.message import Message
from email.parser import HeaderParser
from email.utils import collapse_rfc2231_value
from typing import Any, NoReturn

from ideogram_async.sandbox.records import Part


def parse_json(body: bytes | str) -> Any:
    """Parse JSON; return `None` if it is invalid, nested too deeply, or contains NaN or Infinity."""
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def parse_parts(body: bytes, content_type: str) -> tuple[Part, ...]:
    """Split a multipart body into its parts; a malformed body, or one without its last boundary, has none."""
    try:
        header = Message()
        header["Content-Type"] = content_type
        boundary = header.get_boundary()
        if not boundary:
            return ()

        chunks = (b"\r\n" + body).split(b"\r\n--" + boundary.encode())
        return tuple(map(_parse_part, chunks[1:-1])) if chunks[-1].startswith(b"--") else ()
    except (ValueError, LookupError):
        # Parameters can name any charset, also one that cannot decode text.
        return ()


def _parse_part(chunk: bytes) -> Part:
    head, _, body = chunk.removeprefix(b"\r\n").partition(b"\r\n\r\n")
    headers = HeaderParser().parsestr(head.decode("utf-8", "replace"))
    name = headers.get_param("name", "", header="content-disposition")
    return Part(
        name=name if isinstance(name, str) else collapse_rfc2231_value(name),
        filename=headers.get_filename(),
        content_type=headers.get("Content-Type"),
        body=body,
    )
