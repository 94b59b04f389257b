"""Mistakes that users make, each with the whole message that answers it: the name, the rule, and what was meant."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable
from inspect import isawaitable
from pathlib import Path
from typing import Any

import pytest
from support.clients import CANARY

from ideogram_async import (
    AspectRatio,
    ColorPaletteMember,
    Generate,
    Ideogram,
    ImageFile,
    InvalidRequestError,
    Job,
    RenderingSpeed,
    Retry,
    Timeout,
)
from ideogram_async.sandbox import Sandbox

FIELDS = (
    "prompt, seed, num_images, rendering_speed, magic_prompt, negative_prompt, resolution, aspect_ratio, style_preset, "
    "color_palette, style_codes, style_reference_images, style_type, character_reference_images, "
    "character_reference_images_mask, custom_model_uri"
)
SPEEDS = "FLASH, TURBO, DEFAULT, QUALITY"
STYLES = "AUTO, GENERAL, REALISTIC, DESIGN, FICTION"
RATIOS = "1x3, 3x1, 1x2, 2x1, 9x16, 16x9, 10x16, 16x10, 2x3, 3x2, 3x4, 4x3, 4x5, 5x4, 1x1"
PRESETS = "EMBER, FRESH, JUNGLE, MAGIC, MELON, MOSAIC, PASTEL, ULTRAMARINE"
FORMS = "must be a path, bytes, a (name, bytes) pair, an open binary file or an image"

# A field that `Generate` does not have, and the message after "Generate has no field '<name>'; ".
UNKNOWN_FIELDS = {
    "n": "did you mean num_images?",
    "num_image": "did you mean num_images?",
    "size": "did you mean resolution or aspect_ratio?",
    "width": "did you mean resolution or aspect_ratio?",
    "ratio": "did you mean aspect_ratio?",
    "model": "did you mean rendering_speed or custom_model_uri?",
    "quality": "did you mean rendering_speed?",
    "speed": "did you mean rendering_speed?",
    "negative": "did you mean negative_prompt?",
    "style": "did you mean style_type or style_preset?",
    "palette": "did you mean color_palette?",
    "text": "did you mean prompt?",
    "image": "did you mean Remix(...)?",
    "mask": "did you mean Inpaint(...)?",
    "timeout": "did you mean client.with_options(timeout=...)?",
    "steps": f"its fields are {FIELDS}",
    "guidance": f"its fields are {FIELDS}",
}

# Values of the fields of `Generate`, and the problem that is reported for the field.
WRONG_VALUES: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt: must be a string, not None"),
    ({"prompt": ""}, "prompt: must not be empty"),
    ({"prompt": ["a fox", "a dog"]}, "prompt: must be a string, not list; send one request for each"),
    ({"num_images": "2"}, "num_images: must be a whole number, not str; did you mean 2?"),
    ({"num_images": 2.5}, "num_images: must be a whole number, not float"),
    ({"num_images": True}, "num_images: must be a whole number, not bool"),
    ({"num_images": 0}, "num_images: must be from 1 to 8, not 0"),
    ({"num_images": 9}, "num_images: must be from 1 to 8, not 9"),
    ({"seed": -1}, "seed: must be from 0 to 2147483647, not -1"),
    ({"seed": 2**31}, "seed: must be from 0 to 2147483647, not 2147483648"),
    ({"aspect_ratio": "16:9"}, f"aspect_ratio: '16:9' is not one of {RATIOS}; did you mean '16x9'?"),
    (
        {"aspect_ratio": AspectRatio.ASPECT_16_9},
        f"aspect_ratio: 'ASPECT_16_9' is not one of {RATIOS}; did you mean '16x9'?",
    ),
    (
        {"resolution": "1024\u00d71024"},
        "resolution: '1024\u00d71024' is not one of the 69 ResolutionV3 values; did you mean '1024x1024'?",
    ),
    (
        {"resolution": (1024, 1024)},
        "resolution: must be a value of ResolutionV3 or its string, not tuple; did you mean '1024x1024'?",
    ),
    (
        {"resolution": "1024x1024", "aspect_ratio": "1x1"},
        "aspect_ratio: cannot be combined with resolution",
    ),
    ({"rendering_speed": "fast"}, f"rendering_speed: 'fast' is not one of {SPEEDS}; did you mean 'FLASH'?"),
    ({"rendering_speed": "turbo"}, f"rendering_speed: 'turbo' is not one of {SPEEDS}; did you mean 'TURBO'?"),
    (
        {"rendering_speed": "BALANCED"},
        f"rendering_speed: 'BALANCED' is not one of {SPEEDS}; for a newer value, pass Unchecked('BALANCED')",
    ),
    (
        {"style_type": RenderingSpeed.TURBO},
        f"style_type: 'TURBO' is not one of {STYLES}; it is a value of RenderingSpeed",
    ),
    (
        {"magic_prompt": True},
        "magic_prompt: must be a value of MagicPromptOption or its string, not bool; did you mean 'ON'?",
    ),
    (
        {"style_preset": "watercolor"},
        "style_preset: 'watercolor' is not one of the 62 StylePresetV3 values; did you mean 'WATERCOLOR'?",
    ),
    ({"color_palette": "ember"}, f"color_palette: 'ember' is not one of {PRESETS}; did you mean 'EMBER'?"),
    ({"color_palette": ["red"]}, "color_palette: [0] must be a color such as #RGB or #RRGGBB, not 'red'"),
    ({"color_palette": [("#F00", 50)]}, "color_palette: [0] must have a weight from 0.05 to 1.0, not 50"),
    ({"style_codes": "0123abcd"}, "style_codes: must be a list of strings, not str"),
    ({"style_codes": ["0123abcd"], "style_type": "AUTO"}, "style_codes: cannot be combined with style_type"),
]

# Values of the file of `client.upscale`.
WRONG_FILES = {
    "https://example.com/fox.png": "is a URL, not a path; use ImageFile.from_url(url)",
    "~/no-fox.png": "begins with ~, which is not expanded; use Path('~/no-fox.png').expanduser()",
    "data:image/png;base64,AAAA": "is a data URL, not a path; use base64.b64decode(url.partition(',')[2])",
    "no-fox.png": "cannot be read: No such file or directory: no-fox.png",
    b"GIF89a" + bytes(30): "is not a PNG, JPEG or WebP file",
    None: f"{FORMS}, not None",
    ("a.png", "b.png", "c.png"): f"{FORMS}, not tuple",
}

# Other calls, by what they are written as.
CALLS: dict[str, tuple[Callable[[Ideogram], object], type[Exception], str]] = {
    "Ideogram(concurrency=5)": (
        lambda _: Ideogram("key", concurrency=5),
        TypeError,
        "Ideogram has no argument 'concurrency'; did you mean max_in_flight?",
    ),
    "Ideogram(api_token=...)": (
        lambda _: Ideogram(api_token="key"),
        TypeError,
        "Ideogram has no argument 'api_token'; did you mean api_key?",
    ),
    "Ideogram(max_retries=3)": (
        lambda _: Ideogram("key", max_retries=3),
        TypeError,
        "Ideogram has no argument 'max_retries'; did you mean retry?",
    ),
    "Ideogram(retry=3)": (
        lambda _: Ideogram("key", retry=3),
        TypeError,
        "retry must be a Retry such as Retry(attempts=3), not int",
    ),
    "Ideogram(timeout='long')": (
        lambda _: Ideogram("key", timeout="long"),
        ValueError,
        "timeout must be a number of seconds or a Timeout, not 'long'",
    ),
    "Ideogram(base_url='http://...')": (
        lambda _: Ideogram("key", base_url="http://api.ideogram.ai"),
        ValueError,
        "base_url must begin with https://, or http:// to this machine, and have no user, query or fragment",
    ),
    "Ideogram('\"key\"')": (
        lambda _: Ideogram('"key"'),
        ValueError,
        "the API key begins with a quote; remove the quotes around it",
    ),
    "with Ideogram()": (
        lambda _: Ideogram("key").__enter__(),
        TypeError,
        "use `async with` for a client, not `with`",
    ),
    "with_options(max_in_flight=5)": (
        lambda client: client.with_options(max_in_flight=5),
        TypeError,
        "Ideogram.with_options has no argument 'max_in_flight'; "
        "its arguments are timeout, retry, extra_headers, validate, on_event",
    ),
    "Retry(retries=3)": (
        lambda _: Retry(retries=3),
        TypeError,
        "Retry has no argument 'retries'; did you mean attempts?",
    ),
    "Retry(attempts='3')": (
        lambda _: Retry(attempts="3"),
        TypeError,
        "attempts must be a whole number, not str",
    ),
    "Retry(attempts=0)": (
        lambda _: Retry(attempts=0),
        ValueError,
        "attempts must be at least 1, not 0",
    ),
    "Timeout(read=30)": (
        lambda _: Timeout(read=30),
        TypeError,
        "Timeout has no argument 'read'; did you mean total?",
    ),
    "Timeout('30')": (
        lambda _: Timeout("30"),
        TypeError,
        "total must be a number of seconds, or None for no limit, not str",
    ),
    "Job(name=...)": (
        lambda _: Job(Generate("a fox"), name="fox"),
        TypeError,
        "Job has no argument 'name'; did you mean id?",
    ),
    "ImageFile(path=...)": (
        lambda _: ImageFile(path="fox.png"),
        TypeError,
        "ImageFile has no argument 'path'; did you mean source?",
    ),
    "ColorPaletteMember(hex=...)": (
        lambda _: ColorPaletteMember(hex="#FF5733"),
        TypeError,
        "ColorPaletteMember has no argument 'hex'; did you mean color_hex?",
    ),
    "batch(budget=5)": (
        lambda client: client.batch([], "out/", budget=5),
        TypeError,
        "Ideogram.batch has no argument 'budget'; did you mean max_cost_usd?",
    ),
    "batch(output=...)": (
        lambda client: client.batch([], output="out/"),
        TypeError,
        "Ideogram.batch has no argument 'output'; did you mean folder?",
    ),
    "run_batch(concurrency=5)": (
        lambda client: client.run_batch([], "out/", concurrency=5),
        TypeError,
        "Ideogram.batch has no argument 'concurrency'; did you mean Ideogram(max_in_flight=...)?",
    ),
    "batch('out/', jobs)": (
        lambda client: client.batch("out/", [Generate("a fox")]),
        TypeError,
        "the folder must be a path, not list",
    ),
    "batch(jobs, '~/out')": (
        lambda client: client.batch([], "~/out"),
        ValueError,
        "the folder begins with ~, which is not expanded; use Path('~/out').expanduser()",
    ),
    "batch(max_cost_usd='five')": (
        lambda client: client.batch([], "out/", max_cost_usd="five"),
        ValueError,
        "max_cost_usd must be an amount in USD, not 'five'",
    ),
    "plan(prompts)": (
        lambda client: client.plan(["a fox", "a dog"]),
        TypeError,
        "a batch takes jobs and requests, not str (position 0 of the input); for a prompt, pass Generate(prompt)",
    ),
    "plan('a prompt')": (
        lambda client: client.plan("a prompt"),
        TypeError,
        "a batch takes jobs and requests, not str (position 0 of the input); for a prompt, pass Generate(prompt)",
    ),
    "plan([Job('text')])": (
        lambda client: client.plan([Job("text")]),
        TypeError,
        "a batch takes jobs and requests, not str (position 0 of the input); for a prompt, pass Generate(prompt)",
    ),
    "plan([{...}])": (
        lambda client: client.plan([{"prompt": "a fox"}]),
        TypeError,
        "a batch takes jobs and requests, not dict (position 0 of the input); for a row, pass Generate(**row)",
    ),
    "plan(Generate(...))": (
        lambda client: client.plan(Generate("a fox")),
        TypeError,
        "a batch takes an iterable of jobs and requests, not Generate; pass a list",
    ),
    "send('a fox')": (
        lambda client: client.send("a fox"),
        TypeError,
        "send takes a request such as Generate(...), not str",
    ),
    "estimate('a fox')": (
        lambda client: client.estimate("a fox"),
        TypeError,
        "estimate takes a request such as Generate(...), not str",
    ),
}


async def message_of(call: Callable[[], object], kind: type[Exception]) -> str:
    """Return the message of the error that a call raises, or its coroutine."""
    with pytest.raises(kind) as caught:
        result = call()
        if isawaitable(result):
            await result

    return str(caught.value)


@pytest.mark.parametrize("name", UNKNOWN_FIELDS)
async def test_an_unknown_field_is_refused_with_what_was_meant(client: Ideogram, sandbox: Sandbox, name: str) -> None:
    """A name of another service, or a misspelled one, is refused by the request and by its method."""
    expected = f"Generate has no field {name!r}; {UNKNOWN_FIELDS[name]}"

    assert expected == await message_of(lambda: Generate("a fox", **{name: "x"}), TypeError)
    assert expected == await message_of(lambda: client.generate("a fox", **{name: "x"}), TypeError)
    assert [] == sandbox.requests


@pytest.mark.parametrize(("fields", "problem"), WRONG_VALUES, ids=[str(fields) for fields, _ in WRONG_VALUES])
async def test_a_wrong_value_is_refused(
    client: Ideogram, sandbox: Sandbox, fields: dict[str, Any], problem: str
) -> None:
    """A wrong value is refused before anything is sent, with its field, the rule, and the value that was meant."""
    message = await message_of(lambda: client.generate(**{"prompt": "a fox"} | fields), InvalidRequestError)

    assert f"invalid Generate, nothing was sent:\n  {problem}" == message
    assert [] == sandbox.requests


@pytest.mark.parametrize("file", WRONG_FILES, ids=str)
async def test_a_wrong_file_is_refused(client: Ideogram, sandbox: Sandbox, file: Any) -> None:
    """A value that is not a file is refused, with what to pass instead."""
    message = await message_of(lambda: client.upscale(file), InvalidRequestError)

    assert f"invalid Upscale, nothing was sent:\n  image: {WRONG_FILES[file]}" == message
    assert [] == sandbox.requests


async def test_an_answer_is_no_image(client: Ideogram, tmp_path: Path) -> None:
    """An answer in the place of one of its images is refused with what to pass instead."""
    answer: Any = await client.generate("a fox")
    as_file = await message_of(lambda: client.upscale(answer), InvalidRequestError)
    as_link = await message_of(lambda: client.download(answer, tmp_path), TypeError)

    problem = f"image: {FORMS}, not ImageGenerationResponseV3; pass one of its images, such as answer[0]"
    assert f"invalid Upscale, nothing was sent:\n  {problem}" == as_file
    assert "expected a URL or an image such as answer.data[0], not ImageGenerationResponseV3" == as_link


@pytest.mark.parametrize("call", CALLS)
async def test_a_wrong_call_is_refused(client: Ideogram, sandbox: Sandbox, call: str) -> None:
    """A wrong argument is refused with its name, what is accepted, and what was meant."""
    function, kind, message = CALLS[call]

    assert message == await message_of(lambda: function(client), kind)
    assert [] == sandbox.requests


async def test_a_missing_key_names_where_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a key the first call names the variable and the argument."""
    monkeypatch.delenv("IDEOGRAM_API_KEY", raising=False)
    message = await message_of(lambda: Ideogram().generate("a fox"), Exception)

    assert "no API key: set IDEOGRAM_API_KEY or pass api_key; nothing was sent" == message


async def test_a_call_that_is_not_awaited_is_named(client: Ideogram, sandbox: Sandbox) -> None:
    """Python warns of an operation that was not awaited, under the name of the operation; nothing is sent."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        client.generate("a fox")

    assert ["coroutine 'Ideogram.generate' was never awaited"] == [str(warning.message) for warning in caught]
    assert [] == sandbox.requests


def test_a_refused_argument_shows_no_key() -> None:
    """The traceback of an unknown argument contains the key in no frame of the package."""
    key = {"api_key": CANARY}
    with pytest.raises(TypeError) as caught:
        Ideogram(**key, concurrency=5)

    frames = traceback.TracebackException.from_exception(caught.value, capture_locals=True).stack
    shown = [str(frame.locals) for frame in frames if frame.filename.endswith("_names.py")]

    assert 2 == len(shown)
    assert CANARY not in "".join(shown)
