"""Values that programs have at hand where a file or a number is expected: URLs, Pillow images, NumPy numbers."""

from __future__ import annotations

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable
from decimal import Decimal
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.clients import connected
from support.pictures import picture

from ideogram_async import (
    DownloadError,
    FromJob,
    HostRefusedError,
    Ideogram,
    ImageFile,
    InvalidRequestError,
    Job,
    JobState,
    NotAnImageError,
    Retry,
    TruncatedImageError,
)
from ideogram_async.requests import Edit, Generate, Remix, UploadDatasetAssets, Upscale
from ideogram_async.sandbox import Fault, Sandbox

PNG = picture()
BASE64 = base64.b64encode(PNG).decode()
ONCE = Retry(attempts=1)

pytestmark = pytest.mark.usefixtures("temporary")

# ---- strings that are not paths


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("https://example.com/fox.png?sig=secret", "is a URL, not a path; use ImageFile.from_url(url)"),
        ("HTTP://example.com/fox.png", "is a URL, not a path; use ImageFile.from_url(url)"),
        (Path("https://example.com/fox.png"), "is a URL, not a path; use ImageFile.from_url(url)"),
        ("s3://bucket/fox.png", "is a URL, not a path; use the bytes of the file"),
        ("file:///tmp/fox.png", "is a file URL; use Path('/tmp/fox.png')"),
        ("~/fox.png", "begins with ~, which is not expanded; use Path('~/fox.png').expanduser()"),
        (Path("~/fox.png"), "begins with ~, which is not expanded; use Path('~/fox.png').expanduser()"),
        (f"data:image/png;base64,{BASE64}", "is a data URL, not a path; use base64.b64decode(url.partition(',')[2])"),
        (BASE64, "is base64 text, not a path; use base64.b64decode(text)"),
        (np.zeros((4, 4, 3), np.uint8), "is an array (ndarray); use PIL.Image.fromarray(array)"),
        (ImageFile.from_url("fox.png"), "is not a URL: 'fox.png'"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_value_that_is_not_a_file(value: Any, rule: str) -> None:
    """A URL, `~`, `data:`, base64 or an array in place of a file is refused with what to use instead."""
    single = [request.problems(validate=False) for request in (Upscale(value), Remix(value, "a fox"))]
    several = [Edit("x", images=[PNG, value]), UploadDatasetAssets("d", [PNG, value])]
    problems = [request.problems() for request in several]

    assert [[("image", rule)]] * 2 == single
    assert [[("images", f"[1] {rule}")], [("files", f"[1] {rule}")]] == problems


def test_a_file_may_have_any_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An existing file is accepted even if its name looks like a URL."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "http:").mkdir()
    for name in ("~fox.png", "data:fox", "http://fox"):
        Path(name).write_bytes(PNG)

    assert [] == [*Upscale("~fox.png").problems(), *Upscale("data:fox").problems(), *Upscale("http://fox").problems()]


async def test_advice_comes_before_money(client: Ideogram, sandbox: Sandbox) -> None:
    """The advice is given before anything is sent, also without the rules of the service."""
    for view in (client, client.with_options(validate=False)):
        with pytest.raises(InvalidRequestError, match="expanduser"):
            await view.upscale("~/fox.png")

    assert [] == sandbox.requests


def test_content_in_place_of_a_path_is_not_printed() -> None:
    """A long text in place of a path is shortened in the message and in the `repr`."""
    request = Upscale("x" * 100_000)

    assert len(str(request.problems())) < 500
    assert len(repr(request)) < 500


# ---- links


async def test_a_link_is_downloaded_before_the_call(client: Ideogram, sandbox: Sandbox) -> None:
    """`ImageFile.from_url` is downloaded without the key, and its bytes are sent in a field of one or several files."""
    answer = await client.generate("a fox", num_images=2)
    links = [ImageFile.from_url(str(image.url)) for image in answer]
    await client.remove_background(links[0])
    await client.edit("redder", images=links)
    bodies = [await client.fetch(image) for image in answer]
    first, second = sandbox.requests[-2:]

    assert bodies[:1] == [part.body for part in first.parts]
    assert bodies == [part.body for part in second.parts if part.name == "images"]
    assert [] == sandbox.leaked_keys


def test_a_link_hides_its_signature() -> None:
    """The `repr` of a link has no query."""
    assert "ImageFile(source=Link(url='https://a.b/c'), name=None, content_type=None)" == repr(
        ImageFile.from_url("https://a.b/c?sig=secret")
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/fox.png",
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/fox.png",
        "https://[::ffff:127.0.0.1]/fox.png",
        "https://localhost/fox.png",
        "https://2130706433/fox.png",
        "https://user@example.com/fox.png",
    ],
)
async def test_a_link_to_a_private_address_is_refused(url: str) -> None:
    """With the real service, only https links to public hosts are downloaded; nothing is connected to."""
    async with Ideogram("an-unknown-key") as client:
        with pytest.raises(InvalidRequestError) as caught:
            await client.upscale(ImageFile.from_url(url))

    assert HostRefusedError is type(caught.value.__cause__)
    assert caught.value.problems[0][1].startswith("cannot be read: the link is not allowed")


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault.redirect, HostRefusedError),
        (Fault.not_an_image, NotAnImageError),
        (Fault.cut, TruncatedImageError),
        (Fault.status(503), DownloadError),
        (Fault.expired, DownloadError),
    ],
    ids=["redirect", "html", "cut", "status", "expired"],
)
async def test_a_link_that_fails(client: Ideogram, sandbox: Sandbox, fault: Any, error: type[Exception]) -> None:
    """A link that leads to no complete image makes the request invalid, and nothing is sent."""
    link = (await client.generate("a fox"))[0].url
    sandbox.fail("images", fault=fault, times=9)
    with pytest.raises(InvalidRequestError) as caught:
        await client.with_options(retry=ONCE).upscale(ImageFile.from_url(str(link)))

    assert isinstance(caught.value.__cause__, error)
    assert 1 == len(sandbox.ledger.entries)


