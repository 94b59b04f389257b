"""What `help` and an editor show: words that are written once, on the request, and a signature that reads well."""

from __future__ import annotations

import inspect
import pydoc
from typing import Any

import pytest
from support.schemas import REQUESTS

from ideogram_async import Generate, Ideogram
from ideogram_async._operations import field_docs


@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
def test_a_request_names_the_page_of_its_rules(kind: type[Any]) -> None:
    """Each request links to the page on which the service states its rules."""
    assert "Source: https://developer.ideogram.ai/api-reference/" in (inspect.getdoc(kind) or "")


@pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)
def test_every_field_has_words(kind: type[Any]) -> None:
    """No field is left without its sentence."""
    assert [] == [name for name in inspect.signature(kind).parameters if not field_docs(kind).get(name)]


def test_what_is_asked_for_most_comes_first() -> None:
    """The signature begins with what every generation has, and ends with what few need."""
    names = list(inspect.signature(Generate).parameters)

    assert ["prompt", "seed", "num_images", "rendering_speed"] == names[:4]
    assert "custom_model_uri" == names[-1]


def test_a_signature_reads_as_in_the_source() -> None:
    """`help` shows types without quotes."""
    page = pydoc.plain(pydoc.render_doc(Ideogram("key").upscale))

    assert "seed: " in page
    assert "image: " in page
