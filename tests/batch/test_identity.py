"""Identity of a job: the same request is the same job in every run, regardless of the paths of its files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.pictures import picture

from ideogram_async import Edit, FromJob, Generate, Inpaint, InvalidRequestError, Remix, Unchecked
from ideogram_async._batch.identity import job_key
from ideogram_async._batch.inputs import InputStore, recorded_files
from ideogram_async._ledger.serialization import deserialize, fingerprint_of, serialize


@pytest.fixture
def inputs(tmp_path: Path) -> InputStore:
    return InputStore(tmp_path / "inputs")


def test_the_path_of_a_file_is_not_part_of_the_identity(inputs: InputStore, tmp_path: Path):
    """The same content at two paths, or as bytes, makes the same job."""
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(picture())

    sources = [tmp_path / "a.png", str(tmp_path / "b.png"), picture()]

    assert 1 == len({fingerprint_of(serialize(Remix(source, "a fox"), inputs)) for source in sources})


@pytest.mark.parametrize(
    "other",
    [
        Generate("a dog"),
        Generate("a fox", seed=0),
        Generate("a fox", num_images=2),
        Generate("a fox", color_palette="EMBER"),
        Generate("a fox", rendering_speed="TURBO"),
        Edit("a fox"),
    ],
)
def test_another_request_is_another_job(inputs: InputStore, other):
    """Every field that is sent is part of the identity, and so is the operation."""
    assert fingerprint_of(serialize(Generate("a fox"), inputs)) != fingerprint_of(serialize(other, inputs))


def test_changed_content_is_another_job(inputs: InputStore, tmp_path: Path):
    """A file that changed between two runs makes a new job."""
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    first = fingerprint_of(serialize(Remix(path, "a fox"), inputs))
    path.write_bytes(picture(size=(9, 9)))

    assert first != fingerprint_of(serialize(Remix(path, "a fox"), inputs))


def test_bytes_are_stored_once_and_privately(inputs: InputStore, tmp_path: Path):
    """Bytes are written to the folder once, under their hash, and only the owner can read them."""
    for _ in range(2):
        serialize(Inpaint(picture(), picture(), "a fox"), inputs)

    [copy] = (tmp_path / "inputs").iterdir()

    assert (picture(), 0o600) == (copy.read_bytes(), copy.stat().st_mode & 0o777)


def test_a_request_is_deserialized_as_it_was_serialized(inputs: InputStore):
    """The deserialized request sends the same fields."""
    request = Generate(
        "a fox",
        seed=0,
        negative_prompt="",
        color_palette=["#FF0000", ("#00FF00", 0.5)],
        rendering_speed=Unchecked("BALANCED"),
        style_reference_images=[("a.png", picture())],
    )
    restored = deserialize(serialize(request, inputs), inputs)

    assert isinstance(restored.rendering_speed, Unchecked)
    assert [] == restored.problems()
    assert fingerprint_of(serialize(request, inputs)) == fingerprint_of(serialize(restored, inputs))


@pytest.mark.parametrize(
    "original",
    [
        Generate("a fox", color_palette="EMBER"),
        Generate("a fox", color_palette=["#112233", ("#445566", 0.5)]),
        Generate("a fox", rendering_speed=Unchecked("BALANCED"), style_codes=["AAFF5733"]),
        Remix(FromJob("fox", 1), "a hen"),
    ],
    ids=["preset", "members", "unchecked", "earlier job"],
)
def test_a_stored_request_equals_the_original(inputs: InputStore, original):
    """Palettes, unchecked values and images of earlier jobs survive the journal."""
    assert original == deserialize(serialize(original, inputs), inputs)


def test_a_changed_input_is_refused(inputs: InputStore, tmp_path: Path):
    """The content decides, not the modification time. The error names the field, the file and the rule."""
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    request = Remix(path, "a fox")
    [file] = recorded_files(request, serialize(request, inputs))
    os.utime(path, (1, 1))
    file.verify()
    content = bytearray(picture())
    content[-1] ^= 1
    path.write_bytes(content)
    os.utime(path, (1, 1))
    with pytest.raises(InvalidRequestError, match=r"image: .*a\.png changed after the job was recorded"):
        file.verify()

    path.unlink()
    with pytest.raises(InvalidRequestError, match=r"image: .*a\.png cannot be read: No such file"):
        file.verify()


def test_keys_are_short_and_stable():
    """A key has 20 lowercase letters and digits. It depends on the id, or on content and occurrence."""
    keys = [
        job_key("f" * 64, id="fox", occurrence=0),
        job_key("0" * 64, id="fox", occurrence=3),
        job_key("f" * 64, id=None, occurrence=0),
        job_key("f" * 64, id=None, occurrence=1),
    ]

    assert keys[0] == keys[1]
    assert 3 == len(set(keys))
    assert all(len(key) == 20 and key.isalnum() and key == key.lower() for key in keys)