async def test_an_endless_link(sandbox: Sandbox) -> None:
    """A download stops at the limit of uploads."""
    async with connected(sandbox.url, max_upload_bytes=2**20) as client:
        link = (await client.generate("a fox"))[0].url
        sandbox.fail("images", fault=Fault.endless)
        with pytest.raises(InvalidRequestError) as caught:
            await client.upscale(ImageFile.from_url(str(link)))

    assert (("image", "has more than 1048576 bytes (max_upload_bytes)"),) == caught.value.problems
    assert 1 == len(sandbox.ledger.entries)


async def test_a_batch_keeps_what_it_downloaded(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """A batch keeps the downloaded bytes in its folder, so that a job that was not sent needs no second download."""
    link = str((await client.generate("a fox"))[0].url)
    sandbox.fail(fault=Fault.status(402))
    first = await client.run_batch([Job(Upscale(ImageFile.from_url(link)), "up")], tmp_path / "out")
    sandbox.advance(90_000)
    second = await client.run_batch(None, tmp_path / "out")

    assert ({JobState.PENDING: 1}, {JobState.DONE: 1}) == (first.by_state, second.by_state)
    assert 1 == len(list((tmp_path / "out" / ".ideogram" / "inputs").iterdir()))


# ---- Pillow images


@pytest.mark.parametrize(
    ("mode", "sent"),
    [(mode, mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA")]
    + [("CMYK", "RGB"), ("YCbCr", "RGB"), ("HSV", "RGB"), ("RGBX", "RGB"), ("PA", "RGBA"), ("RGBa", "RGBA")],
)
async def test_an_image_of_pillow(client: Ideogram, sandbox: Sandbox, mode: str, sent: str) -> None:
    """A Pillow image is sent as PNG, in a mode that PNG has."""
    await client.remove_background(Image.new(mode, (64, 48)))
    (part,) = sandbox.requests[-1].parts
    image = Image.open(BytesIO(part.body))

    assert ("image.png", "image/png") == (part.filename, part.content_type)
    assert ("PNG", sent, (64, 48)) == (image.format, image.mode, image.size)


async def test_an_opened_image_of_pillow(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """An image that Pillow has not read yet can be sent by several calls at once, with its name as a PNG file."""
    (tmp_path / "fox.jpg").write_bytes(picture("JPEG", (800, 600)))
    with Image.open(tmp_path / "fox.jpg") as image:
        await asyncio.gather(*(client.edit("x", images=[image]) for _ in range(8)))
        pixels = image.tobytes()

    parts = [part for request in sandbox.requests for part in request.parts if part.name == "images"]

    assert {"fox.png"} == {part.filename for part in parts}
    assert {pixels} == {Image.open(BytesIO(part.body)).tobytes() for part in parts}


def closed() -> Image.Image:
    image = Image.new("RGB", (8, 8))
    image.close()
    return image


def noise(side: int) -> Image.Image:
    return Image.frombytes("RGB", (side, side), os.urandom(3 * side * side))


@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (closed, "cannot be read: Operation on closed image"),
        (lambda: Image.open(BytesIO(picture("JPEG", (800, 600))[:1500])), "cannot be read: image file is truncated"),
        # The rest is in the words of Pillow, which change.
        (lambda: Image.new("RGB", (0, 0)), "cannot be read: "),
        (lambda: Image.new("F", (8, 8)), "cannot be read: the mode F has more than 8 bits; use image.convert('L')"),
        (lambda: Image.new("I;16", (8, 8)), "cannot be read: the mode I;16 has more than 8 bits; use image.conv"),
        (lambda: noise(600), "has more than 1048576 bytes as PNG (max_upload_bytes)"),
    ],
    ids=["closed", "truncated", "empty", "float", "16 bit", "large"],
)
async def test_an_unusable_image_of_pillow(sandbox: Sandbox, make: Callable[[], Image.Image], rule: str) -> None:
    """An image that cannot be encoded, or is too large, makes the request invalid, and nothing is sent."""
    async with connected(sandbox.url, max_upload_bytes=2**20) as client:
        with pytest.raises(InvalidRequestError) as caught:
            await client.upscale(make())

    assert rule == caught.value.problems[0][1][: len(rule)]
    assert [] == sandbox.requests


async def test_a_batch_resumes_with_an_image_of_pillow(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """The same Pillow image is the same job, so that a batch does not send it again."""
    for _ in range(2):
        report = await client.run_batch([Upscale(Image.new("RGB", (64, 48), "red"))], tmp_path / "out")

    assert ({JobState.DONE: 1}, 1) == (report.by_state, len(sandbox.ledger.entries))


# ---- NumPy numbers


def test_numbers_of_numpy() -> None:
    """A NumPy number is Python's own: the request, its price and its sum do not depend on the size of its type."""
    request = Generate("x", seed=np.int64(3), num_images=np.uint8(8))
    flag = Edit("x", images=PNG, transparent_background=np.bool_(True))

    assert (Generate("x", seed=3, num_images=8), [int, int]) == (
        request,
        [type(request.seed), type(request.num_images)],
    )
    assert (True, []) == (flag.transparent_background, flag.problems())
    assert int is type(FromJob("fox", np.int64(1)).index)


@pytest.mark.parametrize("value", [np.bool_(True), np.float64(2.0), np.array([1, 2]), np.datetime64("2026-01-01"), "2"])
def test_what_is_not_a_whole_number(value: Any) -> None:
    """A boolean, a fraction, an array, a date or a text is refused where a whole number is expected."""
    ((field, rule),) = Generate("x", num_images=value).problems()

    assert ("num_images", "must be a whole number, not ") == (field, rule[:28])


async def test_numbers_of_numpy_are_sent(client: Ideogram, sandbox: Sandbox) -> None:
    """NumPy numbers are sent as numbers: in a form, in JSON, in a palette, and in a raw call."""
    palette = [("#ff0000", np.float32(0.5))]
    calls: list[Awaitable[Any]] = [
        client.generate("x", num_images=np.int32(2), color_palette=palette),
        client.upscale(PNG, resemblance=np.int8(40)),
        client.raw("POST", "/v1/ideogram-v3/generate", fields={"prompt": "x", "seed": np.int64(7)}),
        client.raw("POST", "/generate", json={"image_request": {"prompt": "x", "seed": np.int64(7)}}),
    ]
    for call in calls:
        await call

    bodies = [b"".join(part.body for part in request.parts) for request in sandbox.requests]

    assert [2, 1, 1, 1] == [entry.images for entry in sandbox.ledger.entries]
    assert b'[{"color_hex":"#ff0000","color_weight":0.5}]' in bodies[0]
    assert b'"resemblance":40' in bodies[1]
    assert bodies[2].endswith(b"7")
    assert {"image_request": {"prompt": "x", "seed": 7}} == sandbox.requests[3].json


async def test_a_batch_knows_numbers_of_numpy(client: Ideogram, sandbox: Sandbox, tmp_path: Path) -> None:
    """A job with a NumPy number is the same job as one with Python's, and is not sent again."""
    numbers: list[Any] = [7, np.int64(7), np.uint8(7)]
    for number in numbers:
        report = await client.run_batch([Job(Generate("x", seed=number), "fox")], tmp_path / "out", max_cost_usd=1)

    assert ({JobState.DONE: 1}, 1) == (report.by_state, len(sandbox.ledger.entries))
    assert Decimal(0) == report.in_doubt_usd
