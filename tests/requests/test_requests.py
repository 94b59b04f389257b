"""Validation of requests before anything is sent."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from support.pictures import TOO_LARGE, picture
from support.rulebook import ALLOWED, REFUSED, WRONG_TYPES
from support.schemas import REQUESTS
from support.variants import VARIANTS, Stage, variant

from ideogram_async import Ideogram, InvalidRequestError, Unchecked
from ideogram_async._operations import Request
from ideogram_async.requests import (
    CreateDataset,
    Edit,
    Generate,
    GenerateTransparent,
    Inpaint,
    LegacyGenerate,
    ListModels,
    Reframe,
    RemoveBackground,
    UploadDatasetAssets,
)
from ideogram_async.sandbox import Sandbox

PNG = picture()


# ---- values


@pytest.mark.parametrize("name", REQUESTS)
def test_positional_arguments(name: str) -> None:
    """The required arguments are positional, except the model of the older ones; all others are keyword-only."""
    parameters = inspect.signature(REQUESTS[name]).parameters.values()
    required = [p.name for p in parameters if p.default is p.empty and p.name != "model"]

    assert required == [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]


@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
def test_construction_accepts_any_value(kind: type[Any]) -> None:
    """Construction accepts any value; `problems` reports the invalid ones."""
    values = (5, object(), "", b"", [], {}, {"a": 1}, [object()], ("a", b""), ("a", 1), iter(()), float("nan"))
    names = inspect.signature(kind).parameters
    requests = [kind(**dict.fromkeys(names, value)) for value in (None, *values)][1:]

    assert all(request.problems() for request in requests if names)


@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
def test_unknown_names(kind: type[Any]) -> None:
    """An unknown field is a `TypeError`."""
    with pytest.raises(TypeError, match=f"{kind.__name__} has no field 'webhook_url'"):
        kind(**dict.fromkeys(inspect.signature(kind).parameters, "x"), webhook_url="https://x")


def test_missing_names() -> None:
    """A missing required field is a `TypeError`."""
    with pytest.raises(TypeError, match="missing 2 required positional arguments: 'mask' and 'prompt'"):
        Inpaint(PNG)  # type: ignore[call-arg]


@pytest.mark.parametrize("which", VARIANTS)
@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
def test_pickles(kind: type[Any], which: str, tmp_path: Path) -> None:
    """A request is a value: it can be pickled and copied, and is compared and hashed by its fields."""
    request, _ = variant(kind, which, Stage(tmp_path, "d", "m", "model/a/version/b", "https://ideogram.ai/x"))
    again = pickle.loads(pickle.dumps(request))

    assert request == again == copy.deepcopy(request)
    assert hash(request) == hash(again)
    assert [] == again.problems()


def test_bytes_are_not_shown() -> None:
    """The repr of a request shows the size of its files, not their bytes."""
    shown = repr(RemoveBackground(b"secret bytes"))

    assert "<12 bytes>" in shown
    assert "secret" not in shown


# ---- rules


def case_ids(cases: list[tuple[Any, ...]]) -> list[str]:
    return [f"{type(case[0]).__name__} {' '.join(map(str, case[1:]))}"[:80] for case in cases]


@pytest.mark.parametrize(("request_", "field", "message"), REFUSED, ids=case_ids(REFUSED))
def test_refused(request_: Any, field: str, message: str) -> None:
    """A broken rule of the service is reported once, with its field; without validation it is not reported."""
    problems = request_.problems()

    assert [field] == [name for name, _ in problems]
    assert message in problems[0][1]
    assert [] == request_.problems(validate=False)


@pytest.mark.parametrize("request_", ALLOWED, ids=lambda request: repr(request).replace("=None", "")[:80])
def test_allowed(request_: Any) -> None:
    """A value on a bound is valid."""
    assert [] == request_.problems()


@pytest.mark.parametrize(("request_", "field", "message"), WRONG_TYPES, ids=case_ids(WRONG_TYPES))
def test_wrong_type(request_: Any, field: str, message: str) -> None:
    """A value of the wrong type is reported, with or without validation."""
    expected = [(field, message)]

    assert expected == request_.problems()
    assert expected == request_.problems(validate=False)


@pytest.mark.parametrize(
    "request_",
    [
        Generate("x", rendering_speed=Unchecked("BALANCED"), style_type=Unchecked("CUSTOM")),
        Generate("x", color_palette=Unchecked("NEON")),
        GenerateTransparent("x", rendering_speed=Unchecked("FLASH")),
        LegacyGenerate(
            "x", model=Unchecked("V_3"), negative_prompt="y", resolution="RESOLUTION_1024_1024", style_type="ANIME"
        ),
        ListModels(status=[Unchecked("PAUSED")]),
        Reframe(PNG, Unchecked("2048x2048")),
    ],
    ids=lambda request: type(request).__name__,
)
def test_unchecked(request_: Any) -> None:
    """A value newer than the library is valid, and so are the fields that depend on it."""
    assert [] == request_.problems()


@pytest.mark.parametrize(
    ("request_", "advice"),
    [
        (Generate("x", aspect_ratio="16:9"), "did you mean '16x9'?"),
        (Generate("x", resolution="1024\u00d71024"), "did you mean '1024x1024'?"),
        (Generate("x", style_preset="oil painting"), "did you mean 'OIL_PAINTING'?"),
        (LegacyGenerate("x", aspect_ratio="16x9"), "did you mean 'ASPECT_16_9'?"),
        (LegacyGenerate("x", resolution="1024x1024"), "did you mean 'RESOLUTION_1024_1024'?"),
        (Generate("x", aspect_ratio="16 x 9"), "did you mean '16x9'?"),
        (Generate("x", resolution="1024 * 1024"), "did you mean '1024x1024'?"),
        (Generate("x", rendering_speed="fast"), "did you mean 'FLASH'?"),
        (Generate("x", rendering_speed="cheap"), "'cheap' is not one of FLASH, TURBO, DEFAULT, QUALITY"),
        (Generate("x", aspect_ratio="17:9"), "did you mean '16x9'?"),
        (Generate("x", resolution="2048x2048"), "for a newer value, pass Unchecked('2048x2048')"),
        (Generate("x", style_type="STYLIZED"), "for a newer value, pass Unchecked('STYLIZED')"),
        (Generate("x", rendering_speed="TURBOO"), "did you mean 'TURBO'? For a newer value, pass Unchecked('TURBOO')"),
        (LegacyGenerate("x", model="V_4"), "for a newer value, pass Unchecked('V_4')"),
        (GenerateTransparent("x", rendering_speed="FLASH"), "'FLASH' is not one of TURBO, DEFAULT, QUALITY"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_other_spellings(request_: Any, advice: str) -> None:
    """A value in another spelling is reported with the right one, not with the advice to send it unchecked."""
    assert [advice] == [problem.rpartition("; ")[2] for _, problem in request_.problems()]


def test_size_limit_is_configurable() -> None:
    """The caller can change the size limit of files."""
    request = RemoveBackground(picture(length=TOO_LARGE))

    assert [] == request.problems(max_upload_bytes=TOO_LARGE)
    assert ["image"] == [name for name, _ in RemoveBackground(PNG).problems(max_upload_bytes=10)]


@pytest.mark.parametrize("link", ["http://127.0.0.1:8080/x.png", "http://localhost/x", "http://[::1]:1/x"])
def test_links_of_a_sandbox(link: str) -> None:
    """Links to this machine are valid only if the service runs on it."""
    request = Edit("x", image_urls=[link])

    assert [] == request.problems(loopback=True)
    assert [("image_urls", "[0] must be a link to an Ideogram image")] == request.problems()


# ---- nothing is sent


async def refused(client: Ideogram, request: Request[Any]) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        await client.send(request)

    return caught.value


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (Generate(5), "prompt: must be a string, not int"),
        (Generate(""), "prompt: must not be empty"),
        (Generate("x", num_images=9), "num_images: must be from 1 to 8, not 9"),
        (
            Generate("x", resolution="1024x1024", aspect_ratio="1x1"),
            "aspect_ratio: cannot be combined with resolution",
        ),
        (RemoveBackground(b"just a text"), "image: is not a PNG, JPEG or WebP file"),
        (
            RemoveBackground(picture(length=TOO_LARGE)),
            "image: has 10485761 bytes; at most 10485760 are allowed (max_upload_bytes)",
        ),
        (RemoveBackground("/nowhere/fox.png"), "image: cannot be read: No such file or directory: /nowhere/fox.png"),
        (
            Inpaint(PNG, picture(size=(64, 64)), "x"),
            "mask: must have the image's size, 64x48 pixels, not 64x64",
        ),
        (
            Generate("x", rendering_speed="turbo"),
            "rendering_speed: 'turbo' is not one of FLASH, TURBO, DEFAULT, QUALITY; did you mean 'TURBO'?",
        ),
    ],
    ids=lambda value: value.partition(":")[0] if isinstance(value, str) else type(value).__name__,
)
async def test_nothing_is_sent(client: Ideogram, sandbox: Sandbox, request_: Request[Any], line: str) -> None:
    """An invalid value raises an error with the name of the field, and nothing is sent or billed."""
    error = await refused(client, request_)

    assert f"invalid {type(request_).__name__}, nothing was sent:\n  {line}" == str(error)
    assert "no" == error.billed
    assert [] == sandbox.requests


async def test_all_problems_at_once(client: Ideogram, sandbox: Sandbox) -> None:
    """One error lists all problems of a request in the order of its fields, conflicts last."""
    error = await refused(
        client,
        Inpaint(
            "/nowhere.png",
            b"a text",
            "",
            num_images=9,
            seed=-1,
            rendering_speed=3,
            style_codes=["x"],
            style_type="AUTO",
        ),
    )

    assert {
        "image": "cannot be read: No such file or directory: /nowhere.png",
        "mask": "is not a PNG, JPEG or WebP file",
        "prompt": "must not be empty",
        "num_images": "must be from 1 to 8, not 9",
        "seed": "must be from 0 to 2147483647, not -1",
        "rendering_speed": "must be a value of RenderingSpeed or its string, not int",
        "style_codes": "cannot be combined with style_type",
    } == dict(error.problems)
    assert ("style_codes", "[0] must be 8 hexadecimal digits") in error.problems
    assert 8 == len(error.problems)
    assert [] == sandbox.requests


async def test_without_validation(client: Ideogram, sandbox: Sandbox) -> None:
    """Without validation the service checks its rules, and the client still checks types."""
    view = client.with_options(validate=False)
    error = await refused(view, Generate("", num_images="9"))
    with pytest.raises(Exception, match="400 prompt: must not be empty"):
        await view.send(Generate(""))

    assert [("num_images", "must be a whole number, not str; did you mean 9?")] == list(error.problems)
    assert [400] == [received.status for received in sandbox.requests]


async def test_empty_list_of_files(client: Ideogram, sandbox: Sandbox) -> None:
    """A required list must not be empty."""
    error = await refused(client, UploadDatasetAssets("d", []))

    assert [("files", "must not be empty")] == list(error.problems)
    assert [] == sandbox.requests


@pytest.mark.parametrize("dataset_id", ["", " ", ".", ".."])
async def test_ids_stay_in_their_path(client: Ideogram, sandbox: Sandbox, dataset_id: str) -> None:
    """An id that would change the path to another operation is refused."""
    error = await refused(client, UploadDatasetAssets(dataset_id, [PNG]))

    assert ["dataset_id"] == [field for field, _ in error.problems]
    assert [] == sandbox.requests


def test_conflict_of_a_wrong_type() -> None:
    """A field of the wrong type is reported once, without its conflicts."""
    request = Generate("x", resolution="1024x1024", aspect_ratio=5)  # type: ignore[arg-type]

    assert [("aspect_ratio", "must be a value of AspectRatioV3 or its string, not int")] == request.problems()


async def test_dataset_name(client: Ideogram, sandbox: Sandbox) -> None:
    """A name that cannot be encoded is refused."""
    error = await refused(client, CreateDataset("\ud800"))

    assert [("name", "cannot be encoded in UTF-8: '\\ud800' at 0 is an unpaired surrogate")] == list(error.problems)
    assert [] == sandbox.requests


@pytest.mark.parametrize(
    ("field", "hint"),
    [
        ("n", "did you mean num_images?"),
        ("size", "did you mean resolution or aspect_ratio?"),
        ("model", "did you mean rendering_speed or custom_model_uri?"),
        ("num_image", "did you mean num_images?"),
        ("promt", "did you mean prompt?"),
        ("zebra", "its fields are "),
    ],
)
def test_an_unknown_field_is_refused_with_the_name_that_was_meant(field: str, hint: str) -> None:
    """The name of another service, or a misspelled one, raises a TypeError that names the field."""
    with pytest.raises(TypeError, match=re.escape(f"Generate has no field {field!r}; {hint}")):
        Generate(**{field: 2})
