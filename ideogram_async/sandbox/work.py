"""Work of the second contract: what a call makes, and the replies that contain it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import evolve, frozen

from ideogram_async.sandbox.contract import Fields, Route, Schema, find_schema
from ideogram_async.sandbox.declared_rules import source_sizes
from ideogram_async.sandbox.generate import MAGIC_PROMPT, link_of, text_block
from ideogram_async.sandbox.links import asset_id_of, new_id
from ideogram_async.sandbox.recipe import Recipe, Size, format_size
from ideogram_async.sandbox.records import JsonObject, Part
from ideogram_async.sandbox.rules import as_list
from ideogram_async.sandbox.state import State


@frozen
class Work:
    """The result of a call. A reply takes the facts that its schema has."""

    facts: JsonObject
    recipes: list[Recipe]
    withheld: int
    """The number of images that get no link."""

    def polled_items(self, state: State) -> list[JsonObject]:
        """Return the images as polls and deliveries contain them."""
        return [_chosen(image, _polled_schema(image["object_type"])) for image in self._items(state)]

    def _items(self, state: State) -> list[JsonObject]:
        """Return everything about each image, with a new link."""
        return [
            (_layered if recipe.action == "layerize" else _image)(state, recipe, index, self.withheld)
            for index, recipe in enumerate(self.recipes)
        ]

    def reply(self, state: State, answer: Schema) -> JsonObject:
        """Return the reply of a synchronous call."""
        if not self.recipes:
            return _chosen(self.facts, answer)

        item: Schema = answer["properties"]["data"]["items"]
        return {**self.acknowledgement(answer), "data": [_chosen(image, item) for image in self._items(state)]}

    def acknowledgement(self, answer: Schema) -> JsonObject:
        """Return the reply to an accepted call: that of a synchronous one, without the images."""
        return _chosen(self.facts, answer)


def _chosen(facts: JsonObject, schema: Schema) -> JsonObject:
    """Return the facts that a schema has."""
    return {name: value for name, value in facts.items() if name in schema["properties"]}


def _polled_schema(object_type: object) -> Schema:
    options: list[Schema] = find_schema("GenerationResponseDataInner")["anyOf"]
    return next(option for option in options if object_type in option["properties"]["object_type"]["enum"])


def plan_work(state: State, route: Route, fields: Fields, size: Size, withheld: int) -> Work:
    """Decide what a call makes; the first `withheld` images have no link."""
    action = route.action
    facts: JsonObject = {"generation_id": new_id(), "created": state.created}
    if action in TEXTS:
        return Work(facts | TEXTS[action](fields), [], withheld)

    recipe = _recipe(state, route, fields, size)
    facts |= {"generation_kind": "sampling", "seed": recipe.seed, "width": size[0], "height": size[1]}
    seeds = [(recipe.seed + index) % 2**31 for index in range(fields.get("num_images", 1))]
    return Work(facts, [evolve(recipe, seed=seed) for seed in seeds], withheld)


def _recipe(state: State, route: Route, fields: Fields, size: Size) -> Recipe:
    action = route.action
    mask = fields.get("mask")
    return Recipe(
        action=action,
        prompt=_prompt(fields),
        seed=fields["seed"] if "seed" in fields else state.new_seed(),
        size=size,
        source=source_of(state, fields),
        mask=mask.body if isinstance(mask, Part) else None,
        is_transparent=action == "remove-background" or route.path.endswith("-transparent"),
    )


def _prompt(fields: Fields) -> str:
    """Return the prompt that is used: magic prompt extends one in words, and leaves a structured one."""
    prompt = fields.get("prompt") or ""
    return prompt + MAGIC_PROMPT if fields.get("magic_prompt") == "on" and not prompt.startswith("{") else prompt


def source_of(state: State, fields: Fields) -> bytes | Recipe | None:
    """Return the first source image: an upload, or an earlier image of this sandbox by its asset id."""
    for name in ("image_asset_identifiers", "image_asset_identifier"):
        for asset in as_list(fields.get(name, [])):
            return state.links.find_asset(asset["asset_id"])

    part = next(iter(as_list(fields.get("images", fields.get("image", [])))), None)
    return part.body if isinstance(part, Part) else None


def source_size(state: State, fields: Fields) -> Size | None:
    """Return the size of the first source image, if it is known."""
    source = source_of(state, fields)
    return source.size if isinstance(source, Recipe) else next(iter(source_sizes(fields)), None)


def _image(state: State, recipe: Recipe, index: int, withheld: int) -> JsonObject:
    link = link_of(state, recipe, index, withheld)
    has_prompt = recipe.action not in ("upscale", "remove-background")
    return {
        "object_type": "image.generation" if has_prompt else "image.without-prompt-or-seed",
        "asset_id": asset_id_of(str(link["url"])) if index >= withheld else None,
        **link,
        "prompt": recipe.prompt,
        "resolution": format_size(recipe.size),
        "seed": recipe.seed,
    }


def _layered(state: State, recipe: Recipe, index: int, withheld: int) -> JsonObject:
    """Return an image, the image without its text, and the position of the text."""
    base, original = (evolve(recipe, action=action) for action in ("base", "original"))
    return {
        "object_type": "layerized_image",
        **link_of(state, original, index, 0),
        "base_image_url": None if index < withheld else state.link(base),
        "is_image_safe": index >= withheld,
        "resolution": format_size(recipe.size),
        "seed": recipe.seed,
        "text_blocks": [text_block(recipe)],
    }


def _describe(fields: Fields) -> JsonObject:
    size = next(iter(source_sizes(fields)), (1024, 1024))
    text = f"A placeholder description of an image of {format_size(size)} pixels."
    return {"description_id": new_id(), "descriptions": [{"text": text}], "json_prompt": _structured(text, fields)}


def _magic_prompt(fields: Fields) -> JsonObject:
    ratio = fields.get("aspect_ratio", "AUTO")
    prompt = _structured(fields["text_prompt"], {"include_bbox": True})
    return {"aspect_ratio": "1x1" if ratio == "AUTO" else ratio, "json_prompt": prompt}


def _structured(text: str, fields: Fields) -> JsonObject:
    """Return a structured prompt with one object."""
    box = {"bbox": [250, 250, 750, 750]} if fields.get("include_bbox", True) else {}
    style = {"style_description": {"medium": "placeholder", "lighting": "flat"}}
    return {
        "high_level_description": text,
        **(style if fields.get("include_style_descriptions") else {}),
        "compositional_deconstruction": {
            "background": "A plain background.",
            "elements": [{"type": "obj", "desc": "One object in the middle.", **box}],
        },
        **({"tags": ["placeholder"]} if fields.get("include_tags") else {}),
    }


TEXTS: dict[str, Callable[[Fields], JsonObject]] = {"describe": _describe, "magic-prompt": _magic_prompt}
