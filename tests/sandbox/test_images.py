"""Links to images, and the images."""

from __future__ import annotations

import io
import time
from email.utils import parsedate_to_datetime

import pytest
from PIL import Image

from ideogram_async.sandbox import Fault, Sandbox
from ideogram_async.sandbox.drawing import draw
from ideogram_async.sandbox.recipe import Recipe


def decode(body: bytes) -> Image.Image:
    """Decode an image."""
    image = Image.open(io.BytesIO(body))
    image.load()
    return image


def recipe(**changes):
    """Return a recipe."""
    return Recipe(**{"action": "generate", "prompt": "a fox", "seed": 1, "size": (256, 192), **changes})


async def test_link(api, sandbox):
    """A link has the service's format and leads to another origin, without a key."""
    answer = await api.generate()

    fetched = await api.image(answer.url)

    assert answer.url.startswith(f"{sandbox.image_url}/api/images/ephemeral/")
    assert sandbox.image_url != sandbox.url
    assert (200, "image/png") == (fetched.status, fetched.headers["Content-Type"])
    assert (1024, 1024) == decode(fetched.body).size
    assert [] == sandbox.leaked_keys
    assert [answer.url.removeprefix(sandbox.image_url)] == [arrival.path for arrival in sandbox.image_requests]


async def test_etag(api):
    """An image that the client already has is not sent again."""
    url = (await api.generate()).url
    first = await api.image(url)

    second = await api.image(url, **{"If-None-Match": first.headers["ETag"]})

    assert (304, b"") == (second.status, second.body)


@pytest.mark.parametrize("header", ["Api-Key", "Authorization"])
async def test_leaked_key(api, sandbox, header):
    """A key sent to the image origin is recorded until a reset."""
    url = (await api.generate()).url

    await api.image(url, **{header: "secret"})
    [(path, value)] = sandbox.leaked_keys
    sandbox.reset()

    assert "secret" == value
    assert path in url
    assert [] == sandbox.leaked_keys


async def test_expiry(api, sandbox):
    """A link expires by the sandbox's clock."""
    url = (await api.generate()).url
    sandbox.advance(86000)
    living = await api.image(url)
    sandbox.advance(800)
    dead = await api.image(url)

    assert (200, 403) == (living.status, dead.status)


async def test_forged_links(api, sandbox):
    """A changed link, another method and a link from before a reset are refused."""
    url = (await api.generate()).url
    answers = [
        await api.image(url.replace("exp=1", "exp=2")),
        await api.image(url.replace(".png", ".jpg")),
        await api.image(url.partition("?")[0]),
        await api.call("POST", url),
    ]
    sandbox.reset()
    answers.append(await api.image(url))

    assert [403, 403, 403, 405, 403] == [answer.status for answer in answers]


async def test_unknown_image(api, sandbox):
    """A valid signature of a missing image is 404."""
    url = (await api.generate()).url
    sandbox._state.links._recipes.clear()

    assert 404 == (await api.image(url)).status


@pytest.mark.parametrize("image_format", ["PNG", "jpeg", "WEBP"])
async def test_format(make_api, image_format):
    """The sandbox serves the requested format, with its content type and extension."""
    async with Sandbox(image_format=image_format) as sandbox:
        api = make_api(sandbox)
        url = (await api.generate()).url
        fetched = await api.image(url)

    assert image_format.upper() == decode(fetched.body).format
    assert f"image/{image_format.lower()}" == fetched.headers["Content-Type"]
    assert f".{image_format.lower()}?" in url


async def test_transparent_jpeg_is_png(make_api):
    """JPEG has no transparency, so such an image is PNG."""
    async with Sandbox(image_format="JPEG") as sandbox:
        api = make_api(sandbox)
        answer = await api.form("/v1/ideogram-v3/generate-transparent", [("prompt", "a"), ("aspect_ratio", "1x3")])
        image = decode((await api.image(answer.url)).body)

    assert ("PNG", (512, 1536), (0, 255)) == (image.format, image.size, image.getchannel("A").getextrema())


def test_unknown_format():
    """There are three formats."""
    with pytest.raises(ValueError, match="GIF"):
        Sandbox(image_format="GIF")


