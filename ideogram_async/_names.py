"""Errors for unknown argument names, with a suggestion."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from difflib import get_close_matches
from functools import wraps
from types import FunctionType
from typing import TYPE_CHECKING, ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

# Names in other libraries, and the names here: those that the function has, or else the expression in the last column.
OTHER_NAMES: tuple[tuple[str, str, str], ...] = (
    ("api_token key token", "api_key", ""),
    ("backoff delay min_wait", "base", ""),
    ("budget cost max_cost", "max_cost_usd", ""),
    ("callback on_progress", "on_event on_done", ""),
    ("color hex", "color_hex color_palette", ""),
    ("colors", "color_palette", ""),
    ("concurrency max_concurrency max_connections max_workers", "max_in_flight", "Ideogram(max_in_flight=...)"),
    ("count n num num_outputs number_of_images", "num_images", ""),
    ("default_headers headers", "extra_headers", ""),
    ("dir directory dest out output output_dir path", "folder source", ""),
    ("endpoint host url", "base_url", ""),
    ("file filename image_file", "source image", ""),
    ("filename_template template", "names", ""),
    ("aspect_ratio resolution", "size", ""),
    ("height size width", "size resolution aspect_ratio", ""),
    ("http_client session", "session_factory", ""),
    ("image images init_image", "image images", "Remix(...)"),
    ("mask", "", "Inpaint(...)"),
    ("max_attempts tries", "attempts retry", ""),
    ("max_backoff max_delay max_wait", "cap", ""),
    ("max_retries retries", "attempts retry", "client.with_options(retry=...)"),
    ("model", "rendering_speed custom_model_uri", ""),
    ("name", "id", ""),
    ("proxies", "proxy", ""),
    ("quality speed", "rendering_speed quality", ""),
    ("rendering_speed", "quality", ""),
    ("ratio", "aspect_ratio", ""),
    ("read seconds", "total", ""),
    ("style", "style_type style_preset", ""),
    ("text", "prompt", ""),
    ("timeout", "deadline grace", "client.with_options(timeout=...)"),
    ("weight", "color_weight image_weight", ""),
)


class NamedArguments:
    """Base class whose constructor refuses an unknown argument, and suggests the intended one."""

    __slots__ = ()

    if not TYPE_CHECKING:  # Type checkers read `__init__`.

        def __new__(cls, *args, **arguments):
            names = list(arguments)
            # A traceback may show the locals of this frame, and the key of the API may be among them.
            del args, arguments
            _check(cls.__name__, "field" if hasattr(cls, "endpoint") else "argument", names, cls.__init__)
            return super().__new__(cls)


def named_arguments(function: Callable[P, T]) -> Callable[P, T]:
    """Make a function refuse an unknown argument, and suggest the intended one."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        _check(function.__qualname__, "argument", kwargs, function)
        return function(*args, **kwargs)

    return call


def _check(owner: str, kind: str, names: Iterable[str], function: Callable[..., object]) -> None:
    code = cast(FunctionType, function).__code__
    known = [name for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount] if name != "self"]
    for name in names:
        if name not in known:
            raise TypeError(f"{owner} has no {kind} {name!r}; {_hint(name, kind, known)}")


def same_meaning(name: str, known: Collection[str]) -> list[str]:
    """Return the known names of what users of other libraries call `name`."""
    rows = (ours for others, ours, _ in OTHER_NAMES if name in others.split())
    return [other for other in next(rows, "").split() if other in known]


def _hint(name: str, kind: str, known: list[str]) -> str:
    elsewhere = [expression for others, _, expression in OTHER_NAMES if expression and name in others.split()]
    hints = same_meaning(name, known) or elsewhere or get_close_matches(name, known, n=1)
    return f"did you mean {' or '.join(hints)}?" if hints else f"its {kind}s are {', '.join(known)}"
