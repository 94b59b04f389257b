"""Comparison of another version of a contract with the shipped one."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from copy import deepcopy
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.drift import SHIPPED, drift, main
from support.openapi import ContractError, operations_in
from support.pages import fenced
from support.paths import ROOT

import ideogram_async.sandbox
from ideogram_async.sandbox.contract import _documents, _inline

FOLDER = Path(ideogram_async.sandbox.__file__).parent
FIRST, SECOND = (json.loads((FOLDER / name).read_text()) for name in SHIPPED)
GENERATE, DRAW = "/v1/ideogram-v3/generate", "/v2/image/generate/ideogram-4-5"


def schema_of(document: Any, name: str) -> Any:
    return document["components"]["schemas"][name]


def form_of(document: Any, path: str) -> Any:
    return document["paths"][path]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]


def add_operation(document: Any) -> None:
    document["paths"]["/v1/new"] = {"post": document["paths"]["/describe"]["post"]}


def remove_operation(document: Any) -> None:
    del document["paths"]["/describe"]


def add_field(document: Any) -> None:
    form_of(document, GENERATE)["properties"]["sharpness"] = {"type": "integer"}


def remove_field(document: Any) -> None:
    del form_of(document, "/v1/ideogram-v3/inpaint")["properties"]["magic_prompt"]


def add_object(document: Any) -> None:
    region = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}}
    form_of(document, GENERATE)["properties"]["region"] = region


def add_in_envelope(document: Any) -> None:
    schema_of(document, "ImageRequest")["properties"]["sharpness"] = {"type": "integer"}


def add_values(document: Any) -> None:
    schema_of(document, "ResolutionV3")["enum"] += ["3840x2160", "2160x3840"]


def remove_value(document: Any) -> None:
    schema_of(document, "MagicPromptMode")["enum"].remove("auto")


def open_list(document: Any) -> None:
    del schema_of(document, "StyleTypeV3")["enum"]


def raise_limit(document: Any) -> None:
    schema_of(document, "GenerateImageIdeogram45Request")["properties"]["num_images"]["maximum"] = 16


def raise_assets(document: Any) -> None:
    schema_of(document, "GenerateImageIdeogram45Request")["properties"]["image_asset_identifiers"]["maxItems"] = 99


def require(document: Any) -> None:
    form_of(document, GENERATE)["required"].append("seed")


def release(document: Any) -> None:
    schema_of(document, "GenerateImageIdeogram45Request")["required"].remove("prompt")


def change_default(document: Any) -> None:
    form_of(document, GENERATE)["properties"]["num_images"]["default"] = 4


def change_type(document: Any) -> None:
    form_of(document, GENERATE)["properties"]["seed"] = {"type": "string"}


def allow_null(document: Any) -> None:
    form_of(document, GENERATE)["properties"]["seed"] = {"type": ["integer", "null"]}


def allow_null_by_union(document: Any) -> None:
    properties = form_of(document, GENERATE)["properties"]
    properties["prompt"] = {"anyOf": [properties["prompt"], {"type": "null"}]}


def move_to_header(document: Any) -> None:
    [parameter] = document["paths"][DRAW]["post"]["parameters"]
    parameter["in"] = "header"


def move_to_json(document: Any) -> None:
    content = document["paths"][DRAW]["post"]["requestBody"]["content"]
    form = deepcopy(schema_of(document, "GenerateImageIdeogram45Request"))
    del form["properties"]["seed"]
    content["multipart/form-data"]["schema"] = form


def add_body(document: Any) -> None:
    content = document["paths"]["/v1/ideogram-v3/reframe"]["post"]["requestBody"]["content"]
    content["application/json"] = content["multipart/form-data"]


def add_in_answer(document: Any) -> None:
    schema_of(document, "ImageGenerationObjectV3")["properties"]["width"] = {"type": "integer"}


def add_in_second_answer(document: Any) -> None:
    schema_of(document, "GenerateImageIdeogram45Response")["properties"]["queue"] = {"type": "integer"}


def add_asset(document: Any) -> None:
    schema_of(document, "AssetType")["enum"].append("NEW")


def add_preset(document: Any) -> None:
    schema_of(document, "ColorPalettePresetName")["enum"].append("NEW")


def add_in_member(document: Any) -> None:
    schema_of(document, "ColorPaletteMember")["properties"]["alpha"] = {"type": "number"}


def add_in_error(document: Any) -> None:
    schema_of(document, "GenerationErrorResponse")["properties"]["hint"] = {"type": "string"}


def require_envelope(document: Any) -> None:
    schema_of(document, "GenerateImageRequest")["required"] = []


def remove_answer(document: Any) -> None:
    for path in (GENERATE, "/v1/ideogram-v3/inpaint"):
        del document["paths"][path]["post"]["responses"]["429"]


MUTATIONS: list[tuple[Any, Callable[[Any], None], str]] = [
    (FIRST, add_operation, "+ POST /v1/new (no class): new operation of 2 fields"),
    (FIRST, remove_operation, "- Describe: operation removed (requests/images.py)"),
    (FIRST, add_field, "+ Generate.sharpness: new field, optional integer (requests/images.py)"),
    (FIRST, remove_field, "- Inpaint.magic_prompt: field removed (requests/_fields.py)"),
    (FIRST, add_object, "+ Generate.region: new field, optional object (requests/images.py)"),
    (
        FIRST,
        open_list,
        "~ Generate.style_type, ImageGenerationObjectV3.style_type, Inpaint.style_type, LegacyEditV3.style_type, "
        "Remix.style_type, V1EditImageObject.style_type: no longer a closed list (enums.py)",
    ),
    (FIRST, add_in_envelope, "+ LegacyGenerate.sharpness: new field, optional integer (requests/legacy.py)"),
    (
        FIRST,
        add_values,
        "~ Edit.resolution, Generate.resolution, ImageGenerationObjectV3.resolution, Reframe.resolution, "
        'Remix.resolution: 2 values added: "2160x3840", "3840x2160" (enums.py)',
    ),
    (
        SECOND,
        remove_value,
        "~ v2.Generate3.magic_prompt, v2.Generate3Character.magic_prompt, v2.Generate4.magic_prompt, "
        "v2.Generate45.magic_prompt, v2.Generate46.magic_prompt, v2.Generate4Transparent.magic_prompt, "
        'v2.Inpaint3.magic_prompt, v2.Remix3.magic_prompt: 1 value removed: "auto" (v2/_values.py)',
    ),
    (SECOND, raise_limit, "~ v2.Generate45.num_images: maximum: 8 -> 16 (v2/_fields.py)"),
    (SECOND, raise_assets, "~ v2.Generate45.images: maxItems: 5 -> 99 (v2/_sources.py)"),
    (FIRST, require, "~ Generate.seed: now required (requests/_fields.py)"),
    (SECOND, release, "~ v2.Generate45.prompt: now optional (v2/images.py)"),
    (FIRST, change_default, "~ Generate.num_images: default: 1 -> 4 (requests/_fields.py)"),
    (FIRST, change_type, "~ Generate.seed: type: integer -> string (requests/_fields.py)"),
    (FIRST, allow_null, "~ Generate.seed: may now be null (requests/_fields.py)"),
    (FIRST, allow_null_by_union, "~ Generate.prompt: may now be null (requests/images.py)"),
    (SECOND, move_to_header, "~ v2.Generate45.dry_run: position: query -> header (v2/images.py)"),
    (SECOND, move_to_json, "~ v2.Generate45.seed: position: body -> JSON (v2/_fields.py)"),
    (FIRST, add_body, "~ Reframe: body: form -> JSON, form (requests/images.py)"),
    (FIRST, add_in_answer, "+ ImageGenerationObjectV3.width: new field, optional integer (models/images.py)"),
    (SECOND, add_in_second_answer, "+ Generation.queue: new field, optional integer (v2/answers.py)"),
    (SECOND, add_asset, '~ AssetIdentifier.asset_type: 1 value added: "NEW" (enums.py)'),
    (
        FIRST,
        add_preset,
        "~ Generate.color_palette.name, Inpaint.color_palette.name, LegacyEditV3.color_palette.name, "
        "LegacyGenerate.color_palette.name, LegacyRemix.color_palette.name, Reframe.color_palette.name, "
        'Remix.color_palette.name, ReplaceBackground.color_palette.name: 1 value added: "NEW" (enums.py)',
    ),
    (FIRST, require_envelope, "~ LegacyGenerate: now optional (requests/legacy.py)"),
    (FIRST, add_in_member, "+ ColorPaletteMember.alpha: new field, optional number (requests/_palette.py)"),
    (
        SECOND,
        add_in_error,
        "+ hint of the answer 402, hint of the answer 429: new field, optional string",
    ),
    (FIRST, remove_answer, "- Generate, Inpaint: answer 429 removed"),
]


def changes_of(document: Any) -> list[str]:
    """Return the lines of the report, without line numbers and the folder of the package."""
    _, changes = drift(operations_in(document))
    return [re.sub(r":\d+\)$", ")", str(change)).replace("(ideogram_async/", "(") for change in changes]


@pytest.mark.parametrize("document", [FIRST, SECOND], ids=SHIPPED)
def test_a_shipped_contract_has_no_drift(document: Any) -> None:
    """A shipped contract differs from itself in nothing."""
    assert [] == changes_of(document)


@pytest.mark.parametrize(("document", "mutate", "expected"), MUTATIONS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_change_is_reported_once(document: Any, mutate: Callable[[Any], None], expected: str) -> None:
    """A change is one line: what changed, in which class, and the file that defines it."""
    other = deepcopy(document)
    mutate(other)

    assert [expected] == changes_of(other)


def write(path: Path, document: Any) -> str:
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return str(path)


@pytest.mark.parametrize(("document", "name"), [(FIRST, SHIPPED[0]), (SECOND, SHIPPED[1])], ids=SHIPPED)
def test_exit_codes(document: Any, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is 0 without a change and 1 with one, and the last line names the contract."""
    same, other = write(tmp_path / "same.json", document), deepcopy(document)
    other["paths"].popitem()

    assert 0 == main([same])
    assert f"no change of {name}\n" == capsys.readouterr().out
    assert 1 == main([write(tmp_path / "other.json", other)])
    assert f"1 change of {name}" == capsys.readouterr().out.splitlines()[-1]


