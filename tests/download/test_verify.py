"""Structure of images: complete or damaged."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from io import BytesIO

import pytest
from PIL import Image
from support.origin import chunk, picture, png

from ideogram_async._download.verify import ImageVerifier
from ideogram_async._formats import JPEG, PNG, WEBP
from ideogram_async.errors import DownloadError, ImageTooLargeError, NotAnImageError, TruncatedImageError


def animated_webp() -> bytes:
    """Return a WebP file with the extended header."""
    frames = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    file = BytesIO()
    frames[0].save(file, "WEBP", save_all=True, append_images=frames[1:])
    return file.getvalue()


def jpeg_with_thumbnail() -> bytes:
    """Return a JPEG with another complete JPEG in its APP1 segment."""
    inside = b"Exif\0\0" + picture("JPEG", side=16)
    whole = picture("JPEG")
    return whole[:2] + b"\xff\xe1" + (len(inside) + 2).to_bytes(2, "big") + inside + whole[2:]


IMAGES = {
    "png": picture("PNG"),
    "jpeg": picture("JPEG"),
    "jpeg progressive": picture("JPEG", progressive=True),
    "jpeg restarts": picture("JPEG", restart_marker_blocks=2),
    "jpeg thumbnail": jpeg_with_thumbnail(),
    "webp lossy": picture("WEBP"),
    "webp lossless": picture("WEBP", lossless=True),
    "webp extended": animated_webp(),
}
every_image = pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())


def check(image: bytes, *, step: int = 4096) -> ImageVerifier:
    """Verify an image in chunks."""
    verifier = ImageVerifier(LINK)
    for start in range(0, len(image), step):
        verifier.feed(image[start : start + step])

    verifier.finish()
    return verifier


@every_image
@pytest.mark.parametrize("step", [1, 7, 65536])
def test_complete(image: bytes, step: int) -> None:
    """A complete image is accepted in chunks of any size."""
    assert check(image, step=step).format in (PNG, JPEG, WEBP)


@every_image
def test_trailing_bytes(image: bytes) -> None:
    """Bytes after the end of the image are ignored."""
    assert check(image + b"trailing" * 2000).format is not None


@every_image
def test_truncations(image: bytes) -> None:
    """300 random truncations are all detected."""
    lengths = random.Random(13).choices(range(1, len(image)), k=300)
    missed = []
    for length in lengths:
        try:
            check(image[:length])
        except TruncatedImageError:
            continue
        missed.append(length)

    assert [] == missed


def test_png_bit_flips() -> None:
    """300 flipped bits in a PNG are all detected."""
    image, chance = IMAGES["png"], random.Random(13)
    missed = []
    for _ in range(300):
        flipped = bytearray(image)
        flipped[chance.randrange(len(image))] ^= 1 << chance.randrange(8)
        try:
            check(bytes(flipped))
        except DownloadError:
            continue
        missed.append(flipped)

    assert [] == missed


@pytest.mark.parametrize(
    "body",
    [b"", b"x", b"<!doctype html><title>Sign in</title>", b'{"error": "x"}', b"GIF89a" + bytes(20), b"RIFFxxxxWAVE"],
)
def test_not_an_image(body: bytes) -> None:
    """Data that does not begin like an image, or is empty, raises `NotAnImageError`."""
    with pytest.raises(NotAnImageError):
        check(body)


@pytest.mark.parametrize("body", [b"\x89PNG", b"\xff", b"\xff\xd8\xff", b"RIF", b"RIFF\x10\0\0", b"RIFF\x10\0\0\0WE"])
def test_truncated_head(body: bytes) -> None:
    """Data that is too short to detect the format, but begins like an image, is truncated."""
    with pytest.raises(TruncatedImageError):
        check(body)


HUGE = {
    "png": png(20_000, 20_000),
    "jpeg": b"\xff\xd8\xff\xc0\0\x11\x08\xff\xff\xff\xff\x03" + bytes(20),
    "webp": b"RIFF" + (60).to_bytes(4, "little") + b"WEBPVP8X" + bytes(8) + b"\xff\xff\0\xff\xff\0" + bytes(40),
}


@pytest.mark.parametrize("image", HUGE.values(), ids=HUGE.keys())
def test_too_many_pixels(image: bytes) -> None:
    """An image of more than 100 million pixels is refused after its header."""
    with pytest.raises(ImageTooLargeError, match="pixels"):
        check(image[:64])


def test_pixel_limit() -> None:
    """Exactly 100 million pixels are allowed."""
    assert check(png(10_000, 10_000)).format is PNG


LINK = "https://h/x"
SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_HEAD = b"\xff\xd8\xff\xe0\0\x04xx"
JPEG_FRAME = b"\xff\xc0\0\x0b\x08\0\x08\0\x08\x01\x01\x11\0"
JPEG_SCAN = b"\xff\xda\0\x08\x01\x01\0\0?\0"
EXTENDED = b"VP8X\x0a\0\0\0" + bytes(10)
LOSSY_PICTURE = picture("WEBP")[20:]


def without_data(data: bytes, *, size: tuple[int, int] = (8, 8)) -> bytes:
    """Return a PNG with other image data."""
    return png(*size)[:33] + data + png()[-12:]


def webp_chunk(kind: bytes, data: bytes, *, length: int | None = None) -> bytes:
    """Return a chunk of a WebP file, padded; `length` replaces its own."""
    return kind + (len(data) if length is None else length).to_bytes(4, "little") + data + bytes(len(data) & 1)


def riff(*chunks: bytes) -> bytes:
    """Return a WebP file."""
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + len(body).to_bytes(4, "little") + body


DAMAGED = {
    "png begins without a header": SIGNATURE + chunk(b"IDAT", b"x" * 40),
    "png of no size": png(0, 5),
    "png of too many chunks": png(blocks=100_001),
    "jpeg of too many segments": b"\xff\xd8" + b"\xff\xe0\0\x02" * 100_001 + b"\xff\xd9",
    "png with a wrong checksum": png()[:-1] + b"x",
    "jpeg without a picture": JPEG_HEAD + b"\xff\xd9" + bytes(20),
    "jpeg without a frame": JPEG_HEAD + JPEG_SCAN + b"pixels\xff\xd9",
    "jpeg with an empty scan": JPEG_HEAD + JPEG_FRAME + JPEG_SCAN + b"\xff\xd9",
    "png without image data": without_data(b""),
    "png with empty image data": without_data(chunk(b"IDAT", b"") * 3),
    "png with too little image data": without_data(chunk(b"IDAT", zlib.compress(b"")), size=(1024, 1024)),
    "png with image data that is not compressed": without_data(chunk(b"IDAT", b"pixels" * 40)),
    "webp without a picture": riff(EXTENDED, webp_chunk(b"EXIF", b"no picture")),
    "webp with an animation of no pictures": riff(EXTENDED, webp_chunk(b"ANMF", bytes(16))),
    "webp with a short animation frame": riff(EXTENDED, webp_chunk(b"ANMF", bytes(8))),
    "webp with an empty picture": riff(EXTENDED, webp_chunk(b"VP8 ", b"")),
    "webp with an empty lossless picture": riff(EXTENDED, webp_chunk(b"VP8L", b"")),
    "webp with a picture of zeros": riff(EXTENDED, webp_chunk(b"VP8 ", bytes(40))),
    "webp with a first part longer than its picture": riff(webp_chunk(b"VP8 ", LOSSY_PICTURE[:200])),
    "webp with a chunk longer than the file": riff(EXTENDED, webp_chunk(b"EXIF", b"x", length=99)),
    "webp with a picture longer than the file": riff(webp_chunk(b"VP8 ", LOSSY_PICTURE, length=len(LOSSY_PICTURE) + 9)),
    "webp with a picture longer than its frame": riff(
        EXTENDED, webp_chunk(b"ANMF", bytes(16) + webp_chunk(b"VP8 ", LOSSY_PICTURE, length=len(LOSSY_PICTURE) + 9))
    ),
    "webp of too many chunks": riff(EXTENDED, webp_chunk(b"XXXX", b"") * 100_001),
    "jpeg that begins twice": JPEG_HEAD + b"\xff\xd8\xff\xd9",
    "jpeg with a short length": JPEG_HEAD + b"\xff\xe1\x00\x01xx",
    "jpeg with a short frame": JPEG_HEAD + b"\xff\xc0\x00\x04xx",
    "jpeg of no size": JPEG_HEAD + b"\xff\xc0\x00\x0b\x08" + bytes(20),
    "webp of an unknown kind": b"RIFF\x40\0\0\0WEBPXXXX" + bytes(60),
    "webp shorter than its header": b"RIFF\x04\0\0\0WEBPVP8L" + bytes(60),
}


@pytest.mark.parametrize("image", DAMAGED.values(), ids=DAMAGED.keys())
def test_damaged(image: bytes) -> None:
    """An image that contradicts itself is damaged."""
    with pytest.raises(TruncatedImageError, match="damaged"):
        check(image)


TOLERATED = {
    "jpeg with padding": b"\xff\xff\xff\x01",
    "jpeg with a stuffed zero": b"\xff\xe1\0\x04xx\xff\0",
    "jpeg with stray bytes": b"\xff\xe1\0\x04xxstray \xff\xff\0bytes",
}


@pytest.mark.parametrize("inserted", TOLERATED.values(), ids=TOLERATED.keys())
def test_stray_bytes(inserted: bytes) -> None:
    """Padding, markers without a length and stray bytes between the segments of a JPEG are valid for decoders."""
    whole = picture("JPEG")

    assert check(whole[:2] + inserted + whole[2:], step=3).format is JPEG


SOUND = {
    "webp without padding at its end": riff(EXTENDED, webp_chunk(b"VP8 ", LOSSY_PICTURE + b"x")[:-1]),
    "webp with unknown chunks": riff(webp_chunk(b"VP8 ", LOSSY_PICTURE), webp_chunk(b"XXXX", b"odd"), b"rest"),
    "png with empty chunks of image data": without_data(chunk(b"IDAT", b"") + png()[33:-12] + chunk(b"IDAT", b"")),
    "png with one byte a chunk": without_data(b"".join(chunk(b"IDAT", bytes([b])) for b in zlib.compress(bytes(200)))),
}


@pytest.mark.parametrize("step", [1, 65536])
@pytest.mark.parametrize("image", SOUND.values(), ids=SOUND.keys())
def test_unusual(image: bytes, step: int) -> None:
    """An unusual structure that decoders accept is accepted."""
    assert check(image, step=step).format in (PNG, WEBP)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_blank_png(mode: str) -> None:
    """The smallest image data of a large image, all of one color, is enough."""
    file = BytesIO()
    Image.new(mode, (2000, 2000)).save(file, "PNG", optimize=True)

    assert check(file.getvalue()).format is PNG


def test_nothing_fed() -> None:
    """An empty chunk changes nothing."""
    verifier = ImageVerifier(LINK)
    verifier.feed(b"")

    assert verifier.format is None


def test_link_in_errors() -> None:
    """An error contains the link."""
    with pytest.raises(NotAnImageError, match="https://h/x") as caught:
        ImageVerifier("https://h/x").feed(b"<html></html>")

    assert "https://h/x" == caught.value.url


def test_constant_memory() -> None:
    """Fifty megabytes are verified with less than one megabyte of memory."""
    blocks = chunk(b"IDAT", bytes(1 << 20))
    verifier = ImageVerifier(LINK)
    tracemalloc.start()
    verifier.feed(png()[:-12])
    view = memoryview(blocks)
    for _ in range(50):
        for start in range(0, len(blocks), 65536):
            verifier.feed(bytes(view[start : start + 65536]))

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert peak < 1 << 20
