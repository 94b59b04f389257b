"""Encoder of requests. The type of a field's value determines how it is sent.

Source of the wire format: https://developer.ideogram.ai/api-reference
"""

from __future__ import annotations

import json as json_module
import re
from collections.abc import Iterator, Mapping
from urllib.parse import quote

import attrs

from ideogram_async._accepted import POLL_PATH
from ideogram_async._operations import Accept, Body, Endpoint, Request
from ideogram_async._redaction import RedactedStr
from ideogram_async._scalars import as_scalar
from ideogram_async._wire.call import Call, Part
from ideogram_async._wire.submission import SUBMISSION_SECONDS, Submission
from ideogram_async.errors import InvalidRequestError
from ideogram_async.files import ImageFile, as_tuple
from ideogram_async.models.training import AssetIdentifier
from ideogram_async.requests._palette import ColorPaletteMember, Palette
from ideogram_async.requests._rules import encoding_error, type_name
from ideogram_async.v2._rules import JsonList
from ideogram_async.v2.json_prompt import JsonPrompt

JSON_TYPE = "application/json"


def encode(request: Request[object], *, private: bool | None = None, submission: Submission | None = None) -> Call:
    """Encode a request as a call.

    Args:
        request: The request.
        private: Sent where the operation has a field of this name and the request leaves it open.
        submission: How the service is asked to accept the call first and finish it later.
    """
    endpoint = request.endpoint
    fields = dict(request.sent_fields())
    if private is not None and getattr(request, "private", private) is None:
        fields["private"] = private

    if submission is not None:
        fields |= submission.fields(endpoint)

    path = endpoint.path.format_map({name: quote(str(value), safe="") for name, value in fields.items()})
    remaining = {name: value for name, value in fields.items() if f"{{{name}}}" not in endpoint.path}
    body = _body_of(endpoint, remaining)
    return Call(
        operation=str(endpoint),
        method=endpoint.method,
        path=path,
        weight=weight_of(request),
        charged=endpoint.charged,
        images=weight_of(request) if endpoint.makes_images else 0,
        model=_model_of(request),
        prompt=_prompt_of(request),
        form=tuple(_form(endpoint, remaining)) if body is Body.FORM else None,
        json=to_json(_enveloped(endpoint, remaining)) if body is Body.JSON else None,
        params=tuple(_params(remaining)) if body is Body.QUERY else (),
        needs_key=endpoint.needs_key,
        poll=POLL_PATH if _may_be_accepted(endpoint) else None,
        timeout=None if submission is None else SUBMISSION_SECONDS,
    )


def _may_be_accepted(endpoint: Endpoint) -> bool:
    # The body decides, not what a `Custom` request expects: an id alone is an acceptance.
    makes_images = endpoint.charged and endpoint.makes_images
    return endpoint.accept is not Accept.NEVER or (makes_images and endpoint.path.startswith("/v2/"))


def encode_raw(
    method: str,
    path: str,
    *,
    json: object = None,
    fields: Mapping[str, object] | None = None,
    params: Mapping[str, object] | None = None,
    charged: bool = True,
    weight: int = 1,
) -> Call:
    """Encode a call of any path. As in a request, `None` is not sent.

    Raises:
        InvalidRequestError: If a value cannot be sent.
        TypeError: If `json` contains a type that JSON does not have.
    """
    form = None if fields is None else {name: _form_value(value) for name, value in fields.items() if value is not None}
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
        model=_model_in(path),
        form=None if form is None else tuple(part for name, value in form.items() for part in _parts(name, value)),
        json=None if json is None else to_json(json),
        params=tuple(_params(params or {})),
    )


def weight_of(request: Request[object]) -> int:
    """Return the number of images that a request has in progress; 0 if it makes none."""
    if not request.endpoint.charged:
        return 0

    # A custom request states it itself.
    return getattr(request, "weight", None) or getattr(request, "num_images", None) or 1


def image_count(request: Request[object]) -> int:
    """Return the number of images in the answer to a request."""
    return request.endpoint.fixed_images or weight_of(request)


def _body_of(endpoint: Endpoint, fields: Mapping[str, object]) -> Body:
    if endpoint.body is not Body.AUTO:
        return endpoint.body

    has_files = any(isinstance(item, ImageFile) for value in fields.values() for item in as_tuple(value))
    return Body.FORM if has_files else Body.JSON


def _model_of(request: Request[object]) -> str | None:
    model = getattr(request, "custom_model_uri", None) or getattr(request, "model", None)
    return str(model) if model else _model_in(request.endpoint.path)


