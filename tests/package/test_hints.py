"""Type hints of the public names, as pydantic, beartype and Sphinx read them."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from importlib import import_module
from typing import Any, Literal, get_args, get_origin, get_type_hints

import attrs
import pytest
from support.schemas import ENUMS, REQUESTS

import ideogram_async
from ideogram_async import Unchecked, _literals
from ideogram_async.requests._palette import PaletteRule
from ideogram_async.requests._rules import Choice, Rule, Texts


def public_modules() -> Iterator[str]:
    """List the modules that users import."""
    yield "ideogram_async"
    for module in pkgutil.walk_packages(ideogram_async.__path__, "ideogram_async."):
        parts = module.name.split(".")
        if not any(part.startswith("_") for part in parts) and "cli" not in parts:
            yield module.name


def public_objects() -> dict[str, Any]:
    """Return the public classes and functions by their full names."""
    objects = [
        getattr(module, name)
        for module in map(import_module, public_modules())
        for name in getattr(module, "__all__", ())
    ]
    return {
        f"{value.__module__}.{value.__qualname__}": value
        for value in objects
        if inspect.isclass(value) or inspect.isfunction(value)
    }


def functions_of(kind: type) -> Iterator[Any]:
    """List the initializer, the public methods and the properties of a class."""
    for name, member in inspect.getmembers_static(kind):
        if name.startswith("_") and name != "__init__":
            continue

        match member:
            case property():
                yield member.fget
            case classmethod() | staticmethod():
                yield member.__func__
            case _ if inspect.isfunction(member) and member.__module__.startswith("ideogram_async"):
                yield member


OBJECTS = public_objects()


def literals_of(hint: object) -> set[str]:
    """List the values of the literal types in a hint, at any depth."""
    parts = get_args(hint)
    return {*parts} if get_origin(hint) is Literal else {text for part in parts for text in literals_of(part)}


def choice_of(rule: Rule[Any]) -> Choice | None:
    """Return the closed list of a field's rule, if it has one."""
    match rule:
        case Choice():
            return rule
        case Texts():
            return choice_of(rule.each)
        case PaletteRule():
            return Choice(ideogram_async.ColorPalettePresetName)
        case _:
            return None


CHOICES = {
    f"{request}.{field.name}": (kind, field.name, choice)
    for request, kind in REQUESTS.items()
    for field in attrs.fields(kind)
    if (choice := choice_of(field.metadata["rule"]))
}


@pytest.mark.parametrize("name", OBJECTS)
def test_hints_can_be_evaluated(name: str) -> None:
    """`get_type_hints` works on a public function, and on a public class, its initializer, methods and properties."""
    value = OBJECTS[name]
    get_type_hints(value)
    for function in functions_of(value) if inspect.isclass(value) else ():
        get_type_hints(function)


def test_a_hint_of_the_client_is_the_type() -> None:
    """Hints are the types themselves, also of what loads at first use."""
    hints = get_type_hints(ideogram_async.Ideogram.generate)

    assert {*get_args(_literals.RenderingSpeedLiteral)} == literals_of(hints["rendering_speed"])
    assert {ideogram_async.RenderingSpeed, Unchecked, type(None)} < {*get_args(hints["rendering_speed"])}
    assert ideogram_async.ImageGenerationResponseV3 is hints["return"]
    assert ideogram_async.Batch is get_type_hints(ideogram_async.Ideogram.batch)["return"]
    assert len(OBJECTS) > 130


@pytest.mark.parametrize("name", [name for name in vars(_literals) if name.endswith("Literal") and name != "Literal"])
def test_a_literal_type_has_the_values_of_its_enum(name: str) -> None:
    """Each literal type lists the values of the enum of its name, in the same order."""
    enum = ENUMS[name.removesuffix("Literal")]

    assert [str(member) for member in enum] == [*get_args(getattr(_literals, name))]


@pytest.mark.parametrize("name", CHOICES)
def test_editors_complete_the_values_of_a_field(name: str) -> None:
    """The type of a field with a closed list has the values that its rule accepts as literals, and its enum."""
    kind, field, choice = CHOICES[name]
    hint = get_type_hints(kind.__init__)[field]
    accepted = {str(member) for member in choice.enum} - {*choice.excluded}

    assert accepted == literals_of(hint)
    assert choice.enum.__name__ in str(hint)
