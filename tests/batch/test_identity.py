"""Who a job is: the same wish is the same job, in every run, wherever its files lie."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.pictures import picture

from ideogram_async import Edit, Generate, Inpaint, InvalidRequestError, Remix, Unchecked
from ideogram_async._batch.identity import deserialize, fingerprint_of, job_key, serialize
from ideogram_async._batch.inputs import InputStore
from ideogram_async.files import ImageFile


@pytest.fixture
def inputs(tmp_path: Path) -> InputStore:
    return InputStore(tmp_path / "inputs")


def test_the_place_of_a_file_says_nothing(inputs: InputStore, tmp_path: Path):
    """The same bytes by two paths, or given directly, make the same job."""
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
def test_another_wish_is_another_job(inputs: InputStore, other):
    """Any field that is sent tells two jobs apart, and so does the operation."""
    assert fingerprint_of(serialize(Generate("a fox"), inputs)) != fingerprint_of(serialize(other, inputs))


def test_changed_bytes_are_another_job(inputs: InputStore, tmp_path: Path):
    """A file that was changed between two runs makes a new job."""
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    first = fingerprint_of(serialize(Remix(path, "a fox"), inputs))
    path.write_bytes(picture(size=(9, 9)))

    assert first != fingerprint_of(serialize(Remix(path, "a fox"), inputs))


def test_bytes_are_kept_once_and_privately(inputs: InputStore, tmp_path: Path):
    """What is given as bytes is copied to the folder under its hash, once, for its owner alone."""
    for _ in range(2):
        serialize(Inpaint(picture(), picture(), "a fox"), inputs)

    [copy] = (tmp_path / "inputs").iterdir()

    assert (picture(), 0o600) == (copy.read_bytes(), copy.stat().st_mode & 0o777)


def test_a_job_is_read_as_it_was_written(inputs: InputStore):
    """A request that was written down sends the same when it is read again."""
    request = Generate(
        "a fox",
        seed=0,
        negative_prompt="",
        color_palette=["#FF0000", ("#00FF00", 0.5)],
        rendering_speed=Unchecked("BALANCED"),
        style_reference_images=[("a.png", picture())],
    )
    again = deserialize(serialize(request, inputs), inputs)

    assert isinstance(again.rendering_speed, Unchecked)
    assert [] == again.problems()
    assert fingerprint_of(serialize(request, inputs)) == fingerprint_of(serialize(again, inputs))


def test_a_changed_input_is_noticed(inputs: InputStore, tmp_path: Path):
    """Before a noted job is sent, a path that no longer holds what it held is refused by name; a touched one is not."""
    path = tmp_path / "a.png"
    path.write_bytes(picture())
    told = inputs.describe(ImageFile(path))
    os.utime(path, (1, 1))
    inputs.verify(told)
    path.write_bytes(picture(size=(9, 9)))
    with pytest.raises(InvalidRequestError, match=r"a\.png: changed"):
        inputs.verify(told)

    path.unlink()
    with pytest.raises(InvalidRequestError, match="No such file"):
        inputs.verify(told)


def test_keys_are_short_and_steady():
    """A key is 20 small letters and digits; the user's id decides it, or the content and how often it came."""
    keys = [
        job_key("f" * 64, id="fox", occurrence=0),
        job_key("0" * 64, id="fox", occurrence=3),
        job_key("f" * 64, id=None, occurrence=0),
        job_key("f" * 64, id=None, occurrence=1),
    ]

    assert keys[0] == keys[1]
    assert 3 == len(set(keys))
    assert all(len(key) == 20 and key.isalnum() and key == key.lower() for key in keys)
