"""A request becomes a call. How a field travels follows from its value's type.

Source of the wire format: https://developer.ideogram.ai/api-reference
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast
from urllib.parse import quote

import attrs

from ideogram_async._operations import Body, Endpoint, Request
from ideogram_async._redaction import RedactedStr
from ideogram_async._wire.call import Call, Part
from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import ImageFile
from ideogram_async.requests._palette import ColorPaletteMember, Palette
from ideogram_async.requests._rules import encoding_error, type_name

JSON = "application/json"


def encode(request: Request[Any]) -> Call:
    """Put a request into the form in which it travels."""
    endpoint = request.endpoint
    fields = dict(_sent(request))
    path = endpoint.path.format_map({name: quote(str(value), safe="") for name, value in fields.items()})
    rest = {name: value for name, value in fields.items() if f"{{{name}}}" not in endpoint.path}
    return Call(
        operation=str(endpoint),
        method=endpoint.method,
        path=path,
        weight=weight_of(request),
        charged=endpoint.charged,
        images=weight_of(request) if endpoint.makes_images else 0,
        model=_model_of(request),
        prompt=_prompt_of(request),
        form=tuple(_form(endpoint, rest)) if endpoint.body is Body.FORM else None,
        json=json_of(_wrapped(endpoint, rest)) if endpoint.body is Body.JSON else None,
        params=tuple(params_of(rest)) if endpoint.body is Body.QUERY else (),
    )


def weight_of(request: Request[Any]) -> int:
    """Count the images that a request has in progress. A look at the account has none."""
    return (getattr(request, "num_images", None) or 1) if request.endpoint.charged else 0


def _model_of(request: Request[Any]) -> str | None:
    named = getattr(request, "custom_model_uri", None) or getattr(request, "model", None)
    return str(named) if named else model_in(request.endpoint.path)


def _prompt_of(request: Request[Any]) -> RedactedStr | None:
    prompt = getattr(request, "prompt", None)
    return None if prompt is None else RedactedStr(str(prompt))


def model_in(path: str) -> str | None:
    """Read the model's name from a path that has it: `ideogram-v3`."""
    return next((part for part in path.split("/") if part.startswith("ideogram-v")), None)


def parts_of(name: str, value: Any) -> Iterator[Part]:
    """Split a field into parts: a list becomes one part an item, all of the same bare name."""
    if isinstance(value, tuple | list):
        for item in value:
            yield from parts_of(name, item)
    elif isinstance(value, ImageFile):
        yield Part(name, value)
    elif isinstance(value, Palette | dict):
        yield Part(name, json_of(value).decode(), JSON)
    else:
        yield Part(name, _text(value))


def params_of(fields: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Put fields into a query; a list repeats its name."""
    for name, value in fields.items():
        for item in value if isinstance(value, tuple | list) else (value,):
            yield name, _text(item)


def json_of(value: Any) -> bytes:
    """Put a value into JSON.

    Raises:
        ValueError: If it holds a number without end, or half a character.
        TypeError: If it holds what JSON does not know.
    """
    return json.dumps(value, default=_plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _sent(request: Request[Any]) -> Iterator[tuple[str, Any]]:
    # `None` means "not sent". An empty list says nothing either, where an empty string may say something.
    fields: tuple[attrs.Attribute[Any], ...] = attrs.fields(cast(Any, type(request)))
    for field in fields:
        value = getattr(request, field.name)
        if value is not None and value != ():
            yield field.metadata.get("wire", field.name), value


def _form(endpoint: Endpoint[Any], fields: dict[str, Any]) -> Iterator[Part]:
    if endpoint.envelope:
        words = {name: value for name, value in fields.items() if not isinstance(value, ImageFile)}
        fields = {endpoint.envelope: words} | {n: v for n, v in fields.items() if n not in words}

    for name, value in fields.items():
        yield from parts_of(name, value)


def _wrapped(endpoint: Endpoint[Any], fields: dict[str, Any]) -> dict[str, Any]:
    return {endpoint.envelope: fields} if endpoint.envelope else fields


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"

    return str(value)


def _plain(value: Any) -> Any:
    if isinstance(value, Palette):
        return {"name": value.name} if value.name is not None else {"members": value.members}

    if isinstance(value, ColorPaletteMember):
        return attrs.asdict(value, filter=lambda _, given: given is not None)

    raise TypeError(f"cannot send a {type(value).__name__}")


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
    elif problem := encoding_error(path):
        yield "path", problem

    if not isinstance(weight, int) or weight < 0:
        yield "weight", f"must be a whole number of images, not {weight!r}"


def _body_problems(json: Any, form: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    if json is not None and form is not None:
        yield "fields", "cannot be combined with json"

    given = [("json", json)] + [(name, item) for name, value in (form or {}).items() for item in _listed(value)]
    yield from ((name, problem) for name, item in given if (problem := _item_problem(item)))


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _item_problem(value: Any) -> str | None:
    if isinstance(value, str):
        return encoding_error(value)

    if isinstance(value, ImageFile):
        # Nothing copies what can be read once only; a request with a file field does.
        words = f"must be text, a number, a dict, a path, bytes or a (name, bytes) pair, not {type_name(value.source)}"
        return None if value.is_reopenable else words

    try:
        json_of(value)
    except ValueError as error:
        return f"cannot be sent: {error}"

    return None