def test_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --json, a change is an object with the operations, the places and the line."""
    other = deepcopy(SECOND)
    raise_limit(other)
    code = main([write(tmp_path / "other.json", other), "--json"])
    report = json.loads(capsys.readouterr().out)

    assert (1, ["contract_v2.json"]) == (code, report["contracts"])
    assert [("limit", ["POST /v2/image/generate/ideogram-4-5"], ["v2.Generate45.num_images"])] == [
        (change["what"], change["operations"], change["places"]) for change in report["changes"]
    ]


def test_both_contracts_in_one_file() -> None:
    """A file with the operations of both contracts is compared with both."""
    both = deepcopy(FIRST)
    both["paths"] |= SECOND["paths"]
    both["components"]["schemas"] |= SECOND["components"]["schemas"]
    names, _ = drift(operations_in(both))

    assert SHIPPED == names


def test_the_page_shows_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The report in CONTRIBUTING.md is what the program prints for these changes, but for the numbers of lines."""
    both = {**FIRST, "components": {"schemas": {}}, "paths": {}}
    for document, mutate in ((SECOND, raise_limit), (FIRST, add_values)):
        other = deepcopy(document)
        mutate(other)
        both["paths"] |= json.loads(json.dumps(_inline(other, other["components"]["schemas"])["paths"]))

    both["paths"]["/v2/image/generate/ideogram-5"] = both["paths"]["/v2/image/generate/ideogram-4"]
    main([write(tmp_path / "openapi.json", both)])
    [shown] = [text for text in fenced((ROOT / "CONTRIBUTING.md").read_text(), "") if text.startswith("~ ")]

    assert re.sub(r":\d+\)", ")", shown) == re.sub(r":\d+\)", ")", capsys.readouterr().out)


