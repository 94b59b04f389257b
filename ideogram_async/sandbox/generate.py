"""The answers of the operations that make images, or look at one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen

from ideogram_async.sandbox.contract import Route
from ideogram_async.sandbox.recipe import Size, Sketch, asked_size, named
from ideogram_async.sandbox.records import Part
from ideogram_async.sandbox.rules import look
from ideogram_async.sandbox.state import State

__all__ = ["generated"]

Fields = dict[str, Any]

_LEGACY = ("/generate", "/edit", "/remix", "/reframe", "/describe", "/v1/ideogram-v3/edit")

_NOTICE = "This endpoint is older and keeps working; a newer one does the same."

_FLOURISH = ", in fine detail, with soft light and a calm composition"

_WITHOUT_PROMPT = "The image, reframed"

_FACTORS = {"X1": 1, "X2": 2, "X4": 4}

_VERBS = {
    "/v1/ideogram-v3/generate-transparent": "generate-transparent",
    "/v1/ideogram-v3/inpaint": "inpaint",
    "/v1/ideogram-v3/edit": "inpaint",
    "/edit": "inpaint",
    "/v1/ideogram-v3/remix": "remix",
    "/remix": "remix",
    "/v1/ideogram-v3/reframe": "reframe",
    "/reframe": "reframe",
    "/v1/ideogram-v3/replace-background": "replace-background",
    "/v1/edit": "edit",
    "/upscale": "upscale",
}


@frozen
class _Task:
    """A request as the makers of answers want it."""

    path: str
    fields: Fields
    seed: int
    sketch: Sketch
    """The first image; the others differ in their seeds."""
    resolution: str


def generated(state: State, route: Route, fields: Fields, withheld: int) -> dict[str, Any]:
    """Do the work of a generation and give the answer; the first images may be withheld."""
    make = _ANSWERS.get(route.path, _images)
    answer = make(state, _task(state, route.path, fields), withheld)
    return {**answer, "notice": _NOTICE} if route.path in _LEGACY else answer


def _task(state: State, path: str, fields: Fields) -> _Task:
    source = _source(state, fields)
    own_size = _size_of(source)
    size = asked_size(fields, own_size)
    sketch = Sketch(
        verb=_VERBS.get(path, "generate"),
        prompt=_prompt(path, fields),
        seed=int(fields["seed"]) if "seed" in fields else state.new_seed(),
        size=_final_size(path, fields, size, own_size),
        source=source,
        mask=fields["mask"].body if "mask" in fields else None,
        is_transparent=path.endswith("-transparent") or fields.get("transparent_background", False),
    )
    shown = sketch.size if path == "/upscale" else size
    return _Task(path, fields, sketch.seed, sketch, named(shown))


def _prompt(path: str, fields: Fields) -> str:
    """Give the prompt that is used: magic prompt adds to it, and reframing has none."""
    prompt: str = fields.get("prompt", _WITHOUT_PROMPT if path.endswith("/reframe") else "")
    magic = fields.get("magic_prompt", fields.get("magic_prompt_option"))
    return prompt + _FLOURISH if magic == "ON" else prompt


def _source(state: State, fields: Fields) -> bytes | Sketch | None:
    """Give the image to start from: uploaded, or named by a link of this box."""
    part: Part | None = fields.get("image") or fields.get("image_file") or next(iter(fields.get("images", ())), None)

    if part is not None:
        return part.body

    return next((state.links.find(url) for url in fields.get("image_urls", ())), None)


def _size_of(source: bytes | Sketch | None) -> Size | None:
    if isinstance(source, Sketch):
        return source.size

    found = look(source) if source else None
    return found.size if found else None


def _final_size(path: str, fields: Fields, size: Size, own_size: Size | None) -> Size:
    if path == "/upscale" and own_size:
        return own_size[0] * 2, own_size[1] * 2

    factor = _FACTORS[fields.get("upscale_factor", "X1")]
    return size[0] * factor, size[1] * factor


def _images(state: State, task: _Task, withheld: int) -> dict[str, Any]:
    """Answer with a list of images, as most operations do."""
    count = task.fields.get("num_images", 1)
    return {
        "created": state.created,
        "data": [_image(state, task, index, withheld) for index in range(count)],
    }


def _image(state: State, task: _Task, index: int, withheld: int) -> dict[str, Any]:
    sketch = evolve(task.sketch, seed=(task.seed + index) % 2**31)
    is_enlarged = named(sketch.size) != task.resolution
    return {
        **_link(state, sketch, index, withheld),
        "prompt": sketch.prompt,
        "resolution": task.resolution,
        **({"upscaled_resolution": named(sketch.size)} if is_enlarged else {}),
        "seed": sketch.seed,
        "style_type": task.fields.get("style_type", "GENERAL"),
    }


def _link(state: State, sketch: Sketch, index: int, withheld: int) -> dict[str, Any]:
    """Give the link of an image; a withheld one has null, an empty text, or nothing in its place."""
    if index >= withheld:
        return {"url": state.link(sketch), "is_image_safe": True}

    forms: tuple[dict[str, Any], ...] = ({"url": None}, {"url": ""}, {})
    return {**forms[index % len(forms)], "is_image_safe": False}


def _remove_background(state: State, task: _Task, withheld: int) -> dict[str, Any]:
    sketch = evolve(task.sketch, verb="remove-background", is_transparent=True)
    return {"created": state.created, "data": [_link(state, sketch, 0, withheld)]}


def _layerize(state: State, task: _Task, withheld: int) -> dict[str, Any]:
    """Answer with the image, the image without its text, and where the text was."""
    width, height = _size_of(task.sketch.source) or task.sketch.size
    base, original = (evolve(task.sketch, verb=verb, size=(width, height)) for verb in ("base", "original"))
    block: dict[str, Any] = {
        "x": 0,
        "y": height // 4,
        "width": width,
        "height": height // 2,
        "text": task.sketch.prompt or "Text",
        "alignment": "left",
        "formatting": [],
    }
    return {
        "base_image_url": "" if withheld else state.link(base),
        "original_image_url": state.link(original),
        "seed": task.seed,
        "text_blocks": [block],
    }


def _describe(_state: State, task: _Task, _withheld: int) -> dict[str, Any]:
    found = look(task.fields["image_file"].body)
    what = f"{found.format} image of {named(found.size)} pixels" if found else "image"
    texts = (f"A {what}, as the sandbox sees it.", f"This {what} was described without looking.")
    return {"descriptions": [{"text": text} for text in texts]}


_ANSWERS: dict[str, Callable[[State, _Task, int], dict[str, Any]]] = {
    "/v1/remove-background": _remove_background,
    "/v1/ideogram-v3/layerize-text": _layerize,
    "/describe": _describe,
}
