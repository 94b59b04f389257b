"""Templates of file names."""

from __future__ import annotations

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


@pytest.mark.parametrize("names", ["{nothing}", "{seed:d}", "{}", "{id.real}"])
def test_an_invalid_template_is_refused_at_once(names: str, tmp_path: Path):
    """It is refused before anything is sent."""
    with pytest.raises(ValueError, match=r"."):
        Ideogram("key").batch([], tmp_path, names=names)