@pytest.mark.parametrize("lifetime", [float("inf"), float("nan")])
def test_lifetime_of_links_is_finite(lifetime):
    """It is part of every link."""
    with pytest.raises(ValueError, match="link_lifetime must be a finite number of seconds"):
        Sandbox(link_lifetime=lifetime)


async def test_cache_is_bounded(api, sandbox):
    """The sandbox caches a few drawn images."""
    for _ in range(3):
        answer = await api.generate(num_images="8", resolution="512x1536")
        for image in answer.json["data"]:
            await api.image(image["url"])

    first = await api.image(sandbox.image_url + sandbox.image_requests[0].path)

    assert 200 == first.status
    assert 16 == len(sandbox._image_origin._cache)


def test_same_bytes():
    """The same seed, prompt and size draw the same bytes; any change draws others."""
    bodies = [draw(recipe(**change), "PNG") for change in ({}, {}, {"seed": 2}, {"prompt": "b"}, {"size": (192, 256)})]

    assert bodies[0] == bodies[1]
    assert 4 == len(set(bodies))


@pytest.mark.parametrize(
    "action",
    ["remix", "inpaint", "reframe", "replace-background", "remove-background", "edit", "upscale", "original", "base"],
)
def test_input_is_visible(make_picture, action):
    """An image generated from another depends on it."""
    mask = make_picture((64, 48), "white")
    red, blue = (
        decode(draw(recipe(action=action, source=make_picture((64, 48), color), mask=mask), "PNG")).convert("RGB")
        for color in ("red", "blue")
    )

    assert red.tobytes() != blue.tobytes()


def test_inpaint_follows_the_mask(make_picture):
    """White areas of a mask are kept, and black ones are drawn."""
    kept, drawn = (
        decode(draw(recipe(action="inpaint", source=make_picture(), mask=make_picture(color=color)), "PNG"))
        for color in ("white", "black")
    )

    assert [(256 * 192, (0, 128, 128))] == kept.getcolors()
    assert len(drawn.getcolors(2**16)) > 10


def test_upscale_is_the_input(make_picture):
    """An upscaled image is the input in a larger size."""
    image = decode(draw(recipe(action="upscale", source=make_picture(), size=(128, 96)), "PNG"))

    assert [(128 * 96, (0, 128, 128))] == image.getcolors()


@pytest.mark.parametrize("action", ["generate-transparent", "remove-background", "edit"])
def test_transparency(make_picture, action):
    """A transparent image has opaque and transparent pixels."""
    image = decode(draw(recipe(action=action, source=make_picture(), is_transparent=True), "PNG"))

    assert (0, 255) == image.getchannel("A").getextrema()


def test_broken_source(make_picture):
    """A truncated input image does not prevent drawing."""
    source = make_picture(file_format="JPEG")
    image = decode(draw(recipe(action="upscale", source=source[: len(source) // 2]), "PNG"))

    assert (256, 192) == image.size


@pytest.mark.parametrize("prompt", ["", "word " * 400, "x" * 300, "狐狸"])
def test_any_prompt_is_drawn(prompt):
    """A prompt may be empty, long, without spaces or in any script."""
    image = decode(draw(recipe(prompt=prompt), "PNG"))

    assert (256, 192) == image.size


def test_accents_are_not_drawn_as_boxes():
    """Pillow's font has no é, and a box looks like a fault in the encoding of a prompt."""
    assert draw(recipe(prompt="cafe im Grunen"), "PNG") == draw(recipe(prompt="café im Grünen"), "PNG")


async def test_remove_background_keeps_the_size(api, png):
    """An image without its background has the size of the input."""
    answer = await api.form("/v1/remove-background", [("image", ("a.png", png))])
    image = decode((await api.image(answer.url)).body)

    assert ((64, 48), "RGBA") == (image.size, image.mode)


@pytest.mark.parametrize("fault", [None, Fault.expired, Fault.status(404)])
async def test_date(api, sandbox, fault):
    """The date of a response is that of the sandbox's clock, like the expiry of its links."""
    url = (await api.generate()).url
    sandbox.advance(1000)
    if fault is not None:
        sandbox.fail("images", fault=fault)

    response = await api.image(url)
    date = parsedate_to_datetime(response.headers["Date"]).timestamp()

    assert time.time() + 500 < date
