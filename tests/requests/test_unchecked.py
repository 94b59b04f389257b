"""`Unchecked` values: accepted in every field with a closed list or a pattern, and kept on every way of a request."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from support.schemas import REQUESTS
from support.variants import Stage, variant

from ideogram_async import ColorPaletteMember, Ideogram, Unchecked
from ideogram_async._batch.inputs import InputStore
from ideogram_async._ledger.serialization import deserialize, fingerprint_of, serialize
from ideogram_async._rows.values import parse_json, parse_text
from ideogram_async._wire.encode import encode
from ideogram_async.requests import Edit, Generate, GetDataset, LegacyGenerate
from ideogram_async.requests._palette import Palette, PaletteRule
from ideogram_async.requests._rules import Choice, Text, Texts

NEW = Unchecked("NEW-42")


def forms(rule: Any) -> list[Any]:
    """Return the values with `NEW` that a field takes, none if its rule allows every value anyway."""
    match rule:
        case PaletteRule():
            return [NEW, [NEW, "#fff"], (NEW, 0.5), [ColorPaletteMember(NEW)]]
        case Texts():
            return [[NEW], [NEW, NEW]]
        case Choice():
            return [NEW]
        case Text() if rule.pattern and not isinstance(rule, ID_RULE):
            return [NEW]
        case _:
            return []


ID_RULE = type(attrs.fields(GetDataset).dataset_id.metadata["rule"])
CASES = {
    name: [(field, value) for field in attrs.fields(kind) for value in forms(field.metadata["rule"])]
    for name, kind in REQUESTS.items()
}
every_request = pytest.mark.parametrize("name", [name for name, cases in CASES.items() if cases])


def request_with(folder: Path, name: str, field: str, value: Any) -> Any:
    """Return a request with its required fields and one more."""
    request, _ = variant(REQUESTS[name], "required", Stage(folder, "d", "m", "", "https://ideogram.ai/x"))
    changes = {field: value} | ({"images": None} if field == "image_urls" else {})
    return attrs.evolve(request, **changes)


def unchecked_in(value: Any) -> Iterator[str]:
    """Yield all `Unchecked` values in a field's value."""
    match value:
        case Unchecked():
            yield value
        case Palette():
            yield from unchecked_in((value.name, *(member.color_hex for member in value.members)))
        case tuple():
            for item in value:
                yield from unchecked_in(item)


@every_request
def test_accepted_and_sent(name: str, tmp_path: Path) -> None:
    """In each field the value is valid, has a price or none, and is sent as it is."""
    for field, value in CASES[name]:
        request = request_with(tmp_path, name, field.name, value)
        call = encode(request)
        price = Ideogram("key").estimate(request).usd

        assert [] == request.problems()
        assert price is None or request.endpoint.charged or request.endpoint.method == "GET"
        assert "NEW-42" in f"{call.form} {call.json!r} {call.params}"


@every_request
def test_kept_by_journal_and_pickle(name: str, tmp_path: Path) -> None:
    """The value is still unchecked when a batch resumes, or another process takes the request."""
    inputs = InputStore(tmp_path / "inputs")
    for field, value in CASES[name]:
        request = request_with(tmp_path, name, field.name, value)
        serialized = serialize(request, inputs)
        again = deserialize(serialized, inputs)
        copies = (request, again, pickle.loads(pickle.dumps(request)))
        counts = [len([*unchecked_in(getattr(copy, field.name))]) for copy in copies]

        assert [] == again.problems()
        assert counts[0] > 0
        assert [counts[0]] * 3 == counts
        assert serialized == serialize(again, inputs)


@every_request
def test_command_line(name: str) -> None:
    """`unchecked:` makes a value of an option, a cell or a JSON line unchecked."""
    for field in {field.name: field for field, _ in CASES[name] if field.name != "image_urls"}.values():
        text = ["unchecked:NEW-42"] if isinstance(field.metadata["rule"], Texts) else "unchecked:NEW-42"
        values = [parse_text(field, "unchecked:NEW-42", Path()), parse_json(field, text, Path())]

        assert [NEW, NEW] == [item[0] if isinstance(item, list) else item for item in values]
        assert {Unchecked} == {type(item[0] if isinstance(item, list) else item) for item in values}


def test_prompt_of_that_name() -> None:
    """Text that may be anything is never unchecked."""
    prompt = parse_text(attrs.fields(Generate).prompt, "unchecked:NEW-42", Path())

    assert ("unchecked:NEW-42", str) == (prompt, type(prompt))


def test_identity_of_a_palette(tmp_path: Path) -> None:
    """A palette is the same content with and without a check, and another palette is not."""
    palettes = ["NEON", Unchecked("NEON"), ["#fff"], [Unchecked("#fff")], ["#000"]]
    inputs = InputStore(tmp_path)
    prints = [fingerprint_of(serialize(Generate("x", color_palette=palette), inputs)) for palette in palettes]

    assert prints[0] == prints[1] != prints[2] == prints[3] != prints[4]


@pytest.mark.parametrize(
    "request_",
    [
        Generate("x", style_codes=[NEW], rendering_speed=NEW, magic_prompt=NEW),
        Edit("x", image_urls=[NEW], resolution=NEW),
        LegacyGenerate(
            "x", model=Unchecked("V_1"), style_type=NEW, resolution=NEW, negative_prompt="", color_palette=NEW
        ),
    ],
    ids=lambda request: type(request).__name__,
)
def test_rules_between_fields(request_: Any) -> None:
    """A rule that depends on a value refuses no unchecked one."""
    assert [] == request_.problems()


@pytest.mark.parametrize("dataset_id", ["..", ".", ""])
def test_ids_are_checked(dataset_id: str) -> None:
    """An id that leads to another operation is refused all the same."""
    assert ["dataset_id"] == [field for field, _ in GetDataset(Unchecked(dataset_id)).problems()]