def _model_in(path: str) -> str | None:
    return next((part for part in path.split("/") if part.startswith("ideogram-")), None)


def _prompt_of(request: Request[object]) -> RedactedStr | None:
    prompt = getattr(request, "prompt", None)
    return None if prompt is None else RedactedStr(str(prompt))


def _form(endpoint: Endpoint, fields: dict[str, object]) -> Iterator[Part]:
    if endpoint.envelope:
        files = {name: value for name, value in fields.items() if isinstance(value, ImageFile)}
        fields = {endpoint.envelope: {name: fields[name] for name in fields if name not in files}, **files}

    for name, value in fields.items():
        yield from _parts(name, value)


def _enveloped(endpoint: Endpoint, fields: dict[str, object]) -> dict[str, object]:
    return {endpoint.envelope: fields} if endpoint.envelope else fields


def _parts(name: str, value: object) -> Iterator[Part]:
    """Yield the parts of a field: a list becomes one part per item, all with the same name."""
    if _is_json_list(value):
        yield Part(name, to_json(value).decode(), JSON_TYPE)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _parts(name, item)
    elif isinstance(value, ImageFile):
        yield Part(name, value)
    elif isinstance(value, Palette | AssetIdentifier | dict):
        yield Part(name, to_json(value).decode(), JSON_TYPE)
    else:
        yield Part(name, _text(value))


def _is_json_list(value: object) -> bool:
    """Return whether a list is sent as one part of JSON."""
    is_assets = isinstance(value, tuple) and bool(value) and isinstance(value[0], AssetIdentifier)
    return is_assets or isinstance(value, JsonList)


def _params(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    """Yield the parameters of a query; a list repeats its name."""
    for name, value in fields.items():
        for item in value if isinstance(value, tuple | list) else (value,):
            if item is not None:
                yield name, _text(item)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"

    return str(value)


def to_json(value: object) -> bytes:
    """Serialize a value as JSON.

    Raises:
        ValueError: If it contains NaN, an infinite number or an unpaired surrogate.
        TypeError: If it contains a type that JSON does not have.
    """
    text = json_module.dumps(value, default=_json_default, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode()


def _json_default(value: object) -> object:
    if isinstance(value, Palette):
        return {"name": value.name} if value.name is not None else {"members": value.members}

    if isinstance(value, AssetIdentifier):
        return attrs.asdict(value, filter=lambda each, item: each.name != "extra" and item is not None)

    if isinstance(value, JsonPrompt):
        return str(value)

    if isinstance(value, ColorPaletteMember):
        return attrs.asdict(value, filter=lambda _, item: item is not None)

    scalar = as_scalar(value)
    if scalar is value:
        raise TypeError(f"cannot send a {type(value).__name__} as JSON")

    return scalar


def _form_value(value: object) -> object:
    """Convert a field of a raw form: other than text, numbers and dicts, a value is a file or a list."""
    value = as_scalar(value)
    if isinstance(value, str | int | float | dict):
        return value

    is_named_file = isinstance(value, tuple) and list(map(type, value)) == [str, bytes]
    if isinstance(value, list | tuple) and not is_named_file:
        return [_form_value(item) for item in value]

    return ImageFile.of(value)


def _head_problems(method: str, path: str, weight: object) -> Iterator[tuple[str, str]]:
    if not re.fullmatch("[A-Za-z]+", method):
        yield "method", f"must be an HTTP method such as POST, not {method!r}"

    if not re.match(r"/(?!/)", path):
        yield "path", "must begin with a single /"
    elif error := encoding_error(path):
        yield "path", error

    if not isinstance(weight, int) or weight < 0:
        yield "weight", f"must be a whole number of images, not {weight!r}"


def _body_problems(json: object, form: Mapping[str, object] | None) -> Iterator[tuple[str, str]]:
    if json is not None and form is not None:
        yield "fields", "cannot be combined with json"

    items = [("json", json)]
    for name, value in (form or {}).items():
        items += [(name, item) for item in value] if isinstance(value, list) else [(name, value)]

    yield from ((name, problem) for name, item in items if (problem := _problem(item)))


def _problem(value: object) -> str | None:
    if isinstance(value, str):
        return encoding_error(value)

    if isinstance(value, ImageFile):
        # A raw call does not copy files that can be read only once; a request with a file field does.
        types = "text, a number, a dict, a path, bytes or a (name, bytes) pair"
        return None if value.is_reopenable else f"must be {types}, not {type_name(value.source)}"

    try:
        to_json(value)
    except ValueError as error:
        return f"cannot be sent: {error}"

    return None
