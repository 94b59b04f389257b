"""What editors show: pyright's language server for source files, jedi for live sessions such as notebooks."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import get_args

import jedi
import pytest
from support.installed import find
from support.languageserver import LanguageServer

from ideogram_async import ColorPalettePresetName, Generate, Ideogram, ModelStatus, RenderingSpeed, ResolutionV3
from ideogram_async.v2._values import PalettePreset

pytestmark = pytest.mark.programs

PROGRAM = """
from ideogram_async import Generate, Ideogram, v2

async def main(client: Ideogram) -> None:
    answer = await client.generate("a red fox")
    """


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LanguageServer]:
    """A language server."""
    find("node")
    with LanguageServer(tmp_path_factory.mktemp("program")) as server:
        yield server


@pytest.mark.parametrize("name", ["client.gene|rate", "Gene|rate", "client.legacy.gene|rate", "client.models.tr|ain"])
def test_hovering_shows_the_fields_and_their_documentation(server: LanguageServer, name: str) -> None:
    """Hovering over an operation shows its fields with their types, and the documentation of each."""
    text = server.hover(PROGRAM + name)

    assert "\n    num_images: int | None = None" in text or "\n    model_name: str" in text
    assert "num\\_images: Number of images, from 1 to 8" in text or "model\\_name: Name of the model" in text


@pytest.mark.parametrize("name", ["client.v2.generate|_46", "v2.Genera|te46"])
def test_hovering_over_the_second_contract_shows_the_fields(server: LanguageServer, name: str) -> None:
    """Hovering over an operation of the second contract shows its fields with their types."""
    text = server.hover(PROGRAM + name)

    assert "prompt: str | JsonPrompt" in text
    assert "\n    num_images: int | None = None" in text


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('client.generate("a fox", rendering_speed="|")', [*RenderingSpeed]),
        ('Generate("a fox", rendering_speed="|")', [*RenderingSpeed]),
        ('client.generate_transparent("a fox", rendering_speed="|")', ["TURBO", "DEFAULT", "QUALITY"]),
        ('client.generate("a fox", resolution="|")', [*ResolutionV3]),
        ('client.models.list(scope="|")', ["owned", "shared"]),
        ('client.generate("a fox", color_palette="|")', [*ColorPalettePresetName]),
        ('client.models.list(status=["|"])', [*ModelStatus]),
        ('client.v2.generate_46("a fox", quality="|")', ["very_low", "low", "medium", "high"]),
        ('v2.Generate4("a fox", rendering_speed="|")', ["turbo", "default", "quality"]),
        ('client.v2.generate_3("a fox", color_palette="|")', [*get_args(PalettePreset)]),
        ('client.v2.upscale_auto("fox.png", upscale_factor="|")', ["x2", "x4", "x8"]),
    ],
)
def test_values_are_completed_between_quotes(server: LanguageServer, expression: str, expected: list[str]) -> None:
    """Between the quotes of a field with a closed list, an editor offers its values."""
    assert expected == [label.strip('"') for label in server.completions(PROGRAM + expression)]


def test_names_of_fields_are_completed(server: LanguageServer) -> None:
    """Inside the parentheses of a call, an editor offers the fields; after an answer, what it has."""
    assert "rendering_speed=" in server.completions(PROGRAM + "client.generate('a fox', ren|)")
    assert {"data", "meta", "to_dict"} < {*server.completions(PROGRAM + "answer.|")}
    assert {"url", "seed", "is_image_safe"} < {*server.completions(PROGRAM + "answer[0].|")}


def test_a_call_shows_its_parameters(server: LanguageServer) -> None:
    """While a call is typed, an editor shows all fields, and the documentation of the one at the cursor."""
    parameters = server.signature(PROGRAM + "client.generate('a fox', num_images=|)")

    assert [*inspect.signature(Generate).parameters] == [each.split(":")[0] for each in parameters if each != "*"]
    assert parameters["num_images: int | None = None"].startswith("num_images: Number of images, from 1 to 8")


def test_a_live_session_shows_and_completes_fields() -> None:
    """In a live session, the method of a client and a request class show their fields and complete their names."""
    names = {"client": Ideogram("key"), "Generate": Generate}
    for call in ("client.generate(", "Generate("):
        session = jedi.Interpreter(call, [names])
        (signature,) = session.get_signatures()

        assert [*inspect.signature(Generate).parameters] == [each.name for each in signature.params]
        assert "num_images: Number of images, from 1 to 8" in signature.docstring()
        assert "rendering_speed: Literal['FLASH', 'TURBO', 'DEFAULT', 'QUALITY'] | " in signature.to_string()

    completions = jedi.Interpreter("client.generate('a fox', ren", [names]).complete()
    assert ["rendering_speed="] == [each.name_with_symbols for each in completions]
