"""Documentation of the operations, as `help` and editors show it."""

from __future__ import annotations

import ast
import inspect
import pydoc
from itertools import pairwise
from typing import Any

import pytest
from support.schemas import REQUESTS

from ideogram_async import Generate, Ideogram, Upscale
from ideogram_async._namespaces import Datasets, Legacy, Models
from ideogram_async._operations import field_docs, operations_of, summary_of

OWNERS = (Ideogram, Legacy, Datasets, Models)
every_request = pytest.mark.parametrize("kind", REQUESTS.values(), ids=REQUESTS)


def attribute_docs(kind: type) -> dict[str, str]:
    """Read the docstring below each field of a class and of its bases, which Python itself does not keep."""
    docs: dict[str, str] = {}
    for base in reversed([base for base in kind.__mro__ if base.__module__.startswith("ideogram_async.")]):
        body = next(node.body for node in ast.parse(inspect.getsource(base)).body if isinstance(node, ast.ClassDef))
        for field, doc in pairwise(body):
            match field, doc:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    docs[name] = " ".join(text.split())

    return docs


@every_request
def test_a_request_names_the_page_of_its_rules(kind: type[Any]) -> None:
    """Each request links to the page on which the service states its rules."""
    assert "Source: https://developer.ideogram.ai/api-reference/" in (inspect.getdoc(kind) or "")


@every_request
def test_a_request_documents_its_fields(kind: type[Any]) -> None:
    """The docstring of a request lists all its fields in the order of the signature, as their own docstrings do."""
    docs = attribute_docs(kind)
    expected = [(name, docs[name]) for name in inspect.signature(kind).parameters]

    assert expected == list(field_docs(kind).items())


def test_a_summary_leaves_the_fields_out() -> None:
    """The command line shows fields as options, and the rest of the docstring."""
    summary = summary_of(Upscale)

    assert summary.startswith("Enlarge an image")
    assert "\n\nSource: https://developer.ideogram.ai" in summary
    assert [] == [name for name in ("Args:", *field_docs(Upscale)) if f"{name}: " in summary]


def test_common_fields_come_first() -> None:
    """The signature begins with the fields of every generation, and ends with the rare ones."""
    names = list(inspect.signature(Generate).parameters)

    assert ["prompt", "seed", "num_images", "rendering_speed"] == names[:4]
    assert "custom_model_uri" == names[-1]


def test_a_signature_reads_as_in_the_source() -> None:
    """`help` shows short types without quotes, and the fields with their documentation."""
    page = pydoc.plain(pydoc.render_doc(Ideogram("key").upscale))
    second = pydoc.plain(pydoc.render_doc(Ideogram("key").v2.remix_4))

    assert "seed: int | None = None" in page
    assert "image: ImageSource" in page
    assert "image: ImageSource | AssetIdentifier" in second
    assert "magic_prompt_option: Literal['AUTO', 'ON', 'OFF'] | MagicPromptOption | Unchecked | None = None" in page
    assert "num_images: Number of images, from 1 to 8" in page


@every_request
def test_a_request_has_the_signature_of_its_method(kind: type[Any]) -> None:
    """`help` and live sessions show a request class as they show its method, and only a few values of a long list."""
    methods = {request: getattr(owner, name) for owner in OWNERS for name, request in operations_of(owner).items()}
    _, *parameters = inspect.signature(methods[kind]).parameters.values()

    assert parameters == [*inspect.signature(kind).parameters.values()]
    assert max(len(str(parameter)) for parameter in parameters or [""]) < 250
