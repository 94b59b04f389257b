"""Replies of the first contract's operations that make images or describe one."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from ideogram_async.sandbox.contract import Fields
from ideogram_async.sandbox.recipe import Recipe, Size, format_size, requested_size
from ideogram_async.sandbox.records import JsonObject, Part
from ideogram_async.sandbox.rules import read_image_info
from ideogram_async.sandbox.state import State

NOTICE = "This endpoint is deprecated and keeps working; use its successor for new code."
MAGIC_PROMPT = ", in fine detail, with soft light and a calm composition"
REFRAME_PROMPT = "The image, reframed"
FACTORS = {"X1": 1, "X2": 2, "X4": 4}
LEGACY_PATHS = ("/generate", "/edit", "/remix", "/reframe", "/describe", "/v1/ideogram-v3/edit")
# The action of a path is its last segment, with these exceptions.
ACTIONS = {"/v1/ideogram-v3/edit": "inpaint", "/edit": "inpaint"}


@frozen
class _Task:
    """A request to make images, with the recipe of the first one; the others differ in their seeds."""

    fields: Fields
    recipe: Recipe
    source_size: Size | None
    resolution: str
    withheld: int


def generate(state: State, path: str, fields: Fields, withheld: int) -> JsonObject:
    """Make images and return the reply; the first `withheld` images have no link."""
    reply = REPLIES.get(path, _images)(state, _plan(state, path, fields, withheld))
    return {**reply, "notice": NOTICE} if path in LEGACY_PATHS else reply


def _plan(state: State, path: str, fields: Fields, withheld: int) -> _Task:
    source = _source(state, fields)
    source_size = _size_of(source)
    size = requested_size(fields, source_size)
    factor = FACTORS[fields.get("upscale_factor", "X1")]
    final_size = size[0] * factor, size[1] * factor
    if path == "/upscale" and source_size:
        size = final_size = source_size[0] * 2, source_size[1] * 2
    if path == "/v1/remove-background" and source_size:
        final_size = source_size

    recipe = Recipe(
        action=ACTIONS.get(path, path.rpartition("/")[2]),
        prompt=_prompt(path, fields),
        seed=int(fields["seed"]) if "seed" in fields else state.new_seed(),
        size=final_size,
        source=source,
        mask=fields["mask"].body if "mask" in fields else None,
        is_transparent=path.endswith(("-transparent", "/remove-background"))
        or fields.get("transparent_background", False),
    )
    return _Task(fields, recipe, source_size, format_size(size), withheld)


def _prompt(path: str, fields: Fields) -> str:
    """Return the prompt that is used: magic prompt extends it, and reframing has none."""
    prompt: str = fields.get("prompt", REFRAME_PROMPT if path.endswith("/reframe") else "")
    magic = fields.get("magic_prompt", fields.get("magic_prompt_option"))
    return prompt + MAGIC_PROMPT if magic == "ON" else prompt


def _source(state: State, fields: Fields) -> bytes | Recipe | None:
    """Return the input image: an upload, or an image of this sandbox by its link."""
    part: Part | None = fields.get("image") or fields.get("image_file") or next(iter(fields.get("images", ())), None)
    if part is not None:
        return part.body

    return next((state.links.find(url) for url in fields.get("image_urls", ())), None)


def _size_of(source: bytes | Recipe | None) -> Size | None:
    if isinstance(source, Recipe):
        return source.size

    info = read_image_info(source) if source else None
    return info.size if info else None


def _images(state: State, task: _Task) -> JsonObject:
    """Reply with a list of images, as most operations do."""
    count = task.fields.get("num_images", 1)
    return {"created": state.created, "data": [_image(state, task, index) for index in range(count)]}


def _image(state: State, task: _Task, index: int) -> JsonObject:
    recipe = evolve(task.recipe, seed=(task.recipe.seed + index) % 2**31)
    final_size = format_size(recipe.size)
    return {
        **link_of(state, recipe, index, task.withheld),
        "prompt": recipe.prompt,
        "resolution": task.resolution,
        **({"upscaled_resolution": final_size} if final_size != task.resolution else {}),
        "seed": recipe.seed,
        "style_type": task.fields.get("style_type", "GENERAL"),
    }


def link_of(state: State, recipe: Recipe, index: int, withheld: int) -> JsonObject:
    """Return the link of an image; that of a withheld one is null, empty or absent in turn."""
    if index >= withheld:
        return {"url": state.link(recipe), "is_image_safe": True}

    forms: tuple[JsonObject, ...] = ({"url": None}, {"url": ""}, {})
    return {**forms[index % len(forms)], "is_image_safe": False}


def _remove_background(state: State, task: _Task) -> JsonObject:
    return {"created": state.created, "data": [link_of(state, task.recipe, 0, task.withheld)]}


def _layerize(state: State, task: _Task) -> JsonObject:
    """Reply with the image, the image without its text, and the position of the text."""
    size = task.source_size or task.recipe.size
    base, original = (evolve(task.recipe, action=action, size=size) for action in ("base", "original"))
    return {
        "base_image_url": "" if task.withheld else state.link(base),
        "original_image_url": state.link(original),
        "seed": task.recipe.seed,
        "text_blocks": [text_block(base)],
    }


def text_block(recipe: Recipe) -> JsonObject:
    """Return the text of an image, in a block across its middle."""
    width, height = recipe.size
    return {
        "x": 0,
        "y": height // 4,
        "width": width,
        "height": height // 2,
        "text": recipe.prompt or "Text",
        "alignment": "left",
        "formatting": [],
    }


def _describe(_state: State, task: _Task) -> JsonObject:
    info = read_image_info(task.fields["image_file"].body)
    name = f"{info.format} image of {format_size(info.size)} pixels" if info else "image"
    texts = (f"A placeholder description of a {name}.", f"This {name} was not analyzed.")
    return {"descriptions": [{"text": text} for text in texts]}


REPLIES: dict[str, Callable[[State, _Task], JsonObject]] = {
    "/v1/remove-background": _remove_background,
    "/v1/ideogram-v3/layerize-text": _layerize,
    "/describe": _describe,
}