def test_yaml(tmp_path: Path) -> None:
    """YAML is read if pyyaml is installed, and its bad syntax is named."""
    yaml = pytest.importorskip("yaml")

    assert 0 == main([write(tmp_path / "same.yaml", yaml.safe_dump(FIRST))])
    assert 2 == main([write(tmp_path / "bad.yaml", "a: [")])


def test_yaml_without_pyyaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without pyyaml, the message states what to do."""
    monkeypatch.setitem(sys.modules, "yaml", None)

    assert 2 == main([write(tmp_path / "api.yml", "openapi: 3.1.0")])
    assert "YAML needs pyyaml: install it, or convert the file to JSON" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("", "not JSON: Expecting value"),
        ("{", "not JSON: Expecting property name"),
        ("[" * 100_000, "not JSON: "),
        ([], "the document must be an object, not a list"),
        ({}, '"openapi" must be a version 3, not null'),
        ({"swagger": "2.0"}, '"openapi" must be a version 3, not null'),
        ({"openapi": "3.1.0"}, '"paths" is missing'),
        ({"openapi": "3.1.0", "paths": []}, "paths must be an object, not a list"),
        ({"openapi": "3.1.0", "paths": {}}, "none of its 0 operations is in a shipped contract"),
        ({"openapi": "3.1.0", "paths": {"/x": {"get": {}}}}, "none of its 1 operations is in a shipped contract"),
        ({"openapi": "3.1.0", "paths": {"/x": {"get": 5}}}, "GET /x must be an object, not a number"),
        (
            {"openapi": "3.1.0", "paths": {"/x": {"get": {"requestBody": {"$ref": "#/a/b"}}}}},
            "GET /x: requestBody: '#/a/b' is not in the file",
        ),
        (
            {"openapi": "3.1.0", "paths": {"/x": {"get": {"parameters": [{"$ref": "other.json#/a"}]}}}},
            "GET /x: parameters: 'other.json#/a' is not in the file",
        ),
        (
            {"openapi": "3.1.0", "paths": {"/x": {"$ref": "#/paths/~1x"}}},
            "its references form a circle, or it is nested too deeply",
        ),
    ],
    ids=repr,
)
def test_an_unreadable_file_is_named(
    document: Any, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is not a contract ends with exit code 2, its name and the place of the error."""
    path = write(tmp_path / "api.json", document)

    assert 2 == main([path])
    assert f"error: {path}: {message}" in capsys.readouterr().err


