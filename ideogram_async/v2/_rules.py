"""Rules for prompts, sizes, context windows and sources of the second contract."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, TypeAlias

from attrs import frozen

from ideogram_async._formats import Size, read_size
from ideogram_async.files import ImageFile
from ideogram_async.requests._file_rules import ImagesRule
from ideogram_async.requests._rules import Limits, Rule, Text, encoding_error, quote, type_name
from ideogram_async.v2.json_prompt import JsonPrompt

MAX_PROMPT = 10_000
Window: TypeAlias = str | tuple[int, int, int, int] | None
"""A context window, as keyword, text or edges in pixels."""
WINDOW = re.compile(r"none|auto|\d+,\d+,\d+,\d+")
MIN_SIDE, MAX_RATIO = 256, 6


@frozen(eq=False, repr=False)
class PromptRule(Text):
    """A prompt, as text or as a structured prompt."""

    is_structured: bool = False
    may_be_empty: bool = False
    maximum: int = MAX_PROMPT

    def type_error(self, value: object) -> str | None:
        if not isinstance(value, JsonPrompt):
            return super().type_error(value)

        if not self.is_structured:
            return "must be text; this operation does not accept a JsonPrompt"

        return value.type_error()

    def violations(self, value: str | JsonPrompt, limits: Limits) -> Iterator[str]:
        if isinstance(value, JsonPrompt):
            yield from value.violations()
        else:
            yield from super().violations(value, limits)

        if (length := len(str(value))) > self.maximum:
            yield f"has {length} characters; at most {self.maximum} are allowed"


@frozen(eq=False, repr=False)
class SizeRule(Rule[str]):
    """The `size` field: a keyword, or width by height in pixels."""

    max_pixels: int | None = None
    """The largest area of any size; `None` if the limits depend on other fields."""

    def type_error(self, value: object) -> str | None:
        if isinstance(value, str):
            return encoding_error(value)

        return f"must be a string such as '2048x1024', not {type_name(value)}"

    def violations(self, value: str, limits: Limits) -> Iterator[str]:
        if value in ("auto", "source"):
            return

        if (size := parse_size(value)) is None:
            yield "must be auto, source, or width by height in pixels such as 2048x1024"
        elif self.max_pixels is not None:
            yield from area_violations(*size, self.max_pixels, multiple=32)


@frozen(eq=False, repr=False)
class WindowRule(Rule[str]):
    """The `context_window` field. Rows come first, and the far edges do not belong to the window."""

    max_pixels: int | None = None
    """The largest area; `None` if the bounds of a window are not documented."""

    def type_error(self, value: object) -> str | None:
        if isinstance(value, str):
            return encoding_error(value)

        return f"must be a string, or four whole numbers, not {type_name(value)}"

    def violations(self, value: str, limits: Limits) -> Iterator[str]:
        if not WINDOW.fullmatch(value):
            yield "must be none, auto, or y_min,x_min,y_max,x_max in pixels"
        elif (edges := window_edges(value)) is not None:
            y_min, x_min, y_max, x_max = edges
            if y_min >= y_max or x_min >= x_max:
                yield "must have y_min below y_max, and x_min below x_max: rows come first"
            elif self.max_pixels is not None:
                yield from area_violations(x_max - x_min, y_max - y_min, self.max_pixels)


def window_edges(value: str) -> list[int] | None:
    """Return the four edges of a context window; `None` for a keyword."""
    return [int(edge) for edge in value.split(",")] if "," in value else None


def as_window(value: Window) -> Any:
    """Convert the value of a `context_window` field: four numbers become text."""
    if isinstance(value, tuple | list) and len(value) == 4 and all(isinstance(edge, int) for edge in value):
        return ",".join(map(str, value))

    return value


def parse_size(value: str) -> Size | None:
    """Return the width and height of a text such as `2048x1024`."""
    match = re.fullmatch(r"(\d{1,6})x(\d{1,6})", value)
    return (int(match[1]), int(match[2])) if match else None


def area_violations(width: int, height: int, max_pixels: int, *, multiple: int = 1) -> Iterator[str]:
    """Yield a message for each limit that an area in pixels breaks."""
    if width % multiple or height % multiple:
        yield f"must have sides that are multiples of {multiple}"

    if min(width, height) < MIN_SIDE:
        yield f"must have sides of at least {MIN_SIDE} pixels"
    elif max(width, height) > MAX_RATIO * min(width, height):
        yield f"must have a ratio of at most {MAX_RATIO}:1"

    if width * height > max_pixels:
        yield f"has {width * height} pixels; at most {max_pixels} are allowed"


def size_of(file: object) -> Size | None:
    """Return the size of an image file in pixels; `None` if it cannot be read, or only once."""
    if not isinstance(file, ImageFile) or not file.is_reopenable:
        return None

    try:
        with file.open() as opened:
            return read_size(opened)
    except (OSError, ValueError):
        return None


class JsonFields(dict[str, Any]):
    """Fields as JSON. Not changed after its creation, so that a request has a hash."""

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(json.dumps(self, sort_keys=True, default=repr))


class JsonList(tuple[Any, ...]):
    """A list that a form contains as one part of JSON."""

    __slots__ = ()


def as_json_object(value: Mapping[str, object] | None) -> Any:
    """Convert a mapping of further fields."""
    return JsonFields(value) if isinstance(value, Mapping) else value


@frozen(eq=False, repr=False)
class AwareTime(Rule[datetime]):
    """A point in time, with its time zone."""

    def type_error(self, value: object) -> str | None:
        if not isinstance(value, datetime):
            return f"must be a datetime, not {type_name(value)}"

        return None if value.tzinfo else "needs a time zone, such as datetime.now(UTC)"


@frozen(eq=False, repr=False)
class FieldFiles(ImagesRule):
    """Files by field."""

    def type_error(self, value: Any) -> str | None:
        if not isinstance(value, tuple):
            return f"must be a dict of files by field, not {type_name(value)}"

        return super().type_error(value)


@frozen(eq=False, repr=False)
class JsonObject(Rule[JsonFields]):
    """Fields that are sent as they are."""

    def type_error(self, value: object) -> str | None:
        if not isinstance(value, JsonFields):
            return f"must be a dict, not {type_name(value)}"

        try:
            json.dumps(value, allow_nan=False, ensure_ascii=False).encode()
        except (TypeError, ValueError) as error:
            return f"cannot be sent as JSON: {quote(str(error))}"

        names = [name for name in value if not isinstance(name, str)]  # pyright: ignore[reportUnnecessaryIsInstance]
        return f"must have names of type str, not {type_name(names[0])}" if names else None
