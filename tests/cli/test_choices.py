"""Values of closed lists: in the help, in refusals, and in the command `values`."""

from __future__ import annotations

import pytest
from support.commands import CommandLine, Invoke

from ideogram_async._rows.fields import fields_of
from ideogram_async.cli.catalog import closed_list, commands, value_lists
from ideogram_async.enums import StylePresetV3


def test_every_closed_list_has_a_name() -> None:
    """Each list that an option accepts can be printed."""
    fields = [field for command in commands() for field in fields_of(command.request).values()]
    enums = {enum for field in fields if (enum := closed_list(field)[0]) is not None}

    assert enums == set(value_lists().values())
    assert {"style-preset", "resolution", "legacy-resolution", "model", "color-palette"} < set(value_lists())


@pytest.mark.parametrize("name", ["style-preset", "--style-preset", "STYLE_PRESET"])
def test_values_are_printed_one_a_line(invoke: Invoke, name: str) -> None:
    """`values style-preset` prints all presets; the spellings of options and of jobs files name the same list."""
    completed = invoke("values", "--", name)

    assert (0, "") == (completed.code, completed.err)
    assert list(StylePresetV3) == completed.out.splitlines()


def test_values_as_json(invoke: Invoke) -> None:
    """`--json` prints an object with the names of the lists, or the values of one."""
    names, values = invoke("values", "--json").events[0], invoke("values", "scope", "--json").events[0]

    assert list(value_lists()) == names["names"]
    assert {"name": "scope", "values": ["owned", "shared"]} == values


@pytest.mark.parametrize(
    ("name", "advice"),
    [("style-presets", "Did you mean 'style-preset'?"), ("x", "To list them: ideogram-async values")],
)
def test_an_unknown_list(invoke: Invoke, name: str, advice: str) -> None:
    """A name that is not a list is refused with the closest one."""
    completed = invoke("values", name)

    assert (2, "") == (completed.code, completed.out)
    assert f"✗ {name!r} is not a list of values.\n  Nothing was billed. {advice}\n" == completed.err


def test_help_lists_values(invoke: Invoke) -> None:
    """The help of an option contains a short list of values, or the command that prints a long one."""
    generate = " ".join(invoke("generate", "--help").out.replace("│", "").split())
    legacy = " ".join(invoke("legacy-edit", "--help").out.replace("│", "").split())

    assert "FLASH, TURBO, DEFAULT or QUALITY" in generate
    assert "See: ideogram-async values style-preset" in generate
    assert "See: ideogram-async values resolution" in generate
    assert "See: ideogram-async values rendering-speed" not in generate
    assert "V_2 or V_2_TURBO" in legacy
    assert "V_2A" not in legacy


def test_a_refusal_names_the_command_that_lists_the_values(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that is not in a long list is refused with the closest one, and without the name of a class."""
    monkeypatch.setenv("IDEOGRAM_API_KEY", "sandbox")
    err = invoke("generate", "a fox", "--style-preset", "watercolr").err

    lists = "the values that `ideogram-async values style-preset` lists"
    assert f"'watercolr' is not one of {lists}; did you mean 'WATERCOLOR'" in err
    assert "StylePresetV3" not in err


def test_values_keep_their_freedom(cli: CommandLine) -> None:
    """Options of closed lists accept any case; a palette also accepts colors."""
    options = ("--rendering-speed", "turbo", "--color-palette", "#112233:0.5", "--color-palette", "#445566")

    assert 0 == cli("generate", "a fox", *options).code