def test_a_missing_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A missing file, a folder and a file of other bytes are named."""
    (tmp_path / "bytes.json").write_bytes(b"\xff\xfe\x00")
    codes = [main([str(path)]) for path in (tmp_path / "no.json", tmp_path, tmp_path / "bytes.json")]
    errors = capsys.readouterr().err.splitlines()

    assert [2, 2, 2] == codes
    assert ["No such file or directory", "Is a directory", "not UTF-8 text"] == [e.rpartition(": ")[2] for e in errors]


def test_a_schema_that_contains_itself_is_read() -> None:
    """A recursive schema ends at its second occurrence."""
    other = deepcopy(FIRST)
    tree = {"type": "object", "properties": {"child": {"$ref": "#/components/schemas/Tree"}}}
    other["components"]["schemas"]["Tree"] = tree
    form_of(other, GENERATE)["properties"]["tree"] = {"$ref": "#/components/schemas/Tree"}

    assert ["+ Generate.tree: new field, optional object (requests/images.py)"] == changes_of(other)


def parts_of(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of each part of a document."""
    for key, value in node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ():
        yield (*path, key)
        yield from parts_of(value, (*path, key))


SMALL = {"openapi": "3.1.0", "paths": {DRAW: _documents()[1]["paths"][DRAW]}}
PARTS = [*parts_of(SMALL)]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=5,
)


@settings(max_examples=100, deadline=None)
@given(st.integers(0, len(PARTS) - 1), VALUES)
def test_any_damage_is_a_change_or_an_error(number: int, value: Any) -> None:
    """Whatever a part of a file is replaced by, the file is compared or refused."""
    document = json.loads(json.dumps(SMALL))
    *parents, key = PARTS[number]
    reduce(getitem, parents, document)[key] = value
    with suppress(ContractError):
        drift(operations_in(document))
