"""A call that no request describes: its caller says what is in it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import ImageFile
from ideogram_async.requests.rules import kind, unsendable
from ideogram_async.wire.call import Call
from ideogram_async.wire.encode import json_of, model_in, params_of, parts_of

__all__ = ["encode_raw"]


def encode_raw(
    method: str,
    path: str,
    *,
    json: Any = None,
    fields: Mapping[str, Any] | None = None,
    params: Mapping[str, Any] | None = None,
    charged: bool = True,
    weight: int = 1,
) -> Call:
    """Put it into the form in which it travels. As in a request, `None` is not sent.

    Raises:
        InvalidRequestError: If it cannot be sent like this.
        TypeError: If the JSON holds what JSON does not know.
    """
    form = None if fields is None else {name: _readable(value) for name, value in _given(fields)}
    problems = [*_head_problems(method, path, weight), *_body_problems(json, form)]
    if problems:
        raise InvalidRequestError(problems, subject="raw call")

    method = method.upper()
    is_free = method in ("GET", "HEAD")
    return Call(
        operation=f"{method} {path.partition('?')[0]}",
        method=method,
        path=quote(path, safe="/?&=%:@!$'()*+,;~-._"),
        weight=0 if is_free else weight,
        charged=charged and not is_free,
        images=0 if is_free else weight,
        model=model_in(path),
        form=None if form is None else tuple(part for name, value in form.items() for part in parts_of(name, value)),
        json=None if json is None else json_of(json),
        params=tuple(params_of(dict(_given(params or {})))),
    )


def _given(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield from ((name, value) for name, value in fields.items() if value is not None)


def _readable(value: Any) -> Any:
    """Read a form's value: what is no text, number or object is a file, or a list of such."""
    if isinstance(value, str | int | float | dict):
        return value

    is_named = isinstance(value, tuple) and list(map(type, value)) == [str, bytes]
    if isinstance(value, list | tuple) and not is_named:
        return [_readable(item) for item in value]

    return ImageFile.of(value)


def _head_problems(method: str, path: str, weight: int) -> Iterator[tuple[str, str]]:
    if not re.fullmatch("[A-Za-z]+", method):
        yield "method", f"must be the name of an HTTP method, not {method!r}"

    if not re.match(r"/(?!/)", path):
        yield "path", "must begin with a single /"
    elif problem := unsendable(path):
        yield "path", problem

    if not isinstance(weight, int) or weight < 0:
        yield "weight", f"must be a whole number of images, not {weight!r}"


def _body_problems(json: Any, form: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if json is not None and form is not None:
        yield "fields", "cannot be given together with json"

    given = [("json", json)] + [(name, item) for name, value in (form or {}).items() for item in _listed(value)]
    yield from ((name, problem) for name, item in given if (problem := _item_problem(item)))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _item_problem(value: Any) -> str | None:
    if isinstance(value, str):
        return unsendable(value)

    if isinstance(value, ImageFile):
        # Nothing copies what can be read once only; a request with a file field does.
        words = f"must be text, a number, a dict, a path, bytes or a (name, bytes) pair, not {kind(value.source)}"
        return None if value.is_reopenable else words

    try:
        json_of(value)
    except ValueError as error:
        return f"cannot be sent: {error}"

    return None
