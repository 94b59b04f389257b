"""Templates of file names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.batches import collect

from ideogram_async import (
    Generate,
    Ideogram,
    Job,
)


async def test_files_are_named_by_the_template(client: Ideogram, tmp_path: Path):
    """The key is added where the template alone is not unique."""
    [result] = await collect(client, [Job(Generate("A Fox!", seed=7), id="Fox")], tmp_path, names="{prompt}-{seed}")

    assert [f"a-fox--7-{result.key[:8]}-0.png"] == [path.name for path in tmp_path.glob("*.png")]


@pytest.mark.parametrize("names", ["{nothing}", "{seed:d}", "{}", "{id.real}", "{id!x}", "{id"])
def test_an_invalid_template_is_refused_at_once(names: str, tmp_path: Path):
    """It is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"."):
        Ideogram("key").batch([], tmp_path, names=names)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("{id:>99999999999}", "the format of {id} is wider than 1000 characters: '>99999999999'"),
        ("{id!r:1001}", "the format of {id} is wider than 1000 characters"),
        ("{number:.9999999999f}", "the format of {number} is wider"),
        ("{id:" + "9" * 5000 + "}", "the format of {id} is wider"),
        ("{id:{number}}", "the format of {id} contains another placeholder: '{number}'"),
    ],
    ids=["width", "conversion", "precision", "digits", "nested"],
)
def test_a_format_that_could_fill_the_memory_is_refused(names: str, reason: str, tmp_path: Path):
    """It is refused before it is used, and a width of 1,000 characters is not."""
    with pytest.raises(ValueError, match=re.escape(reason)):
        Ideogram("key").batch([], tmp_path, names=names)

    Ideogram("key").batch([], tmp_path, names="{id:>1000}-{index:03}")
