"""Operations: coroutine functions with the name, the signature and the docstring of their request class."""

from __future__ import annotations

import inspect
from typing import Any
from unittest.mock import AsyncMock, create_autospec

import pytest
from starlette.background import BackgroundTasks

from ideogram_async import Generate, Ideogram, ImageGenerationResponseV3, Remix
from ideogram_async._namespaces import Legacy
from ideogram_async._operations import operations_of
from ideogram_async.sandbox import Sandbox

OPERATIONS = [getattr(owner, name) for owner in (Ideogram, Legacy) for name in operations_of(owner)]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__qualname__)
def test_an_operation_is_a_coroutine_function(operation: Any) -> None:
    """`inspect` and all that builds on it see a coroutine function, on the class and on a client."""
    assert inspect.iscoroutinefunction(operation)
    assert inspect.iscoroutinefunction(Ideogram("key").generate)
    assert inspect.iscoroutinefunction(Ideogram("key").legacy.generate)


async def test_a_background_task_runs_an_operation() -> None:
    """Starlette awaits an operation; it would run a plain function in a thread and drop its coroutine."""
    async with Sandbox() as sandbox, Ideogram("key", base_url=sandbox.url) as client:
        tasks = BackgroundTasks()
        tasks.add_task(client.generate, "a red fox", num_images=2)
        await tasks()

        assert 2 == sandbox.ledger.billed_images


async def test_a_mock_has_the_signatures() -> None:
    """`create_autospec` returns a client whose operations are awaited, and refuse unknown fields."""
    client = create_autospec(Ideogram, instance=True)
    client.generate.return_value = "an answer"

    assert "an answer" == await client.generate("a red fox", num_images=2)
    assert isinstance(client.remix, AsyncMock)
    with pytest.raises(TypeError, match="num_image"):
        await client.generate("a red fox", num_image=2)


def test_an_operation_has_the_signature_of_its_request() -> None:
    """Completion and `help` show the fields of the request class and the type of its answer."""
    signature = inspect.signature(Ideogram("key").remix)

    assert list(inspect.signature(Remix).parameters) == list(signature.parameters)
    assert ImageGenerationResponseV3 is signature.return_annotation
    assert ("remix", "Ideogram.remix") == (Ideogram.remix.__name__, Ideogram.remix.__qualname__)
    assert ["self", *signature.parameters] == list(inspect.signature(Ideogram.remix).parameters)


def test_an_operation_has_the_docstring_of_its_request() -> None:
    """`help` shows the docstring of the request class, what is raised, and the effect of a cancellation."""
    doc = inspect.getdoc(Ideogram.generate) or ""

    assert doc.startswith(inspect.getdoc(Generate) or "-")
    assert "Returns `ImageGenerationResponseV3`" in doc
    assert "A cancellation ends the wait at once" in doc
    assert "Costs nothing" in (inspect.getdoc(Ideogram.models.get) or "")


def test_a_namespace_is_a_class_on_the_class() -> None:
    """`Ideogram.legacy` is the class of the namespace, and `client.legacy` an instance of it."""
    assert Legacy is Ideogram.legacy
    assert isinstance(Ideogram("key").legacy, Legacy)
    assert inspect.iscoroutinefunction(Ideogram.legacy.generate)
