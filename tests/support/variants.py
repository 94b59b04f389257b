"""Requests that together set every field of every operation, with their expected form on the wire.

The expected form is derived from the contract, without the encoder of the library.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from attrs import frozen

from ideogram_async import ColorPaletteMember, Ideogram, ImageFile
from ideogram_async.enums import ModelEnum, RenderingSpeed
from ideogram_async.sandbox import Sandbox
from ideogram_async.sandbox.records import Part
from support.pictures import archive, picture
from support.schemas import request_in_class, request_in_contract

__all__ = ["VARIANTS", "Expected", "Stage", "comparable", "fields_of", "variant"]

VARIANTS = ("required", "one", "other")

# Fields that exclude each other are set in different variants.
NOT_IN_ONE = {"aspect_ratio", "style_type", "style_reference_images", "image_urls"}
NOT_IN_OTHER = {"resolution", "style_codes", "images"}
# The schema requires neither of these fields; the text of the contract requires one.
ONE_OF = {"POST /v1/edit": {"images"}}
JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
LEGACY = ("/generate", "/edit", "/remix", "/reframe", "/upscale")


@frozen
class Stage:
    """Objects on the service that the requests refer to."""

    folder: Path
    dataset_id: str
    model_id: str
    model_uri: str
    link: str

    @classmethod
    async def prepare(cls, client: Ideogram, sandbox: Sandbox, folder: Path) -> Stage:
        """Create a dataset, train a model on it, and generate an image."""
        dataset = await client.datasets.create("foxes")
        await client.datasets.upload_assets(dataset.dataset_id, [(f"{n}.png", picture()) for n in range(15)])
        begun = await client.models.train(dataset.dataset_id, "red foxes")
        sandbox.advance(86400)
        trained = await client.models.get(begun.model_id)
        drawn = await client.generate("a fox")
        return cls(
            folder,
            dataset.dataset_id,
            begun.model_id,
            trained.model.custom_model_uri or "",
            drawn.data[0].url or "",
        )

    def file(self, name: str, body: bytes) -> Path:
        """Write a file."""
        path = self.folder / name
        path.write_bytes(body)
        return path


@frozen
class File:
    """A file as the server must receive it."""

    name: str
    content_type: str
    body: bytes


@frozen
class Expected:
    """A request as the server must receive it."""

    path: str
    parts: list[Part]
    json: Any
    query: list[tuple[str, str]]


def comparable(parts: Iterable[Part]) -> list[Any]:
    """Sort parts by name, and parse JSON, so that the order of names does not matter."""
    ordered = sorted(parts, key=lambda part: part.name)
    return [
        (p.name, p.filename, p.content_type, json.loads(p.body) if p.content_type == JSON else p.body) for p in ordered
    ]


def fields_of(operation: str, which: str) -> set[str]:
    """Return the fields that a variant sets."""
    contract = request_in_contract(operation)
    required: set[str] = contract["required"] | ONE_OF.get(operation, set())
    if which == "required":
        return required

    omitted = NOT_IN_ONE if which == "one" else NOT_IN_OTHER
    return contract["required"] | (contract["fields"].keys() - omitted)


def variant(kind: type[Any], which: str, stage: Stage) -> tuple[Any, Expected]:
    """Return a request and its expected form."""
    operation = str(kind.endpoint)
    described = request_in_class(kind)
    samples = _samples(stage, is_old=described["path"] in LEGACY, is_one=which == "one")
    chosen = {name: samples[name] for name in sorted(fields_of(operation, which))}
    request = kind(**{name: value for name, (value, _) in chosen.items()})
    sent = {name: values for name, (_, values) in chosen.items()}
    in_path = {name: values[0] for name, values in sent.items() if f"{{{name}}}" in described["path"]}
    path = described["path"].format(**in_path)
    body = {name: values for name, values in sent.items() if name not in in_path}
    return request, _expected(described, path, body)


def _expected(described: dict[str, Any], path: str, body: dict[str, list[Any]]) -> Expected:
    if described["envelope"]:
        texts = {name: values[0] for name, values in body.items() if not isinstance(values[0], File)}
        body = {name: values for name, values in body.items() if name not in texts} | {"image_request": [texts]}

    # The file is `image` in Python, but not on the wire of these.
    if described["path"] in (*LEGACY, "/describe") and "image" in body:
        body["image_file"] = body.pop("image")

    form: list[Part] = []
    json_body = None
    query: list[tuple[str, str]] = []
    match described["content type"]:
        case "multipart/form-data":
            form = [_part(name, value) for name, values in body.items() for value in values]
        case "application/json":
            json_body = {name: values[0] for name, values in body.items()}
        case None:
            query = [(name, value) for name, values in body.items() for value in values]

    return Expected(path, form, json_body, query)


def _part(name: str, value: Any) -> Part:
    match value:
        case File():
            return Part(name, value.name, value.content_type, value.body)
        case dict():
            return Part(name, None, JSON, _compact(value))
        case str():
            return Part(name, None, TEXT, value.encode())

    return Part(name, None, TEXT, _compact(value))


def _compact(value: Any) -> bytes:
    # `0` is 0 and `False` is false: numbers and booleans look in text as they look in JSON.
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _samples(stage: Stage, *, is_old: bool, is_one: bool) -> dict[str, tuple[Any, list[Any]]]:
    """Return a value for each field name, with the values that the server must receive."""
    png, jpeg, webp = picture("PNG"), picture("JPEG"), picture("WEBP")
    texts: dict[str, Any] = {
        "prompt": 'ein "Füchschen" & 狐,\r\nin zwei Zeilen; \\o/',
        "negative_prompt": "" if is_one else "Nebel",
        "seed": 0 if is_one else 2**31 - 1,
        "num_images": 2,
        "resolution": "RESOLUTION_1280_704" if is_old else "1280x704",
        "aspect_ratio": "ASPECT_16_9" if is_old else "16x9",
        "rendering_speed": RenderingSpeed.TURBO,
        "magic_prompt": "OFF",
        "magic_prompt_option": "ON",
        "style_type": "ANIME" if is_old else "FICTION",
        "style_preset": "80S_ILLUSTRATION",
        "custom_model_uri": stage.model_uri,
        "upscale_factor": "X2",
        "image_weight": 1,
        "resemblance": 1,
        "detail": 100,
        "model": ModelEnum.V_2_TURBO,
        "transparent_background": not is_one,
        "describe_model_version": "V_2",
        "dataset_id": stage.dataset_id,
        "model_id": stage.model_id,
        "model_name": "Red foxes-2",
        "name": "Füchse & Hunde/狐",
        "scope": "owned",
    }
    preset = "EMBER", [{"name": "EMBER"}]
    members = (
        [("#FF5733", 0.6), "#0f0", ColorPaletteMember("#00ff00", 0.05)],
        [
            {
                "members": [
                    {"color_hex": "#FF5733", "color_weight": 0.6},
                    {"color_hex": "#0f0"},
                    {"color_hex": "#00ff00", "color_weight": 0.05},
                ]
            }
        ],
    )
    zipped = archive(inside=png)
    others: dict[str, tuple[Any, list[Any]]] = {
        "color_palette": preset if is_one else members,
        "style_codes": (["0a1B2c3D", "FFFFFFFF"], ["0a1B2c3D", "FFFFFFFF"]),
        "image_urls": ([stage.link, stage.link], [stage.link, stage.link]),
        "status": (("COMPLETED", "TRAINING"), ["COMPLETED", "TRAINING"]),
        "image": (stage.file("ein Fuchs.png", png), [File("ein Fuchs.png", "image/png", png)]),
        "mask": (('"Maske" größer\\.jpg', jpeg), [File('"Maske" größer\\.jpg', "image/jpeg", jpeg)]),
        "images": ([png, webp], [File("image.png", "image/png", png), File("image.webp", "image/webp", webp)]),
        "style_reference_images": (
            [str(stage.file("狐.webp", webp)), ImageFile(jpeg, name="x.bin", content_type="image/x-own"), png],
            [
                File("狐.webp", "image/webp", webp),
                File("x.bin", "image/x-own", jpeg),
                File("image.png", "image/png", png),
            ],
        ),
        "character_reference_images": ([("face.png", png)], [File("face.png", "image/png", png)]),
        "character_reference_images_mask": (
            [("mask.png", picture(mode="L"))],
            [File("mask.png", "image/png", picture(mode="L"))],
        ),
        "files": (
            [stage.file("dog 1.png", png), ("dog 1.txt", b"a dog"), ("Füchse.zip", zipped)],
            [
                File("dog 1.png", "image/png", png),
                File("dog 1.txt", "text/plain", b"a dog"),
                File("Füchse.zip", "application/zip", zipped),
            ],
        ),
    }
    return {name: (value, [value]) for name, value in texts.items()} | others
