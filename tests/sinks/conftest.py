"""Fixtures of the tests of sinks: object stores, and small pictures."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest
from support.objectstores import azurite, moto, new_bucket, new_container
from support.pictures import picture

from ideogram_async.sandbox import images as origin

_numbers = count()


@pytest.fixture(autouse=True)
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures of a few pixels that differ by their seed."""

    def draw(recipe: Any, image_format: str) -> bytes:
        return picture(image_format, size=(64 + recipe.seed % 64, 48))

    monkeypatch.setattr(origin, "draw", draw)


@pytest.fixture(scope="session")
def moto_url() -> Iterator[str]:
    """The URL of moto's server."""
    with moto() as url:
        yield url


@pytest.fixture(scope="session")
def azurite_url() -> Iterator[str]:
    """The URL of an account of Azurite."""
    with azurite() as url:
        yield url


@pytest.fixture(params=["moto", "azurite"])
def store(request: pytest.FixtureRequest) -> Any:
    """An empty bucket or container."""
    url = request.getfixturevalue(f"{request.param}_url")
    create = new_bucket if request.param == "moto" else new_container
    return create(url, f"images-{next(_numbers)}")


@pytest.fixture
def bucket(moto_url: str) -> Any:
    """An empty bucket."""
    return new_bucket(moto_url, f"images-{next(_numbers)}")
